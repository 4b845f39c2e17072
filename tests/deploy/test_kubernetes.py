"""The Kubernetes overlays, as kustomize builds them, by Kubernetes' own schemas."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Literal

import click
import kubernetes_validate
import pytest
import typer
import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from producer.cli import app
from regioncap.local.files import free_ports
from regioncap.local.process import Supervisor
from regioncap.settings import Settings
from tests.support.compose import ROOT, command, tool
from tests.support.kubernetes_api import CUSTOM, Api, kubernetes_api
from tests.support.system import run_command

KUBERNETES = ROOT / "deploy/kubernetes"
#: What no schema of Kubernetes itself knows.
FOREIGN = CUSTOM | {"Kustomization"}
EXAMPLES = sorted(path.name for path in (KUBERNETES / "examples").iterdir())
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())

Resources = dict[tuple[str, str], dict[str, Any]]


class Scaled(BaseModel, extra="forbid", strict=True, alias_generator=to_camel):
    """What is used here of the specification of KEDA's ScaledObject."""

    scale_target_ref: dict[Literal["name"], str]
    polling_interval: int
    cooldown_period: int
    min_replica_count: int
    max_replica_count: int
    advanced: dict[
        Literal["horizontalPodAutoscalerConfig"], dict[Literal["behavior"], dict[str, Any]]
    ] = {}
    triggers: list[dict[Literal["type", "metadata"], str | dict[str, str]]]


@pytest.fixture(
    scope="module",
    params=[
        "overlays/cpu", "overlays/gpu", *(f"overlays/gpu with {name}" for name in COMPONENTS),
        *(f"examples/{name}" for name in EXAMPLES),
    ],
)  # fmt: skip
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    name, _, component = request.param.partition(" with ")
    folder = KUBERNETES / name
    if component:
        folder = _own(tmp_path_factory.mktemp("overlay"), name, component)
    return _build(folder)


def _own(folder: Path, built_on: str, *components: str, **more: Any) -> Path:
    """Somebody's own overlay, in a folder of theirs."""
    own = {
        "resources": [os.path.relpath(KUBERNETES / built_on, folder)],
        "components": [
            os.path.relpath(KUBERNETES / "components" / name, folder) for name in components
        ],
        "namespace": "regioncap",
        "configMapGenerator": [
            {"name": "settings", "behavior": "merge", "literals": ["REGIONCAP_GRACE_S=30"]}
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(own | more))
    return folder


def _build(folder: Path) -> Resources:
    done = subprocess.run(
        [tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {
        (found["kind"], found["metadata"]["name"]): found
        for found in yaml.safe_load_all(done.stdout)
    }


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def _pods(overlay: Resources) -> dict[str, dict[str, Any]]:
    found = {
        name: found["spec"]["template"]["spec"]
        for (kind, name), found in overlay.items()
        if kind in {"Deployment", "Job"}
    }
    if night := overlay.get(("CronJob", "gc")):
        found["gc"] = night["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("path", sorted(KUBERNETES.glob("base/*.yaml")), ids=lambda path: path.name)
def test_the_base_follows_the_schemas(path: Path) -> None:
    for found in yaml.safe_load_all(path.read_text()):
        if found["kind"] not in FOREIGN:
            kubernetes_validate.validate(found, "1.31", strict=True)


def test_what_is_built_follows_the_schemas(overlay: Resources) -> None:
    for (kind, _), found in overlay.items():
        if kind not in FOREIGN:
            kubernetes_validate.validate(found, "1.31", strict=True)


def test_pods_keep_to_the_restricted_standard(overlay: Resources) -> None:
    pods = _pods(overlay)
    assert set(pods) - {"gc", "page"} == {"render", "caption", "janitor"}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        for container in _containers(pod):
            limits = container["securityContext"]
            assert limits["readOnlyRootFilesystem"], name
            assert not limits["allowPrivilegeEscalation"], name
            assert limits["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_all_are_in_one_namespace_with_an_image_that_has_a_place(overlay: Resources) -> None:
    for (kind, name), found in overlay.items():
        assert kind == "Namespace" or found["metadata"]["namespace"] == "regioncap", name
    for pod in _pods(overlay).values():
        assert pod["containers"][0]["image"].startswith("registry.example/regioncap:")


def test_commands_are_those_of_the_program(overlay: Resources) -> None:
    for container in (each for pod in _pods(overlay).values() for each in _containers(pod)):
        program, words = typer.main.get_command(app), list(container["args"])
        while isinstance(program, click.Group):
            found = program.get_command(click.Context(program), words.pop(0))
            assert found is not None, container["name"]
            program = found
        program.make_context("", words)  # an option that is none would raise


def test_autoscaling_follows_the_schemas(overlay: Resources) -> None:
    for (kind, name), found in overlay.items():
        if kind == "ScaledObject":
            spec = Scaled.model_validate(found["spec"])
            behavior = spec.advanced.get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
            scaler = {
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": name},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "maxReplicas": spec.max_replica_count, "behavior": behavior,
                },
            }  # fmt: skip
            kubernetes_validate.validate(scaler, "1.31", strict=True)


def test_probes_ask_what_a_worker_serves(overlay: Resources) -> None:
    for name in ("render", "caption", "janitor"):
        (container,) = _pods(overlay)[name]["containers"]
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container["ports"] == [{"name": "metrics", "containerPort": 9464}]


def test_workers_may_finish_before_they_are_killed(overlay: Resources) -> None:
    settings = next(
        found["data"] for (kind, name), found in overlay.items()
        if kind == "ConfigMap" and name.startswith("settings-")
    )  # fmt: skip
    grace_s = float(settings["REGIONCAP_GRACE_S"])
    for name in ("render", "caption"):
        assert _pods(overlay)[name]["terminationGracePeriodSeconds"] >= grace_s + 20
    names = {f"REGIONCAP_{name.upper()}" for name in Settings.model_fields}
    assert set(settings) <= names | {"REGIONCAP_SECRETS_DIR"}


def test_references_hold(overlay: Resources) -> None:
    for pod in _pods(overlay).values():
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounted = {
            mount["name"] for container in _containers(pod) for mount in container["volumeMounts"]
        }
        assert mounted == volumes
        for source in (each for container in _containers(pod) for each in container["envFrom"]):
            assert ("ConfigMap", source["configMapRef"]["name"]) in overlay
        if account := pod.get("serviceAccountName"):
            assert ("ServiceAccount", account) in overlay
        for volume in pod["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in overlay
    for (kind, _), found in overlay.items():
        if kind == "ScaledObject":
            spec = found["spec"]
            target = overlay["Deployment", spec["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"] or target["metadata"]["name"] == "render"


def test_as_many_processes_draw_as_a_pod_asks_for_cores(overlay: Resources) -> None:
    """Celery would start one for each core of the node. Caption workers read the settings, too."""
    [render] = _pods(overlay)["render"]["containers"]
    env = {each["name"]: each["value"] for each in render["env"]}
    assert env["REGIONCAP_CONCURRENCY"] == render["resources"]["requests"]["cpu"]
    for (kind, _), found in overlay.items():
        assert kind != "ConfigMap" or "REGIONCAP_CONCURRENCY" not in found["data"]


def test_a_gpu_is_asked_for_where_a_model_runs(overlay: Resources) -> None:
    caption = _pods(overlay)["caption"]["containers"][0]
    wants = caption["resources"]["limits"].get("nvidia.com/gpu")
    assert (wants == "1") == caption["image"].endswith(":cuda")
    if wants and ("ScaledObject", "caption") in overlay:
        probe = caption["startupProbe"]
        load_s = probe["periodSeconds"] * probe["failureThreshold"]
        assert load_s >= 1800  # a first start fetches the model
        assert overlay["ScaledObject", "caption"]["spec"]["cooldownPeriod"] >= 600


def test_only_the_set_up_sees_the_rights_to_make_a_bucket(overlay: Resources) -> None:
    for name, pod in _pods(overlay).items():
        secrets = {
            volume["name"]: volume["secret"]["secretName"]
            for volume in pod["volumes"] if "secret" in volume
        }  # fmt: skip
        for container in _containers(pod):
            seen = {secrets.get(mount["name"]) for mount in container["volumeMounts"]} - {None}
            admin = container["name"] in {"setup", "gc"}
            assert seen == {"admin" if admin else "page" if name == "page" else "worker"}


def test_what_is_compiled_is_shared(overlay: Resources) -> None:
    models = [
        found["data"] for (kind, name), found in overlay.items()
        if kind == "ConfigMap" and name.startswith("model-")
    ]  # fmt: skip
    for model in models:
        (container,) = _pods(overlay)["caption"]["containers"]
        shared = {m["mountPath"] for m in container["volumeMounts"] if m["name"] == "models"}
        for name in ("REGIONCAP_COMPILE_CACHE_DIR", "HF_HOME", "REGIONCAP_HF_CACHE_DIR"):
            assert any(f"{model[name]}/".startswith(f"{folder}/") for folder in shared)


def _policies(folder: Path) -> list[dict[str, Any]]:
    return [found["spec"] for (kind, _), found in _build(folder).items() if kind == "NetworkPolicy"]


def _let_out(policies: list[dict[str, Any]], address: str, port: int) -> bool:
    """Whether a worker reaches an address, where every policy that names it lets it."""
    rules = [rule for policy in policies for rule in policy.get("egress", [])]
    return any(
        port in {each["port"] for each in rule["ports"]}
        and (
            "to" not in rule
            or any(
                ipaddress.ip_address(address) in ipaddress.ip_network(to["ipBlock"]["cidr"])
                for to in rule["to"]
            )
        )
        for rule in rules
    )


@pytest.mark.parametrize(
    ("component", "address", "port"),
    [
        ("cloud", "169.254.169.254", 80),
        ("cloud", "169.254.170.23", 80),
        ("cloud", "169.254.169.252", 988),
        ("redis-tls", "10.0.0.1", 6380),
        ("redis-tls", "10.0.0.1", 6378),
    ],
)
def test_a_component_opens_what_it_says(
    tmp_path: Path, component: str, address: str, port: int
) -> None:
    (own := tmp_path / "own").mkdir()
    assert not _let_out(_policies(KUBERNETES / "overlays/gpu"), address, port)
    opened = _policies(_own(own, "overlays/gpu", component))
    assert _let_out(opened, address, port)
    assert not _let_out(opened, "10.0.0.1", 80)
    assert _let_out(opened, "10.0.0.1", 6379) == (component != "redis-tls")


def test_the_operator_s_prometheus_finds_every_worker(tmp_path: Path) -> None:
    built = _build(_own(tmp_path, "overlays/gpu", "podmonitor"))
    spec = built["PodMonitor", "workers"]["spec"]
    ((label, wanted),) = [(e["key"], e["values"]) for e in spec["selector"]["matchExpressions"]]
    [endpoint] = spec["podMetricsEndpoints"]
    # As the alert rules and the dashboard name it.
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "regioncap"}]
    assert 'up{job="regioncap"}' in (ROOT / "deploy/prometheus/alerts.yml").read_text()
    deployments = [found["spec"]["template"] for (kind, _), found in built.items()
                   if kind == "Deployment"]  # fmt: skip
    assert {each["metadata"]["labels"][label] for each in deployments} == set(wanted)
    for template in deployments:
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert endpoint["port"] in ports
    asked = {
        found["spec"]["triggers"][0]["metadata"]["serverAddress"]
        for (kind, _), found in built.items() if kind == "ScaledObject"
    }  # fmt: skip
    assert asked == {"http://prometheus-operated.monitoring:9090"}


def test_sixty_four_gpus() -> None:
    built = _build(KUBERNETES / "examples/64-gpus")
    scaled = built["ScaledObject", "caption"]["spec"]
    assert scaled["maxReplicaCount"] * int(
        _pods(built)["caption"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    ) == 64  # fmt: skip
    budget = built["PodDisruptionBudget", "caption"]["spec"]["maxUnavailable"]
    assert budget == built["Deployment", "caption"]["spec"]["strategy"]["rollingUpdate"][
        "maxUnavailable"
    ] == 8  # fmt: skip


def _kubectl(address: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [tool("kubectl"), "--kubeconfig", "/dev/null", "--server", address, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _applied(address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return _kubectl(address, "apply", "--validate=false", "-k", folder)


@pytest.mark.parametrize(
    "name",
    [
        "overlays/gpu",
        *(
            pytest.param(name, marks=pytest.mark.more)
            for name in ("overlays/cpu", *(f"examples/{name}" for name in EXAMPLES))
        ),
    ],
)
def test_a_second_apply_takes_another_image_and_other_settings(name: str, tmp_path: Path) -> None:
    components = ["gc", "page"]
    (first := tmp_path / "first").mkdir()
    (second := tmp_path / "second").mkdir()
    with kubernetes_api() as (api, address):
        done = _applied(address, _own(first, name, *components))
        assert done.returncode == 0, done.stderr
        before = len(api.applied)
        done = _applied(address, _own(first, name, *components))
        assert done.returncode == 0, done.stderr
        assert len(api.applied) == before  # nothing is another
        images = [{"name": "registry.example/regioncap", "newTag": "other"}]
        changed = [{"name": "settings", "behavior": "merge", "literals": ["REGIONCAP_GRACE_S=7"]}]
        own = _own(second, name, *components, images=images, configMapGenerator=changed)
        done = _applied(address, own)
        assert done.returncode == 0, done.stderr
        assert _images(api) == {"registry.example/regioncap:other"}


def test_the_images_of_two_files_are_those_of_all_pods(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    for name in ("base", "overlays/gpu"):
        file = tmp_path / "kubernetes" / name / "kustomization.yaml"
        file.write_text(file.read_text().replace("registry.example", "mine.example"))
    overlay = {
        "resources": ["../kubernetes/overlays/gpu"],
        "components": [f"../kubernetes/components/{name}" for name in COMPONENTS],
    }
    (own := tmp_path / "own").mkdir()
    (own / "kustomization.yaml").write_text(yaml.safe_dump(overlay))

    pods = _pods(_build(own))

    assert {"gc", "page"} <= set(pods)
    images = {each["image"] for pod in pods.values() for each in _containers(pod)}
    assert images == {"mine.example/regioncap:cpu", "mine.example/regioncap:cuda"}


PAGE = (ROOT / "docs/clusters.md").read_text()


@pytest.mark.parametrize("number", range(2))
def test_the_overlays_of_the_page_can_be_built(number: int, tmp_path: Path) -> None:
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", PAGE, re.M)
    overlays = [b for b in map(textwrap.dedent, blocks) if "# kustomization.yaml" in b]
    assert len(overlays) == 2
    (tmp_path / "regioncap").symlink_to(ROOT)
    (tmp_path / "kustomization.yaml").write_text(overlays[number])
    built = _build(tmp_path)
    for (kind, _), found in built.items():
        if kind not in FOREIGN:
            kubernetes_validate.validate(found, "1.31", strict=True)
    text = yaml.safe_dump([*built.values()])
    for value in re.findall(r"REGIONCAP_\w+=([^,\]]+)|value: (http\S+)|(arn:\S+role/[\w-]+)",
                            overlays[number]):  # fmt: skip
        assert "".join(value) in text


def test_the_page_names_what_there_is() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("## Components")[2], re.M))
    assert told - {"keep_captions"} >= set(COMPONENTS)
    assert set(re.findall(r"`examples/([\w-]+)`", PAGE)) == set(EXAMPLES)
    assert set(re.findall(r"component `([\w-]+)`", PAGE)) <= set(COMPONENTS)


def test_the_policies_of_the_page_are_those_of_the_bucket(tmp_path: Path) -> None:
    (command,) = re.findall(r"^ {4}(sed .* > worker\.json)$", PAGE, re.M)
    command = command.replace("deploy/", f"{ROOT}/deploy/")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    policy = json.loads((tmp_path / "worker.json").read_text())
    named = {
        resource
        for statement in policy["Statement"]
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str)
                         else statement["Resource"])
    }  # fmt: skip
    assert named
    assert all(each.startswith("arn:aws:s3:::example-regioncap") for each in named)


def test_the_operator_takes_the_alert_rules(tmp_path: Path) -> None:
    (command,) = re.findall(r"^ {4}(\(printf .*\n.*> alerts\.yaml)$", PAGE, re.M)
    shell = command.replace("deploy/", f"{ROOT}/deploy/")
    subprocess.run(["sh", "-c", shell], cwd=tmp_path, check=True)
    rules = yaml.safe_load((tmp_path / "alerts.yaml").read_text())
    assert (rules["kind"], rules["metadata"]) == ("PrometheusRule", {"name": "regioncap"})
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert rules["spec"] == alerts
    with kubernetes_api() as (api, address):
        api.objects["/api/v1/namespaces/regioncap"] = {}
        done = _kubectl(address, "-n", "regioncap", "apply", "--validate=false", "-f",
                        tmp_path / "alerts.yaml")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert api.applied == [("PrometheusRule", "regioncap")]


@pytest.mark.more
def test_its_pods_caption_a_file(services: dict[str, int], secrets: Path, tmp_path: Path) -> None:
    """The commands of the pods, in their order, with their settings and their secrets."""
    built = _build(KUBERNETES / "overlays/cpu")
    settings: dict[str, str] = next(
        each["data"] for (kind, _), each in built.items() if kind == "ConfigMap"
    )
    pods = Supervisor(tmp_path / "logs", keep_fds=())

    def environment(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        (role,) = (v["secret"]["secretName"] for v in pod["volumes"]
                   if "secret" in v and v["name"] in mounted)  # fmt: skip
        laid = tmp_path / role
        laid.mkdir(exist_ok=True)
        # As docs/security.md gives them to the secrets `worker` and `admin`.
        url = (secrets / "worker_broker_url").read_text()
        url = url.replace("@redis:6379", f"@127.0.0.1:{services['redis']}")
        (laid / "regioncap_broker_url").write_text(url)
        for key in ("access", "secret"):
            text = (secrets / f"{role}_s3_{key}_key").read_text()
            (laid / f"regioncap_s3_{key}_key").write_text(text)
        (port,) = free_ports(1)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
        own = {each["name"]: each["value"] for each in container.get("env", [])}
        return inherited | settings | own | {
            "REGIONCAP_SECRETS_DIR": str(laid),
            "REGIONCAP_S3_ENDPOINT": f"127.0.0.1:{services['store']}",
            "REGIONCAP_METRICS_PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def run(container: dict[str, Any], pod: dict[str, Any], *words: str) -> str:
        done = run_command(*words, env=environment(pod, container), cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    try:
        for name, pod in _pods(built).items():
            for container in pod.get("initContainers", []):
                run(container, pod, *container["args"])
            (container,) = pod["containers"]
            argv = [sys.executable, "-m", "producer", *container["args"]]
            pods.start(command(name, argv, tmp_path, environment(pod, container)))
        env = environment(pod, container) | {
            f"REGIONCAP_{name.upper()}": (secrets / f"producer_{name}").read_text()
            for name in ("s3_access_key", "s3_secret_key")
        }
        photos = ROOT / "regioncap/inputs/examples/photos.jsonl"
        done = run_command("submit", photos, "--wait", env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
    finally:
        pods.stop()


def _images(api: Api) -> set[str]:
    text = yaml.safe_dump([each for each in api.objects.values() if each["kind"] != "ConfigMap"])
    return set(re.findall(r"image: (\S+)", text))


def test_the_stand_in_refuses_what_a_server_refuses(tmp_path: Path) -> None:
    job: dict[str, Any] = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "default"},
        "spec": {"template": {"spec": {"restartPolicy": "Never",
                                       "containers": [{"name": "x", "image": "a"}]}}},
    }  # fmt: skip
    with kubernetes_api() as (api, address):
        api.objects["/api/v1/namespaces/default"] = {}
        for image, words in (("a", ""), ("b", "field is immutable"), (1, "")):
            job["spec"]["template"]["spec"]["containers"][0]["image"] = image
            (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
            (tmp_path / "kustomization.yaml").write_text("resources: [job.yaml]")
            done = _applied(address, tmp_path)
            assert (done.returncode == 0) == (image == "a")
            assert words in done.stderr

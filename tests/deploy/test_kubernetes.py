"""The Kubernetes overlays, as kustomize builds them, by Kubernetes' own schemas."""

from __future__ import annotations

import os
import subprocess
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
from regioncap.settings import Settings
from tests.support.compose import ROOT, tool

KUBERNETES = ROOT / "deploy/kubernetes"
#: What no schema of Kubernetes itself knows.
FOREIGN = {"ScaledObject", "Kustomization"}

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


@pytest.fixture(scope="module", params=["cpu", "gpu", "gpu with gc"])
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    name, _, component = request.param.partition(" with ")
    folder = KUBERNETES / "overlays" / name
    if component:  # as somebody's own overlay
        built_on, folder = folder, tmp_path_factory.mktemp("overlay")
        own = {
            "resources": [os.path.relpath(built_on, folder)],
            "components": [os.path.relpath(KUBERNETES / "components" / component, folder)],
            "namespace": "regioncap",
            "configMapGenerator": [
                {"name": "settings", "behavior": "merge", "literals": ["REGIONCAP_GRACE_S=30"]}
            ],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return _build(folder)


def _build(folder: Path) -> Resources:
    done = subprocess.run(
        [tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {
        (found["kind"], found["metadata"]["name"]): found
        for found in yaml.safe_load_all(done.stdout)
    }


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
    assert set(pods) - {"gc"} == {"render", "caption", "janitor", "setup"}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        for container in pod["containers"]:
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
    for name, pod in _pods(overlay).items():
        command, words = typer.main.get_command(app), list(pod["containers"][0]["args"])
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, name
            command = found
        command.make_context(name, words)  # an option that is none would raise


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
    if ("CronJob", "gc") in overlay:  # where an overlay of one's own has set it
        assert grace_s == 30
    names = {f"REGIONCAP_{name.upper()}" for name in Settings.model_fields}
    assert set(settings) <= names | {"REGIONCAP_SECRETS_DIR"}


def test_references_hold(overlay: Resources) -> None:
    for pod in _pods(overlay).values():
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        for source in container["envFrom"]:
            assert ("ConfigMap", source["configMapRef"]["name"]) in overlay
        for volume in pod["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in overlay
    for (kind, _), found in overlay.items():
        if kind == "ScaledObject":
            spec = found["spec"]
            target = overlay["Deployment", spec["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"] or target["metadata"]["name"] == "render"


def test_a_gpu_is_asked_for_where_a_model_runs(overlay: Resources) -> None:
    caption = _pods(overlay)["caption"]["containers"][0]
    wants = caption["resources"]["limits"].get("nvidia.com/gpu")
    assert (wants == "1") == caption["image"].endswith(":cuda")
    if wants and ("ScaledObject", "caption") in overlay:
        probe = caption["startupProbe"]
        load_s = probe["periodSeconds"] * probe["failureThreshold"]
        assert load_s >= 1800  # a first start fetches the model
        assert overlay["ScaledObject", "caption"]["spec"]["cooldownPeriod"] >= 600

"""The Kubernetes overlays, as kustomize builds them, by Kubernetes' own schemas."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from regioncap.settings import Settings
from tests.support.compose import ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
#: What no schema of Kubernetes itself knows.
FOREIGN = {"ScaledObject", "Kustomization"}

Resources = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def overlay(request: pytest.FixtureRequest) -> Resources:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / "overlays" / request.param],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {
        (found["kind"], found["metadata"]["name"]): found
        for found in yaml.safe_load_all(done.stdout)
    }


def _pods(overlay: Resources) -> dict[str, dict[str, Any]]:
    return {
        name: found["spec"]["template"]["spec"]
        for (kind, name), found in overlay.items()
        if kind in {"Deployment", "Job"}
    }


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
    assert set(pods) == {"render", "caption", "janitor", "setup"}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        for container in pod["containers"]:
            limits = container["securityContext"]
            assert limits["readOnlyRootFilesystem"], name
            assert not limits["allowPrivilegeEscalation"], name
            assert limits["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


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

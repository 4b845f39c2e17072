"""The versions of vLLM that the engine works with are the same wherever they are named."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from producer.gpu_checks import MIN_VLLM
from tests.support.compose import ROOT


def asked() -> dict[str, Requirement]:
    """What the extra `vllm` asks for, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = map(Requirement, project["optional-dependencies"]["vllm"])
    return {requirement.name: requirement for requirement in requirements}


def named(file: str, pattern: str) -> Version:
    """The version that stands in a file, after the pattern."""
    (found,) = re.findall(pattern + r"(\d+\.\d+\.\d+)", (ROOT / file).read_text())
    return Version(found)


def test_the_doctor_refuses_what_the_extra_refuses() -> None:
    assert str(asked()["vllm"].specifier) == f">={'.'.join(map(str, MIN_VLLM))}"


def test_the_tests_run_with_the_oldest() -> None:
    assert named("Makefile", "VLLM_OLDEST := ").release[:2] == MIN_VLLM
    assert named("Makefile", "VLLM_NEWEST := ") in asked()["vllm"].specifier


@pytest.mark.parametrize("file", ["deploy/docker/Dockerfile.cuda", "docker-compose.yml"])
def test_the_image_is_of_the_range(file: str) -> None:
    assert named(file, "vllm/vllm-openai:v") in asked()["vllm"].specifier


def test_pytorch_is_named_and_left_to_vllm() -> None:
    assert not asked()["torch"].specifier

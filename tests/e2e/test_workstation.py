"""The page for one workstation, typed from top to bottom as far as there is no container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from regioncap.inputs.examples import examples_dir
from tests.support.compose import ROOT, tool
from tests.support.system import System, read_jsonl

PAGE = (ROOT / "docs/workstation.md").read_text()


def typed(since: str, until: str) -> str:
    """All that a part of the page has one type, as one script."""
    part = PAGE.partition(f"\n{since}")[2].partition(f"\n{until}")[0]
    assert part
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", part, re.M)
    return "\n".join(textwrap.dedent(block) for block in blocks)


@pytest.fixture(scope="module")
def home(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home after the page was typed, in a checkout in it."""
    tool("docker-compose")
    home = tmp_path_factory.mktemp("home")
    checkout = home / "checkout"
    checkout.mkdir()
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "deploy", checkout / "deploy")
    shutil.copytree(examples_dir(), home / "captions")
    shutil.copy(home / "captions/photos.jsonl", home / "captions/my.jsonl")
    programs = home / "programs"
    programs.mkdir()
    docker = programs / "docker"
    stand_in = f'exec {sys.executable} -m tests.support.docker_stand_in "$@"'
    docker.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} {stand_in}\n")
    docker.chmod(0o755)
    (home / "env.json").write_text(json.dumps(system.env | {"PYTHONPATH": str(ROOT)}))
    done = subprocess.run(
        ["bash", "-eu", "-c", typed("### 2. Settings", "## Without containers")],
        cwd=checkout,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "STAND_IN_ENV": str(home / "env.json"),
            "STAND_IN_NOTES": str(home / "notes"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.mark.more
def test_results_are_on_the_disk_and_belong_to_the_user(home: Path) -> None:
    data = home / "captions"
    records = read_jsonl(data / "results.jsonl")
    assert len(records) == len((data / "my.jsonl").read_text().splitlines())
    assert all(record["answer"] for record in records)
    assert json.loads((data / "coco.json").read_text())["annotations"]
    assert "</html>" in (data / "gallery.html").read_text()
    for name in ("results.jsonl", "coco.json", "gallery.html"):
        assert (data / name).stat().st_uid == os.getuid()


@pytest.mark.more
def test_docker_was_asked_to_start_and_to_stop(home: Path) -> None:
    asked = [json.loads(line) for line in (home / "notes").read_text().splitlines()]
    assert asked[0] == ["compose", "up", "--build", "-d"]
    assert asked[-1] == ["compose", "down"]


@pytest.mark.more
def test_the_settings_take_the_model_and_no_worker_without_one(home: Path) -> None:
    done = subprocess.run(
        [tool("docker-compose"), "config"],
        cwd=home / "checkout",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    gpu = services["caption-gpu"]
    assert gpu["environment"]["REGIONCAP_MODEL"] == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert gpu["deploy"]["replicas"] == 1
    assert services["caption"]["deploy"]["replicas"] == 0
    assert "page" in services


def test_without_containers_it_is_made_of_what_there_is() -> None:
    script = typed("## Without containers", "## End")
    (extras,) = re.findall(r"pip install '\.\[([\w,]+)\]'", script)
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", project, re.M)

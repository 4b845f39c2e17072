"""vLLM on a CPU as docs/deployment.md has it typed: nothing set but the engine and the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import ROOT, read_jsonl

pytestmark = pytest.mark.more

PLAIN = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def typed(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "producer", *arguments],
        env=PLAIN | {"HOME": str(folder)} | variables,
        cwd=folder, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


def test_the_demo(tmp_path: Path) -> None:
    done = typed(tmp_path, "demo", "--engine", "vllm", "--model", "small")

    assert done.returncode == 0, done.stderr
    results = read_jsonl(tmp_path / "demo-out" / "results.jsonl")
    assert {line["engine"] for line in results} == {"vllm"}
    assert [line["error"] for line in results] == [None] * len(results)


def test_the_doctor_imports_what_the_engine_imports(tmp_path: Path) -> None:
    settings = {"REGIONCAP_ENGINE": "vllm", "REGIONCAP_MODEL": "small"}
    found = typed(tmp_path, "doctor", "--json", **settings)
    checks = {check["name"]: check for check in map(json.loads, found.stdout.splitlines())}

    assert [checks[name]["status"] for name in ("gpu", "vllm", "vllm imports", "model")] == [
        "ok"
    ] * 4


def test_the_doctor_sees_imports_that_fail(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such operator')")
    path = f"{broken.parent}{os.pathsep}{ROOT}"
    settings = {"REGIONCAP_ENGINE": "vllm", "REGIONCAP_MODEL": "small", "PYTHONPATH": path}
    found = typed(tmp_path, "doctor", "--json", **settings)
    checks = {check["name"]: check for check in map(json.loads, found.stdout.splitlines())}

    assert checks["vllm imports"]["status"] == "fail"
    assert "no such operator" in checks["vllm imports"]["what"]

"""What vLLM compiles with: looked for before the model is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from regioncap.engines import toolchain
from regioncap.engines.toolchain import SAMPLER, add_own_programs, compiler_lacks, sampler_lacks
from regioncap.errors import EngineStartError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without programs; Python's headers are there."""
    headers = tmp_path / "include"
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.setattr("sysconfig.get_paths", lambda _: {"include": str(headers)})
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "CUDA_HOME": str(tmp_path), "HOME": str(tmp_path)} | {
        name: str(tmp_path / name) for name in ("TRITON_CACHE_DIR", "VLLM_CACHE_ROOT")
    }


def put(machine: dict[str, str], *programs: str) -> None:
    for name in programs:
        (Path(machine["PATH"]) / name).write_text("#!/bin/sh\n")
        (Path(machine["PATH"]) / name).chmod(0o755)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Has these packages be all that is installed."""
    (folder / "packages").mkdir()
    for name, version in versions.items():
        package = folder / "packages" / name
        package.mkdir()
        (package / "__init__.py").touch()
        written = {"flashinfer": "flashinfer-python"}.get(name, name.replace("_", "-"))
        info = folder / "packages" / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {written}\nVersion: {version}\n")
        info.rename(info.with_name(f"{written.replace('-', '_')}-{version}.dist-info"))
    monkeypatch.setattr("sys.path", [str(folder / "packages")])


def test_a_gpu_needs_a_compiler_and_headers(machine: dict[str, str], tmp_path: Path) -> None:
    assert compiler_lacks(machine, for_cpu=False, eager=True) == "there is no C compiler"
    (tmp_path / "include" / "Python.h").unlink()
    found = compiler_lacks(machine, for_cpu=False, eager=False)
    assert found == "there is no C compiler and Python.h is not there"

    put(machine, "gcc")
    assert compiler_lacks(machine, for_cpu=False, eager=False) == "Python.h is not there"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "Python.h").touch()
    machine["CPATH"] = f"/nowhere:{tmp_path / 'elsewhere'}"
    assert not compiler_lacks(machine, for_cpu=False, eager=False)


def test_a_compiler_may_be_named(machine: dict[str, str]) -> None:
    put(machine, "ccache", "gcc")
    assert not compiler_lacks(machine | {"CC": "ccache gcc"}, for_cpu=False, eager=False)
    assert compiler_lacks(machine | {"CC": "/nowhere/gcc"}, for_cpu=False, eager=False)


def test_what_an_earlier_start_compiled_does(machine: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "VLLM_CACHE_ROOT" / "torch_compile_cache" / "ab" / "triton_cache" / "cd"
    kept.mkdir(parents=True)
    assert compiler_lacks(machine, for_cpu=False, eager=False)
    (kept / "cuda_utils.cpython-312-x86_64-linux-gnu.so").touch()
    assert not compiler_lacks(machine, for_cpu=False, eager=False)


def test_a_cpu_needs_one_for_cpp_unless_nothing_is_compiled(machine: dict[str, str]) -> None:
    assert not compiler_lacks(machine, for_cpu=True, eager=True)
    assert "C++" in compiler_lacks(machine, for_cpu=True, eager=False)
    put(machine, "g++")
    assert not compiler_lacks(machine, for_cpu=True, eager=False)


@pytest.mark.parametrize(
    ("versions", "programs", "lacks"),
    [
        ({}, ["nvcc", "ninja", "g++"], "the package flashinfer-python"),
        ({"flashinfer": "0.7.2"}, [], "nvcc and ninja and a C++ compiler"),
        ({"flashinfer": "0.7.2"}, ["nvcc", "g++"], "ninja"),
        ({"flashinfer": "0.7.2"}, ["nvcc", "ninja", "c++"], ""),
        ({"flashinfer": "0.7.2", "flashinfer_jit_cache": "0.7.2+cu130"}, [], ""),
        (
            {"flashinfer": "0.7.2", "flashinfer_jit_cache": "0.7.1"},
            ["nvcc", "ninja", "g++"],
            "flashinfer-jit-cache 0.7.2 (there is 0.7.1)",
        ),
    ],
)
def test_what_the_sampler_lacks(
    machine: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str],
    programs: list[str],
    lacks: str,
) -> None:
    install(Path(machine["HOME"]), monkeypatch, **versions)
    put(machine, *programs)  # CUDA_HOME/bin is where all programs of this machine are
    assert sampler_lacks(machine) == lacks
    assert sampler_lacks(machine | {SAMPLER: "0"}) == ""


def test_a_start_does_without_a_sampler_that_lacks_something(
    machine: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    put(machine, "gcc")
    toolchain.prepare(for_cpu=False, eager=False, environ=machine)
    assert machine[SAMPLER] == "0"
    assert "flashinfer-python" in caplog.text
    caplog.clear()
    toolchain.prepare(for_cpu=False, eager=False, environ=machine)
    assert not caplog.text


def test_a_sampler_that_was_asked_for_must_be_there(machine: dict[str, str]) -> None:
    put(machine, "gcc")
    with pytest.raises(EngineStartError, match="flashinfer-python") as refused:
        toolchain.prepare(for_cpu=False, eager=False, environ=machine | {SAMPLER: "1"})
    assert refused.value.code == "sampler-missing"


def test_a_start_without_a_compiler_ends_before_the_model_is_loaded(
    machine: dict[str, str],
) -> None:
    with pytest.raises(EngineStartError) as refused:
        toolchain.prepare(for_cpu=False, eager=True, environ=machine)
    assert refused.value.code == "compiler-missing"
    assert "build-essential" in refused.value.hint


def test_ninja_is_found_in_an_environment_that_is_not_activated(
    machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "venv" / "bin"
    own.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    before = machine["PATH"]
    add_own_programs(machine)
    assert machine["PATH"] == before
    (own / "ninja").touch(0o755)
    add_own_programs(machine)
    assert machine["PATH"] == f"{before}:{own}"
    add_own_programs(machine)
    assert machine["PATH"].count(str(own)) == 1

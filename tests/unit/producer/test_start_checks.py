"""What `doctor` says that a start of vLLM will take."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from producer import start_checks
from producer.checks import Check
from regioncap.engines import compile_cache, toolchain
from regioncap.engines.model import resolve_model
from regioncap.settings import Settings, load_settings
from tests.support.checkpoints import write_checkpoint
from tests.support.gpus import TWO_GPUS, put_smi


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = write_checkpoint(tmp_path / "model")
    kept = tmp_path / "kept"
    return load_settings(engine="vllm", model=str(model), compile_cache_dir=kept)


def found(settings: Settings, environ: dict[str, str]) -> dict[str, Check]:
    checks = start_checks.check_all(settings, environ)
    assert all(check.remedy for check in checks if check.status in {"warn", "fail"})
    return {check.name: check for check in checks}


def test_a_start_that_was_noted_tells_how_long_the_next_takes(
    settings: Settings, tmp_path: Path
) -> None:
    environ = put_smi(tmp_path / "bin", TWO_GPUS)
    checks = found(settings, environ)
    assert "the first takes longest" in checks["start"].what
    assert checks["compile cache"].what == f"cold, in {tmp_path}/kept/vllm"

    revision = resolve_model(settings.model).revision
    kept = environ | {"VLLM_CACHE_ROOT": str(tmp_path / "kept/vllm")}
    key = compile_cache.key_of(settings, revision, ["NVIDIA H200"])
    compile_cache.note_start(key, 41.4, kept)
    (tmp_path / "kept/vllm/torch_compile_cache/0a1b").mkdir(parents=True)
    checks = found(settings, environ)
    assert checks["start"].what.endswith("the last one like it took 41 s")
    assert "GB/s here" in checks["start"].what
    assert checks["compile cache"].what.startswith("warm")


def test_what_is_missing_is_told_before_a_start(settings: Settings, tmp_path: Path) -> None:
    environ = put_smi(tmp_path / "bin", TWO_GPUS) | {"CUDA_HOME": "/nowhere", "HOME": "/nowhere"}
    checks = found(settings, environ)
    assert checks["compilers"].status == "fail"
    assert "no C compiler" in checks["compilers"].what
    assert checks["sampler"].status == "warn"
    assert found(settings, environ | {toolchain.SAMPLER: "1"})["sampler"].status == "fail"
    assert found(settings, environ | {toolchain.SAMPLER: "0"})["sampler"].status == "ok"


def test_a_cache_in_memory_is_a_finding(settings: Settings, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        environ = put_smi(tmp_path / "bin", "") | {"VLLM_CACHE_ROOT": folder}
        check = found(settings, environ)["compile cache"]
    assert check.status == "warn"
    assert "compile_cache_dir" in check.remedy


def test_a_cache_that_cannot_be_written_and_a_model_that_is_not_here(
    settings: Settings, tmp_path: Path
) -> None:
    environ = put_smi(tmp_path / "bin", "")
    away = settings.model_copy(update={"model": str(tmp_path / "none")})
    assert found(away, environ)["start"].status == "skip"
    (tmp_path / "file").touch()
    wrong = settings.model_copy(update={"compile_cache_dir": tmp_path / "file"})
    assert found(wrong, environ)["compile cache"].status == "fail"


def test_the_rate_is_of_what_lies_in_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_checks, "_PIECE_BYTES", 10)
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(b"x" * 100)
    size, per_s = start_checks._read_rate(files)
    assert size == 300
    assert per_s > 0
    places = range(0, 300, 50)
    assert [start_checks._read_at(files, place) for place in places] == [10] * 6
    assert start_checks._read_at(files, 295) == 5

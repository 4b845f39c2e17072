"""Where what vLLM compiles is kept, and how long starts took."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.engines import compile_cache
from regioncap.errors import EngineStartError
from regioncap.settings import load_settings


def test_one_folder_is_for_all_that_compile(tmp_path: Path) -> None:
    environ = {"TRITON_CACHE_DIR": "/of/the/user"}
    compile_cache.use(tmp_path / "kept", environ)
    assert environ == {
        "TRITON_CACHE_DIR": "/of/the/user",
        "VLLM_CACHE_ROOT": str(tmp_path / "kept/vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kept/inductor"),
        "FLASHINFER_WORKSPACE_BASE": str(tmp_path / "kept/flashinfer"),
        "CUDA_CACHE_PATH": str(tmp_path / "kept/cuda"),
    }
    assert compile_cache.root_of(environ).is_dir()


def test_without_the_setting_vllms_own_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ: dict[str, str] = {}
    compile_cache.use(None, environ)
    assert environ == {}
    assert compile_cache.root_of(environ) == tmp_path / ".cache" / "vllm"


def test_a_folder_that_keeps_nothing_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineStartError, match="Not a directory") as refused:
        compile_cache.use(tmp_path / "file" / "x", {})
    assert refused.value.code == "compile-cache"


def test_it_is_warm_once_a_model_was_compiled(tmp_path: Path) -> None:
    environ = {"VLLM_CACHE_ROOT": str(tmp_path)}
    assert not compile_cache.is_warm(environ)
    (tmp_path / "torch_compile_cache" / "0a1b").mkdir(parents=True)
    assert compile_cache.is_warm(environ)


def test_memory_does_not_stay(tmp_path: Path) -> None:
    assert not compile_cache.stays(Path("/dev/shm/some/folder"))
    assert compile_cache.stays(Path(__file__))


def test_starts_of_the_same_kind_are_noted(tmp_path: Path) -> None:
    environ = {"VLLM_CACHE_ROOT": str(tmp_path)}
    settings = load_settings(engine="vllm", engine_args={"max_model_len": 4096})
    key = compile_cache.key_of(settings, "commit", ["NVIDIA H200", "NVIDIA H200"])
    assert compile_cache.noted_start(key, environ) is None
    compile_cache.note_start(key, 41.5, environ)
    note = compile_cache.noted_start(key, environ)
    assert note is not None
    assert note.seconds == 41.5

    others = {
        compile_cache.key_of(settings, "other", ["NVIDIA H200"]),
        compile_cache.key_of(settings, "commit", ["NVIDIA H100"]),
        compile_cache.key_of(load_settings(engine="vllm"), "commit", ["NVIDIA H200"]),
    }
    assert len(others | {key}) == 4
    assert compile_cache.key_of(settings, "commit", ["NVIDIA H200"]) == key


def test_a_note_that_cannot_be_written_or_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "regioncap-starts").touch()
    environ = {"VLLM_CACHE_ROOT": str(tmp_path)}
    compile_cache.note_start("key", 1.0, environ)
    assert compile_cache.noted_start("key", environ) is None
    (tmp_path / "regioncap-starts").unlink()
    (tmp_path / "regioncap-starts").mkdir()
    (tmp_path / "regioncap-starts" / "key.json").write_text('{"seconds": "soon"}')
    assert compile_cache.noted_start("key", environ) is None

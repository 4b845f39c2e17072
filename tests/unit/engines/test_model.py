"""Which folder or hub name a model is, and why it cannot be had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regioncap.engines.model import is_offline, resolve_model
from regioncap.errors import EngineStartError
from tests.support.checkpoints import write_checkpoint


def test_a_folder_of_any_name_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "weights, second try")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = resolve_model(str(folder))
    assert (found.name, found.folder) == (str(folder), folder)
    assert found.revision.startswith("sha256:")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_folder_that_looks_like_a_hub_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "Qwen" / "Qwen2.5-VL-3B-Instruct")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("Qwen/Qwen2.5-VL-3B-Instruct").folder == folder


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_checkpoint(tmp_path / "qwen")
    assert resolve_model("~/qwen").folder == tmp_path / "qwen"


@pytest.mark.parametrize("name", ["/no/such/folder", "./qwen", "qwen", "a/b/c", "~nobody/x y", ""])
def test_no_such_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineStartError) as caught:
        resolve_model(name)
    assert caught.value.code in {"model-folder-missing", "model-files-missing"}
    assert "config.json" in caught.value.hint


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(EngineStartError, match="is a file, not a folder") as caught:
        resolve_model(str(tmp_path / "model.gguf"))
    assert caught.value.code == "model-folder-missing"


def test_the_folder_is_checked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, model_type="llama")
    with pytest.raises(EngineStartError) as caught:
        resolve_model(str(tmp_path))
    assert caught.value.code == "model-unsupported"


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
def test_offline_by_the_hub_clients_variable(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", value)
    assert is_offline() is offline


def test_the_model_that_comes_along_is_whole_and_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve_model("small")
    assert found.name == "small"
    assert sum(path.stat().st_size for path in found.folder.iterdir()) <= 10_000_000
    write_checkpoint(tmp_path / "small")
    assert resolve_model("small").folder == tmp_path / "small"

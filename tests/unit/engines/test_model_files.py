"""What a checkpoint lacks is named before it is loaded; its revision follows its content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from regioncap.engines.model_files import check_checkpoint, revision_of, weight_files, weights_bytes
from regioncap.errors import EngineStartError
from tests.support.checkpoints import shard_weights, write_checkpoint, write_safetensors

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "a name of my own")


def failure(folder: Path) -> EngineStartError:
    with pytest.raises(EngineStartError) as caught:
        check_checkpoint(folder)
    return caught.value


def test_a_whole_checkpoint_passes(folder: Path) -> None:
    check_checkpoint(folder)
    shard_weights(folder, 3)
    check_checkpoint(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "other", "architectures": ["Qwen2_5_VLForConditionalGeneration"]},
        {"model_type": "qwen3_vl"},
        {"model_type": "gemma3", "vision_config": {"hidden_size": 8}},
        {"model_type": "llava"},
    ],
)
def test_any_vision_model_passes(tmp_path: Path, settings: dict[str, object]) -> None:
    check_checkpoint(write_checkpoint(tmp_path, **settings))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "llama"),
        ({"model_type": "qwen3"}, "qwen3"),
        ({"model_type": None, "architectures": ["A", "B"]}, "A, B"),
        ({"model_type": None}, "nothing"),
    ],
)
def test_another_model_is_named(tmp_path: Path, settings: dict[str, object], found: str) -> None:
    error = failure(write_checkpoint(tmp_path, **settings))
    assert error.code == "model-unsupported"
    assert error.message.endswith(f"says {found}")
    assert "Qwen2.5-VL" in error.hint


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("config.json", "the configuration"),
        ("tokenizer.json", "the tokenizer"),
        ("preprocessor_config.json", "the image settings"),
        ("model.safetensors", "the weights"),
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str, what: str) -> None:
    (folder / name).unlink()
    error = failure(folder)
    assert error.code == "model-files-missing"
    assert error.message.startswith(what)
    assert f"no {name} in {folder}" in error.message


@pytest.mark.parametrize(
    ("instead", "missing"),
    [
        (["vocab.json", "merges.txt"], "tokenizer.json"),
        (["processor_config.json"], "preprocessor_config.json"),
    ],
)
def test_other_forms_of_a_file_will_do(folder: Path, instead: list[str], missing: str) -> None:
    (folder / missing).unlink()
    for name in instead:
        (folder / name).write_text("{}")
    check_checkpoint(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    shards = shard_weights(folder, 3)
    shards[1].unlink()
    error = failure(folder)
    assert error.code == "model-files-missing"
    assert error.message.startswith("1 of 3 weight files")
    assert shards[1].name in error.message


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _point(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _scramble(path: Path) -> None:
    path.write_bytes((4).to_bytes(8, "little") + b"}{}{")


@pytest.mark.parametrize(
    ("damage", "hint"),
    [
        (_cut, "hf download"),
        (_empty, "hf download"),
        (_scramble, "hf download"),
        (_point, "git lfs pull"),
    ],
)
def test_damaged_weights_are_told(folder: Path, damage: Callable[[Path], None], hint: str) -> None:
    damage(folder / "model.safetensors")
    error = failure(folder)
    assert error.code == "model-files-damaged"
    assert "model.safetensors" in error.message
    assert hint in error.hint


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_told(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert failure(folder).code == "model-files-damaged"


def test_old_pytorch_weights_are_found(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"12345")
    assert weight_files(folder) == [folder / "pytorch_model.bin"]
    assert weights_bytes(folder) == 5


def test_a_revision_of_the_hubs_cache_is_its_commit(tmp_path: Path) -> None:
    assert revision_of(write_checkpoint(tmp_path / "snapshots" / COMMIT)) == COMMIT


def test_a_revision_of_a_download_is_in_its_notes(folder: Path) -> None:
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text(f"{COMMIT}\netag\n1.0\n")
    assert revision_of(folder) == COMMIT


def test_a_revision_of_other_folders_follows_their_content(folder: Path, tmp_path: Path) -> None:
    first = revision_of(folder)
    assert first.startswith("sha256:")
    assert first == revision_of(write_checkpoint(tmp_path / "copied under another name"))
    write_safetensors(folder / "model.safetensors", b"other weights")
    second = revision_of(folder)
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert len({first, second, revision_of(folder)}) == 3


def test_a_revision_samples_large_weights_to_the_end(folder: Path) -> None:
    data = bytearray(40 << 20)
    write_safetensors(folder / "model.safetensors", bytes(data))
    first = revision_of(folder)
    data[-1] = 1
    write_safetensors(folder / "model.safetensors", bytes(data))
    assert revision_of(folder) != first

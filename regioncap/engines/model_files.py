"""A model's folder: is everything there that an engine needs, and which version is it?

Looks at files only, and at no more of them than it must: a broken download is named before minutes
are spent on loading it. The layout is the one that `transformers` writes and the Hub holds:
https://huggingface.co/docs/transformers/main_classes/model
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regioncap.errors import EngineStartError

WEIGHTS_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")

_FETCH_AGAIN = "fetch the model again: hf download ORGANISATION/NAME --local-dir FOLDER"
_LFS_POINTER = b"version https://git-lfs"
_WHOLE_FILE_LIMIT_BYTES = 32 << 20
_SAMPLES = 16
_SAMPLE_BYTES = 64 << 10
#: What is hashed besides the weights: everything that changes what the model says.
_SMALL_FILES = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "chat_template.json", "chat_template.jinja",
)  # fmt: skip


def check_checkpoint(folder: Path) -> None:
    """Checks that a folder holds a whole model that sees.

    Raises:
        EngineStartError: `model-unsupported`, `model-files-missing` or `model-files-damaged`.
    """
    _check_architecture(folder)
    _require_any(folder, "the tokenizer", ("tokenizer.json",), ("vocab.json", "merges.txt"))
    _require_any(
        folder, "the image settings", ("preprocessor_config.json",), ("processor_config.json",)
    )
    for path in weight_files(folder):
        _check_weights(path)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, sorted by name; each one exists.

    Raises:
        EngineStartError: `model-files-missing`.
    """
    for index in WEIGHTS_INDEXES:
        if (folder / index).is_file():
            names = sorted(set(_read_json(folder / index).get("weight_map", {}).values()))
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise _missing(folder, f"{len(missing)} of {len(names)} weight files", missing[0])
            return [folder / name for name in names]
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if found := sorted(folder.glob(pattern)):
            return found
    raise _missing(folder, "the weights", "model.safetensors")


def weights_bytes(folder: Path) -> int:
    """Size of the weights on disk, in bytes; about what they take in memory."""
    return sum(path.stat().st_size for path in weight_files(folder))


def revision_of(folder: Path) -> str:
    """Names the version of the files in a folder.

    A folder that came from the Hub has its commit, taken from the cache's own layout
    (`snapshots/<commit>`) or from the notes that a download into a folder leaves
    (`.cache/huggingface/download/*.metadata`). Any other is named by its content: the small files
    whole, of the weights the size and samples spread over the file.

    Returns:
        40 hex digits of a commit, or `sha256:` and 16 hex digits.
    """
    if folder.parent.name == "snapshots" and _is_commit(folder.name):
        return folder.name
    note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    if note.is_file() and _is_commit(commit := note.read_text("utf-8").split("\n", 1)[0].strip()):
        return commit
    return "sha256:" + _content_digest(folder)[:16]


def _content_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    small = [folder / name for name in _SMALL_FILES]
    for path in [*(path for path in small if path.is_file()), *weight_files(folder)]:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        _digest_file(path, digest.update)
    return digest.hexdigest()


def _digest_file(path: Path, update: Callable[[bytes], object]) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_FILE_LIMIT_BYTES:
            update(file.read())
            return
        for sample in range(_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            update(file.read(_SAMPLE_BYTES))


def _check_architecture(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        raise _missing(folder, "the configuration", "config.json")
    config = _read_json(path)
    if not _sees(config):
        architectures = config.get("architectures") or []
        found = config.get("model_type") or ", ".join(map(str, architectures)) or "nothing"
        raise EngineStartError(
            f"{folder} holds no model that sees pictures: its config.json says {found}",
            code="model-unsupported",
            hint="give a vision model that vLLM serves, such as Qwen/Qwen2.5-VL-3B-Instruct; "
            "docs/models.md names those that are tried",
        )


def _sees(config: dict[str, Any]) -> bool:
    """Whether a configuration is of a vision model; old ones have no part for vision."""
    names = [config.get("model_type"), *(config.get("architectures") or [])]
    parts = ("vision_config", "vision_cfg", "visual", "vit_config", "vision_tower_config")
    return any(isinstance(config.get(part), dict) for part in parts) or any(
        re.search(r"vl|vision|llava|image|visual", str(name), re.IGNORECASE) for name in names
    )


def _require_any(folder: Path, what: str, *choices: tuple[str, ...]) -> None:
    if not any(all((folder / name).is_file() for name in names) for names in choices):
        raise _missing(folder, what, " + ".join(choices[0]))


def _check_weights(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(len(_LFS_POINTER))
    if head == _LFS_POINTER:
        raise EngineStartError(
            f"{path} is a Git LFS pointer of {size} bytes, not the weights",
            code="model-files-damaged",
            hint=f"run `git lfs pull` in {path.parent}",
        )
    if path.suffix == ".safetensors" and size != (expected := _safetensors_bytes(path)):
        raise EngineStartError(
            f"{path} has {size} bytes where its header says {expected}",
            code="model-files-damaged",
            hint=f"the download broke off: {_FETCH_AGAIN}",
        )


def _safetensors_bytes(path: Path) -> int:
    """Size that a file's header promises; -1 for a header that cannot be read.

    Format: 8 bytes little-endian header size, JSON header, data
    (https://huggingface.co/docs/safetensors).
    """
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > path.stat().st_size:
            return -1
        try:
            header = json.loads(file.read(header_bytes))
        except ValueError:
            return -1
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return int(8 + header_bytes + max(ends, default=0))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise EngineStartError(
            f"{path} is not JSON: {error}", code="model-files-damaged", hint=_FETCH_AGAIN
        ) from error
    if not isinstance(content, dict):
        raise EngineStartError(
            f"{path} holds no JSON object", code="model-files-damaged", hint=_FETCH_AGAIN
        )
    return content


def _missing(folder: Path, what: str, name: str) -> EngineStartError:
    return EngineStartError(
        f"{what} of the model cannot be found: no {name} in {folder}",
        code="model-files-missing",
        hint=f"give the folder that holds config.json and the weights, or {_FETCH_AGAIN}",
    )


def _is_commit(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None

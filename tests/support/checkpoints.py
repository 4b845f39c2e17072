"""Folders that look like a Qwen2.5-VL, without a model: for what only looks at files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_safetensors(path: Path, data: bytes = bytes(8)) -> None:
    """A valid file with one tensor."""
    tensor = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def write_checkpoint(folder: Path, **config: Any) -> Path:
    """All the files that a checkpoint has; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"model_type": "qwen2_5_vl", **config}
    (folder / "config.json").write_text(json.dumps(settings))
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    write_safetensors(folder / "model.safetensors")
    return folder


def shard_weights(folder: Path, count: int) -> list[Path]:
    """Replaces the weights by an index and that many files."""
    (folder / "model.safetensors").unlink()
    names = [f"model-{n + 1:05}-of-{count:05}.safetensors" for n in range(count)]
    for name in names:
        write_safetensors(folder / name)
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return [folder / name for name in names]

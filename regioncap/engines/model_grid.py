"""How a model takes pictures, read from the files beside its weights.

Qwen's vision models since Qwen2-VL, and others that share their image processor, round a picture's
sides to multiples of a cell: patch times merge. What else there is takes pictures of one size, or
cuts them into tiles of one; it resizes whatever it gets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regioncap.engines.model import find_settings
from regioncap.errors import EngineStartError
from regioncap.job import Grid
from regioncap.settings import SMALL, SMALL_MAX_PIXELS, Settings

#: Image processors that round sides to a multiple, as their settings name them.
_ROUNDING = "Qwen2VLImageProcessor"
#: Families that learned places as thousandths of a picture's sides.
_IN_THOUSANDTHS = {"qwen2_vl", "qwen3_vl", "qwen3_vl_moe", "internvl", "internvl_chat"}
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
#: What is read of a model here, and nothing else is fetched.
FILES = (*_PROCESSORS, "config.json", "tokenizer_config.json", "tokenizer.json")


def read_grid(folder: Path, model: str) -> Grid:
    """How the model of a folder takes pictures.

    Args:
        folder: The model's files; the weights need not be there.
        model: What it is called.

    Raises:
        EngineStartError: A file cannot be read (`model-files-damaged`), or says what makes no grid
            (`model-grid`).
    """
    processor = _processor(folder)
    config = _read(folder / "config.json")
    shown: dict[str, Any] = {"placeholders": _placeholders(folder), "model": model}
    if config.get("model_type") in _IN_THOUSANDTHS:
        shown["box_unit"] = "thousandths"
    kind = str(processor.get("image_processor_type", ""))
    if not kind.startswith(_ROUNDING):
        return Grid(resizes=True, **shown)
    patch, merge = processor.get("patch_size", 14), processor.get("merge_size", 2)
    if not (_is_side(patch) and _is_side(merge)):
        raise EngineStartError(
            f"{folder} has patch_size {patch!r} and merge_size {merge!r}, which make no grid",
            code="model-grid",
            hint="compare its preprocessor_config.json with the model's page",
        )
    return Grid(cell_px=patch * merge, **shown)


def grid_of_model(settings: Settings) -> Grid:
    """How the model that the settings name takes pictures; asks the Hub for small files if need be.

    Raises:
        EngineStartError: It cannot be told; the message says why.
    """
    folder = find_settings(
        settings.model,
        FILES,
        hf_cache_dir=settings.hf_cache_dir,
        download_dir=settings.download_dir,
    )
    grid = read_grid(folder, settings.model)
    if settings.model == SMALL and not Path(SMALL).is_dir():
        return grid.model_copy(update={"max_pixels": SMALL_MAX_PIXELS})
    return grid


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 64


def _processor(folder: Path) -> dict[str, Any]:
    """The settings of the image processor, in a file of their own or in the processor's."""
    for name in _PROCESSORS:
        found = _read(folder / name)
        inner = found.get("image_processor")
        settings = inner if isinstance(inner, dict) else found
        if "image_processor_type" in settings:
            return settings
    return {}


def _placeholders(folder: Path) -> tuple[str, ...]:
    """What stands for a picture, or begins and ends it, in the model's prompts."""
    named: set[str] = set()
    for name in ("tokenizer_config.json", *_PROCESSORS):
        found = _read(folder / name)
        inner = found.get("extra_special_tokens")
        for fields in (found, inner if isinstance(inner, dict) else {}):
            named |= {_text(value) for key, value in fields.items() if _is_for_pictures(key)}
    config = _read(folder / "config.json")
    wanted = {value for key, value in config.items() if _is_for_pictures(key)}
    for token in _read(folder / "tokenizer.json").get("added_tokens") or []:
        if isinstance(token, dict) and token.get("id") in wanted:
            named.add(_text(token.get("content")))
    return tuple(sorted(name for name in named if name))


def _is_for_pictures(key: str) -> bool:
    is_token = "token" in key and "num" not in key
    return is_token and any(word in key for word in ("image", "vision_start", "vision_end", "boi"))


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and len(value) <= 64 else ""


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise EngineStartError(
            f"{path} is not JSON: {error}", code="model-files-damaged"
        ) from error
    return content if isinstance(content, dict) else {}

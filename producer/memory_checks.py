"""How many requests a card holds at once, by calculation, for `regioncap doctor`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from producer.checks import Check
from regioncap.engines import argument, split
from regioncap.engines.gpu import visible_gpus
from regioncap.engines.memory import Card, Model, Plan, plan, read_model
from regioncap.engines.model import find_settings, local_model
from regioncap.engines.model_files import WEIGHTS_INDEXES, weights_bytes
from regioncap.engines.model_grid import FILES, read_grid
from regioncap.engines.vllm_start import default_utilization
from regioncap.errors import EngineStartError, RegionCapError
from regioncap.plurals import counted
from regioncap.settings import Settings

_GIB, _GB = 1 << 30, 10**9
#: Of a prompt, about.
WORDS_TOKENS = 300
_REMEDY = "take a smaller or quantized model, a larger tensor_parallel_size, or fewer max_pixels"


def check_card(settings: Settings, memory_gb: float) -> Iterator[Check]:
    """What fits on a card of so many gigabytes, with weights as they are and in fp8."""
    try:
        folder = find_settings(
            settings.model,
            (*FILES, *WEIGHTS_INDEXES),
            hf_cache_dir=settings.hf_cache_dir,
            download_dir=settings.download_dir,
        )
        config, model = _read(folder)
        for name in [""] if "quantization_config" in config else ["bf16", "fp8"]:
            found = _plan(settings, model, int(memory_gb * _GB), fp8=name == "fp8")
            yield _told(settings, folder, found)._replace(name=f"memory {name}".strip())
    except RegionCapError as error:
        yield Check("memory", "fail", error.message, error.hint)


def check_gpus(settings: Settings, environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """What fits on the first visible GPU; nothing where that cannot be told."""
    try:
        found = visible_gpus(environ)
        if not found or not found[0].total_bytes:
            return
        folder = local_model(settings).folder
        config, model = _read(folder)
        quantized = argument(settings, "quantization", None) == "fp8"
        fp8 = quantized and "quantization_config" not in config
        yield _told(settings, folder, _plan(settings, model, found[0].total_bytes, fp8=fp8))
    except (RegionCapError, ValueError):
        return  # other checks say what is wrong


def _read(folder: Path) -> tuple[dict[str, Any], Model]:
    """A model's configuration and shape.

    Raises:
        EngineStartError: Sizes are missing (`model-unsupported`), or a file is (others).
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        # Of those that are stored by two bytes: what other forms take is what they take on disk.
        stored = _stored_bytes(folder)
        return config, read_model(config, stored // 2 if stored else None)
    except (KeyError, ValueError, OSError) as error:
        raise EngineStartError(
            f"the shape of the model in {folder} cannot be read: {error}",
            code="model-unsupported",
            hint="its config.json has other names than Qwen2.5-VL's; look at vLLM's log of a start",
        ) from error


def _stored_bytes(folder: Path) -> int:
    for index in WEIGHTS_INDEXES:
        if (folder / index).is_file():
            told = json.loads((folder / index).read_text("utf-8"))
            return int(told.get("metadata", {}).get("total_size", 0))
    try:
        return weights_bytes(folder)
    except EngineStartError:
        return 0  # only the small files are here


def _plan(settings: Settings, model: Model, total_bytes: int, *, fp8: bool) -> Plan:
    given = argument(settings, "gpu_memory_utilization", None)
    utilization = default_utilization() if given is None else float(given)
    cache = str(argument(settings, "kv_cache_dtype", "")).startswith("fp8")
    card = Card(total_bytes, utilization, split(settings))
    return plan(model, card, fp8=fp8, fp8_cache=cache)


def _told(settings: Settings, folder: Path, found: Plan) -> Check:
    grid = read_grid(folder, settings.model)
    what = (
        f"by calculation: weights {found.weights_bytes / _GIB:.1f} GiB, computing "
        f"{found.computing_bytes / _GIB:.1f} GiB, room for {found.kv_tokens:,} tokens"
    )
    if grid.resizes:
        return Check("memory", "ok", what)
    picture = settings.max_pixels // grid.cell_px**2
    fits = found.requests(picture + WORDS_TOKENS + settings.max_tokens)
    what += (
        f": {counted(fits, 'picture')} of {picture:,} tokens at once, each with "
        f"{WORDS_TOKENS} of words and {settings.max_tokens} of answer"
    )
    return Check("memory", "ok" if fits else "fail", what, "" if fits else _REMEDY)

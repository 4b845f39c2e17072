"""What a start of vLLM will take on this machine, for `regioncap doctor`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from producer import words
from producer.checks import Check
from regioncap.engines import argument, compile_cache, toolchain
from regioncap.engines.cpu import is_built_for_cpu
from regioncap.engines.gpu import gpu_names
from regioncap.engines.model import local_model
from regioncap.engines.model_files import weight_files
from regioncap.errors import RegionCapError
from regioncap.settings import SMALL, Settings

_GB = 1e9
#: The rate is measured on so many pieces of so many bytes, spread over the weights.
_PIECES, _PIECE_BYTES = 16, 16 << 20


def check_all(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Whether vLLM has what it compiles with, and how long it will take; never raises."""
    own = dict(environ)
    toolchain.add_own_programs(own)
    for_cpu = is_built_for_cpu()
    eager = (for_cpu and settings.model == SMALL) or argument(settings, "enforce_eager", False)
    checks = [_check_compilers(own, for_cpu=for_cpu, eager=bool(eager))]
    if not for_cpu:
        checks.append(_check_sampler(own))
    try:
        compile_cache.use(settings.compile_cache_dir, own)
    except RegionCapError as error:
        return [*checks, Check("compile cache", "fail", error.message, error.hint)]
    if not eager:
        checks.append(_check_cache(own))
    return [*checks, _check_start(settings, own, for_cpu=for_cpu)]


def _check_compilers(environ: Mapping[str, str], *, for_cpu: bool, eager: bool) -> Check:
    if lacks := toolchain.compiler_lacks(environ, for_cpu=for_cpu, eager=eager):
        return Check("compilers", "fail", lacks, toolchain.COMPILER_REMEDY)
    return Check("compilers", "ok", "what vLLM compiles with is there")


def _check_sampler(environ: Mapping[str, str]) -> Check:
    missing = toolchain.sampler_lacks(environ)
    if not missing:
        return Check("sampler", "ok", "what draws vLLM's tokens is there")
    named = environ.get(toolchain.SAMPLER)
    what = f"FlashInfer's lacks {missing}"
    if named:
        return Check("sampler", "fail", f"{what}, and {toolchain.SAMPLER}={named} asks for it",
                     toolchain.SAMPLER_REMEDY)  # fmt: skip
    return Check("sampler", "warn", f"{what}: vLLM's own is taken", toolchain.SAMPLER_REMEDY)


def _check_cache(environ: Mapping[str, str]) -> Check:
    root = compile_cache.root_of(environ)
    state = "warm" if compile_cache.is_warm(environ) else "cold"
    what = f"{state}, in {root}"
    if not compile_cache.stays(root):
        remedy = "set compile_cache_dir to a folder that stays: what lies in memory is gone then"
        return Check("compile cache", "warn", f"{what}, which no restart outlives", remedy)
    return Check("compile cache", "ok", what)


def _check_start(settings: Settings, environ: Mapping[str, str], *, for_cpu: bool) -> Check:
    try:
        found = local_model(settings)
        size, per_s = _read_rate(weight_files(found.folder))
    except (RegionCapError, OSError) as error:
        return Check("start", "skip", f"the model's weights cannot be read here: {error}")
    read = f"weights of {size / _GB:.1f} GB, read at {per_s / _GB:.1f} GB/s here: "
    read += f"{words.span(size / per_s)}; "
    gpus = [] if for_cpu else gpu_names(environ)
    note = compile_cache.noted_start(compile_cache.key_of(settings, found.revision, gpus), environ)
    if note is None:
        return Check("start", "ok", read + "none like it is noted here: the first takes longest")
    return Check("start", "ok", f"{read}the last one like it took {words.span(note.seconds)}")


def _read_rate(files: list[Path]) -> tuple[int, float]:
    """Size of files, and bytes a second at which parts of them are read now.

    What the system holds in memory counts as it is: a start would find it there too.
    """
    size = sum(file.stat().st_size for file in files)
    read = 0
    started_s = time.perf_counter()
    for piece in range(_PIECES):
        place = max(0, size - _PIECE_BYTES) * piece // (_PIECES - 1)
        read += _read_at(files, place)
        if read >= size:
            break
    return size, max(read, 1) / max(time.perf_counter() - started_s, 1e-9)


def _read_at(files: list[Path], place: int) -> int:
    """Reads a piece at a place in files laid end to end; returns its bytes."""
    for file in files:
        size = file.stat().st_size
        if place < size:
            with file.open("rb", buffering=0) as open_file:
                open_file.seek(place)
                return len(open_file.read(_PIECE_BYTES))
        place -= size
    return 0

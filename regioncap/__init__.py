"""RegionCap: captions for the marked regions of images, at any scale.

    inputs -> views -> engines -> captions -> outputs     the way of a record

    jobs         carries records along it, shard by shard
    services     S3 and Redis, which it needs for that
    evaluation   measures what comes of it
    local        all of it on one machine

At the top stand what all rooms share (records, job, keys, settings, errors, metrics, files,
parallel, packages, running_stack, escapes, addresses, tether, plurals) and the faces for programs:
client, async_client, and dataflow for users of DataFlow-MM. tests/unit/test_architecture.py says
which room may import which.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regioncap.async_client import AsyncClient
    from regioncap.client import Client
    from regioncap.dataflow import ImageRegionCaptionPipeline, PipelineResult
    from regioncap.errors import RegionCapError
    from regioncap.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "ImageRegionCaptionPipeline",
    "PipelineResult",
    "RegionCapError",
    "Settings",
    "__version__",
]

_MODULES = {
    "AsyncClient": "async_client",
    "Client": "client",
    "ImageRegionCaptionPipeline": "dataflow",
    "PipelineResult": "dataflow",
    "RegionCapError": "errors",
    "Settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

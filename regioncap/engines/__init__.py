"""Engines: what turns a marked picture and a prompt into text.

Adding one: a module with a class of the `Engine` protocol and a function `from_settings`, and a
line in `_MODULES`.
"""

from __future__ import annotations

from importlib import import_module

from regioncap.engines.base import Engine
from regioncap.settings import Settings

_MODULES = {
    "baseline": "regioncap.engines.baseline",
    "vllm": "regioncap.engines.vllm",
    "openai": "regioncap.engines.openai",
}


def make(settings: Settings) -> Engine:
    """The engine that the settings name, not started yet.

    Raises:
        UsageError: What it needs is not installed, or its settings do not fit.
    """
    engine: Engine = import_module(_MODULES[settings.engine]).from_settings(settings)
    return engine

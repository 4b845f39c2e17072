"""Caption workers with something of a bench in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from regioncap.local import Command, LocalStack
from regioncap.services.queue import CAPTION


def caption_command(
    stack: LocalStack,
    app: str,
    name: str,
    environment: Mapping[str, str],
    *,
    restart: bool = True,
    stop_timeout_s: float = 40.0,
) -> Command:
    """How to run a caption worker of the stack.

    Args:
        stack: A started stack.
        app: The module with the worker's Celery app.
        name: Names the worker and its log.
        environment: What it finds in its environment besides how to reach the stack.
        restart: Whether it is started again when it ends.
        stop_timeout_s: Time to end by itself.
    """
    argv = (
        sys.executable, "-m", "celery", "-A", app, "worker", "-Q", CAPTION, "-P", "threads",
        "-n", f"{name}@%h", "--without-gossip", "--without-mingle", "--loglevel=INFO",
    )  # fmt: skip
    reach = {f"REGIONCAP_{key.upper()}": value for key, value in stack.settings().items()}
    return Command(
        name=name,
        argv=argv,
        env={**os.environ, **reach, **environment},
        restart=restart,
        stop_timeout_s=stop_timeout_s,
    )

"""Benchmarks: each prints its figures and what they were measured on."""

from __future__ import annotations

import sys
from collections.abc import Callable


def as_command(main: Callable[[], None]) -> None:
    """Runs a bench as a command, whose reader may leave before its end: `| head`."""
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        from producer.pipes import let_go

        sys.exit(let_go())

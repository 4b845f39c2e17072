"""Pipes: what is left to do when the reader of stdout has gone, as in `| head`."""

from __future__ import annotations

import os
import sys

#: As a shell tells of a program that SIGPIPE ended.
READER_GONE = 141


def let_go() -> int:
    """Gives up stdout; returns the exit code that says so."""
    # Python would flush once more at exit, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE

"""Pipes: how stdout is named as a file to write, and what to do when its reader has gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: What stands for stdout where a file to write is named.
STDOUT = Path("-")
#: As a shell tells of a program that SIGPIPE ended.
READER_GONE = 141


def let_go() -> int:
    """Gives up stdout; returns the exit code that says so."""
    # Python would flush once more at exit, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE

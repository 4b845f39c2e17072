"""A bar for who waits for a job in a program: a line of a terminal, or of a notebook's cell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import Any, Protocol, TextIO

from regioncap.escapes import shown
from regioncap.jobs.status import JobStatus

_WIDTH = 24


class Bar(Protocol):
    """What shows how far a job is."""

    def __call__(self, status: JobStatus) -> None:
        """Shows a state."""


@contextmanager
def bar(wanted: bool | None = None) -> Iterator[Bar]:
    """A bar where somebody sees it.

    Args:
        wanted: True shows it in any case, on stderr where there is no notebook; False never; by
            default it is shown in notebooks and on terminals.
    """
    notebook = _notebook() if wanted is not False else None
    if notebook is not None:
        yield _CellBar(notebook)
    elif wanted or (wanted is None and sys.stderr.isatty()):
        line = _LineBar(sys.stderr)
        try:
            yield line
        finally:
            line.end()
    else:
        yield lambda _: None


class _LineBar:
    """One line that is written anew."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def __call__(self, status: JobStatus) -> None:
        share = status.done / max(1, status.records)
        filled = round(_WIDTH * share)
        line = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%}  " + "  ".join(
            map(shown, status.parts())
        )
        if line != self._last:
            self._out.write(f"\r{line.ljust(len(self._last))}")
            self._out.flush()
            self._last = line

    def end(self) -> None:
        if self._last:
            self._out.write("\n")
            self._out.flush()


class _CellBar:
    """A bar in the output of a notebook's cell."""

    def __init__(self, display: Any) -> None:
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._last = ""

    def __call__(self, status: JobStatus) -> None:
        said = " · ".join(status.parts())
        if said == self._last:
            return
        self._last = said
        html = (
            f'<progress max="{max(1, status.records)}" value="{status.done}"'
            f' style="width:14em;vertical-align:middle"></progress> {escape(said)}'
        )
        self._handle.update({"text/html": html, "text/plain": said}, raw=True)


def _notebook() -> Any:
    """`display` of the notebook in which this process is the kernel; None where it is none."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return import_module("IPython.display").display

"""Tables on stdout: aligned for people, and the same without colours or cuts in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.context import on_terminal

#: Wider than any row: what goes into a pipe is never cut or wrapped.
_UNCUT = 100_000

_STYLES = {"done": "green", "running": "cyan", "cancelled": "yellow", "FAIL": "red"}


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a table; the last column takes what width is left and may wrap."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    _out().print(table)


def show_facts(facts: Mapping[str, str]) -> None:
    """Writes names and values, one pair a line."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(value, style=_STYLES.get(value, "")))
    _out().print(table)


def _out() -> Console:
    return _Out(highlight=False, width=None if on_terminal() else _UNCUT)


class _Out(Console):
    def on_broken_pipe(self) -> NoReturn:
        # rich would end the process with code 1; the command knows what to do.
        raise BrokenPipeError

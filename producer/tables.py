"""Tables on stdout: aligned for people, and the same without colours or cuts in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from rich.table import Table
from rich.text import Text

from producer.context import emit, on_terminal
from producer.terminal import SafeConsole
from regioncap.escapes import shown

#: Wider than any row: what goes into a pipe is never cut or wrapped.
_UNCUT = 100_000

_STYLES = {
    "done": "green", "running": "cyan", "cancelled": "yellow", "paused": "yellow",
    "ok": "green", "warn": "yellow", "FAIL": "bold red",
}  # fmt: skip


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a table; the last column takes what width is left and may wrap."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    _print(table)


def show_facts(facts: Mapping[str, str]) -> None:
    """Writes names and values, one pair a line."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _cell(value))
    _print(table)


def show_line(*cells: tuple[str, int]) -> None:
    """Writes one line of texts, each with the width that it takes at least."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _, width in cells:
        table.add_column(min_width=width)
    table.add_row(*(_cell(text) for text, _ in cells))
    _print(table)


def _cell(text: str) -> Text:
    return Text(shown(text), style=_STYLES.get(text, ""))


def _print(table: Table) -> None:
    if on_terminal():
        _Out().print(table)
        return
    out = _Out(width=_UNCUT)
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        emit(line.rstrip())


class _Out(SafeConsole):
    def on_broken_pipe(self) -> NoReturn:
        # rich would end the process with code 1; the command knows what to do.
        raise BrokenPipeError

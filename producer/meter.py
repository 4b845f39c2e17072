"""Progress of work done here: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn

from producer import words
from producer.context import say, talk
from regioncap.jobs.rate import Rate

_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.1


class Meter:
    """Shows how far something is.

    Args:
        what: What is being done, as in `uploading`.
        unit: What is counted, as in `images`.
        bar: The bar to show it on.
    """

    def __init__(self, what: str, unit: str, bar: Progress) -> None:
        self._what = what
        self._unit = unit
        self._bar = bar
        self._task = bar.add_task(what, total=None, text="")
        self._rate = Rate()
        self._every_s = _LINE_EVERY_S if bar.disable else _DRAW_EVERY_S
        self._next_s = time.monotonic() + self._every_s
        self._rate.see(time.monotonic(), 0)

    def show(self, fraction: float | None, done: int, extra: str = "") -> None:
        """Shows a state; cheap enough to be called for every record.

        Args:
            fraction: Part done, 0 to 1; None where it is not known.
            done: How many units are done.
            extra: Anything else to say.
        """
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + self._every_s
        self._rate.see(now, done)
        text = " · ".join(filter(None, self._parts(fraction, done, extra)))
        if self._bar.disable:
            percent = "" if fraction is None else f"{fraction:.0%} · "
            say(f"{self._what}: {percent}{text}")
        else:
            total = None if fraction is None else 1.0
            self._bar.update(self._task, completed=fraction or 0.0, total=total, text=text)

    def _parts(self, fraction: float | None, done: int, extra: str) -> Iterator[str]:
        yield f"{done:,} {self._unit}"
        yield extra
        yield words.speed(self._rate.per_s, self._unit) if self._rate.per_s else ""
        left_s = self._rate.eta_s(done / fraction) if fraction else None
        yield f"{words.span(left_s)} left" if left_s else ""


def progress(*columns: ProgressColumn) -> Progress:
    """A bar on stderr, where that is a terminal; it is gone when the work is done."""
    return Progress(*columns, console=talk, disable=not talk.is_terminal, transient=True)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Says what is being done: at once on a terminal, elsewhere if it takes long, and again."""
    if talk.is_terminal:
        with talk.status(what):
            yield
        return
    began_s, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(_LINE_EVERY_S):
            say(f"{what}: {words.span(time.monotonic() - began_s)} so far")

    teller = threading.Thread(target=tell, name="doing", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


@contextmanager
def meter(what: str, unit: str) -> Iterator[Meter]:
    """A meter that is gone when the work is done."""
    columns = (
        TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(show_speed=False),
        TextColumn("{task.fields[text]}"),
    )  # fmt: skip
    with progress(*columns) as bar:
        yield Meter(what, unit, bar)

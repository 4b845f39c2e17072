"""Whether an input is hopeless as a whole, judged by its beginning."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

from regioncap.errors import UsageError
from regioncap.inputs.source import Source
from regioncap.inputs.totals import Totals
from regioncap.inputs.validate import JUDGED, Checker
from regioncap.parallel import map_ahead
from regioncap.plurals import counted
from regioncap.records import InputRecord
from regioncap.settings import Settings

#: Pictures that come with the records by which an input is judged, held until then.
_MOST_HELD_BYTES = 64_000_000


def judged(source: Source, settings: Settings) -> Iterator[InputRecord]:
    """The records of a source, once its first thousand have been looked at.

    Raises:
        UsageError: More than half of them have one and the same problem (`hopeless-input`), or
            boxes lie beside the pictures and are not read (`unread-annotations`).
    """
    check_reading(source, settings)
    head, held_bytes = deque[InputRecord](), 0
    for record in islice(source.records, JUDGED):
        head.append(record)
        held_bytes += record.held_bytes()
        if held_bytes > _MOST_HELD_BYTES:
            break
    checker = Checker(settings, source.root, source.name, source.image_root)
    totals = Totals()
    for checked in map_ahead(checker.check, head):
        totals.add(checked)
    if (error := refusal(totals, settings)) is not None:
        raise error
    return chain(_taken_from(head), source.records)


def _taken_from(records: deque[InputRecord]) -> Iterator[InputRecord]:
    """Records, none of which is held any longer than its reader does."""
    while records:
        yield records.popleft()


def check_reading(source: Source, settings: Settings) -> None:
    """Raises UsageError if proposals would stand in for boxes that lie beside the pictures."""
    unread = source.reading.unread_annotations
    if unread.count and not settings.propose and source.reading.form == "pictures without boxes":
        raise UsageError(
            f"{source.name}: annotations lie beside the pictures and are not read: {unread}",
            code="unread-annotations",
            hint="submit that file, or with --propose the pictures without it",
        )


def refusal(totals: Totals, settings: Settings) -> UsageError | None:
    """Why an input is refused of whose beginning this was found; None if it is taken."""
    for code, number in totals.flawed_by.most_common(1):
        if number > totals.records / 2:
            return _hopeless(totals, code, number, settings)
    return None


def _hopeless(totals: Totals, code: str, number: int, settings: Settings) -> UsageError:
    """The error of an input of which most would fail in one way."""
    hint = totals.hint(code, settings.box_format)
    first = totals.examples[code].examples[0]
    return UsageError(
        f"{number:,} of the first {counted(totals.records, 'record')} have one problem, {code}:"
        f" {first}",
        code="hopeless-input",
        hint="; ".join(filter(None, [hint, "--force (force=True) submits it all the same"])),
    )

"""What was found of an input as a whole: counts, groups of findings, and whether it is hopeless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from regioncap.errors import UsageError
from regioncap.inputs.reading import EXAMPLES, Group, Reading
from regioncap.inputs.source import Source
from regioncap.inputs.validate import JUDGED, REMOTE, Checked, Checker
from regioncap.parallel import map_ahead
from regioncap.records import SCHEMA_VERSION, InputRecord
from regioncap.settings import BoxFormat, Settings
from regioncap.views import box_formats

#: Pictures that come with the records by which an input is judged, held until then.
_MOST_HELD_BYTES = 500_000_000


@dataclass(slots=True)
class Totals:
    """What was found of all records."""

    records: int = 0
    #: Records that would come out as error records.
    failing: int = 0
    #: Records that have a problem.
    flawed: int = 0
    boxes: int = 0
    #: Records without boxes whose regions would be proposed.
    unboxed: int = 0
    #: Records without boxes of which nothing would be captioned.
    regionless: int = 0
    #: Pictures in a store, which are not looked at.
    remote: int = 0
    images: int = 0
    image_bytes: int = 0
    #: Findings by code.
    problems: Counter[str] = field(default_factory=Counter)
    #: Records that have a finding of the code.
    flawed_by: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Group] = field(default_factory=dict)
    #: Most examples kept of each code; None keeps all.
    shown: int | None = EXAMPLES
    #: Pictures by the rule that found them.
    found: Counter[str] = field(default_factory=Counter)
    boxes_from: Counter[str] = field(default_factory=Counter)
    #: Records by the format in which their boxes are read.
    box_formats: Counter[BoxFormat] = field(default_factory=Counter)
    fits: Counter[BoxFormat] = field(default_factory=Counter)

    def add(self, checked: Checked) -> None:
        """Counts one more record."""
        self.records += 1
        self.failing += checked.fails
        self.flawed += bool(checked.findings)
        self.boxes += checked.boxes
        self.unboxed += checked.proposes and not checked.fails
        self.regionless += not (checked.boxes or checked.proposes or checked.fails)
        self.remote += checked.rule == REMOTE
        self.images += checked.image_bytes > 0 and not checked.fails
        self.image_bytes += 0 if checked.fails else checked.image_bytes
        self.found.update([checked.rule] if checked.rule else ())
        self.boxes_from.update([checked.boxes_from] if checked.boxes_from else ())
        self.box_formats.update([checked.box_format] if checked.box_format else ())
        self.fits.update(checked.fits)
        self.flawed_by.update({finding.code for finding in checked.findings})
        for finding in checked.findings:
            self.problems[finding.code] += 1
            self.examples.setdefault(finding.code, Group(most=self.shown)).add(str(finding))

    def as_json(self, reading: Reading | None = None) -> dict[str, Any]:
        """The totals as a JSON object."""
        counted = (
            "records", "failing", "flawed", "boxes", "unboxed", "regionless", "images",
            "image_bytes",
        )  # fmt: skip
        counts = {name: getattr(self, name) for name in counted}
        return {
            "kind": "summary",
            "schema_version": SCHEMA_VERSION,
            **counts,
            "problems": dict(self.problems.most_common()),
            "found": dict(self.found.most_common()),
            "boxes_from": dict(self.boxes_from.most_common()),
            "read": reading.as_json() if reading else None,
        }

    def hint(self, code: str, box_format: BoxFormat) -> str:
        """The flag that would mend most findings of a code; empty if none is known."""
        if code in {"bad-box", "box-cut"}:
            return box_formats.hint(self.fits, box_format)
        return ""


def describe(totals: Totals, reading: Reading, settings: Settings) -> list[str]:
    """What an input was taken for, in lines for people: remarkable things only after the first."""
    form, boxes = reading.form, counted(totals.boxes, "box")
    lines = [f"read as {form}: {counted(totals.records, 'record')}, {boxes}"]
    if totals.boxes and not totals.boxes_from:
        lines[0] += f" ({', '.join(each for each, _ in totals.box_formats.most_common())})"
    lines += [
        f"boxes of {counted(number, 'record')} are read from {name}"
        for name, number in totals.boxes_from.most_common()
    ]
    if totals.found:
        rules = ", ".join(f"{number:,} {rule}" for rule, number in totals.found.most_common())
        lines.append(f"pictures found: {rules}")
    return lines + remarks(totals, reading)


def remarks(totals: Totals, reading: Reading) -> list[str]:
    """What a user may not expect, in lines for people."""
    lines = []
    if totals.unboxed:
        lines.append(f"{counted(totals.unboxed, 'record')} without bbox: regions will be proposed")
    if totals.regionless:
        records = counted(totals.regionless, "record")
        lines.append(
            f"{records} without regions: nothing is captioned there (--propose has them proposed)"
        )
    return lines + reading.lines()


def judged(source: Source, settings: Settings) -> Iterator[InputRecord]:
    """The records of a source, once its first thousand have been looked at.

    Raises:
        UsageError: More than half of them have one and the same problem (`hopeless-input`), or
            boxes lie beside the pictures and are not read (`unread-annotations`).
    """
    check_reading(source, settings)
    head, held_bytes = [], 0
    for record in islice(source.records, JUDGED):
        head.append(record)
        held_bytes += len(record.picture) if isinstance(record.picture, bytes) else 0
        if held_bytes > _MOST_HELD_BYTES:
            break
    checker = Checker(settings, source.root, source.name, source.image_root)
    totals = Totals()
    for checked in map_ahead(checker.check, head):
        totals.add(checked)
    for code, number in totals.flawed_by.most_common(1):
        if number > totals.records / 2:
            raise hopeless(totals, code, number, settings)
    return chain(head, source.records)


def check_reading(source: Source, settings: Settings) -> None:
    """Raises UsageError if proposals would stand in for boxes that lie beside the pictures."""
    unread = source.reading.unread_annotations
    if unread.count and not settings.propose and source.reading.form == "pictures without boxes":
        raise UsageError(
            f"{source.name}: annotations lie beside the pictures and are not read: {unread}",
            code="unread-annotations",
            hint="submit that file, or with --propose the pictures without it",
        )


def hopeless(totals: Totals, code: str, number: int, settings: Settings) -> UsageError:
    """The error of an input of which most would fail in one way."""
    hint = totals.hint(code, settings.box_format)
    first = totals.examples[code].examples[0]
    return UsageError(
        f"{number:,} of the first {counted(totals.records, 'record')} have one problem, {code}:"
        f" {first}",
        code="hopeless-input",
        hint="; ".join(filter(None, [hint, "--force (force=True) submits it all the same"])),
    )


def counted(number: int, noun: str) -> str:
    """A number of things: `1 record`, `2,000 boxes`."""
    ending = "" if number == 1 else "es" if noun.endswith("x") else "s"
    return f"{number:,} {noun}{ending}"


def grouped(totals: Totals, settings: Settings) -> Iterator[str]:
    """The findings of each code: the first of them, how many more, and what would mend them."""
    for code in totals.problems:
        yield from totals.examples[code].examples
        yield from more_of(totals, code, settings)


def more_of(totals: Totals, code: str, settings: Settings) -> Iterator[str]:
    """How many findings of a code there are beyond its examples, and what would mend them all."""
    left = totals.problems[code] - len(totals.examples[code].examples)
    hint = totals.hint(code, settings.box_format)
    if left:
        yield f"... and {left:,} more {code}" + (f" ({hint})" if hint else "")

"""What was found of an input, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from regioncap.inputs.reading import Reading
from regioncap.inputs.totals import Totals
from regioncap.plurals import counted
from regioncap.settings import Settings


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of an input that was submitted."""

    #: What it was taken for, and what of it people may not expect.
    description: list[str] = field(default_factory=list)
    #: Problems of records, grouped.
    findings: list[str] = field(default_factory=list)
    #: What a program is warned of: what it may not expect, and the problems.
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, totals: Totals, reading: Reading, settings: Settings) -> Report:
        """Puts into words what was read, when all has been."""
        findings = list(grouped(totals, settings))
        is_mixed = bool(totals.boxes or totals.regionless or findings)
        said = remarks(totals, reading) if is_mixed else reading.lines()
        return cls(describe(totals, reading, settings), findings, said + findings)

    def also(self, lines: list[str], *, is_unexpected: bool) -> Report:
        """The same with further lines, which are notes too if a program is to be warned of them."""
        notes = self.notes + lines if is_unexpected else self.notes
        return replace(self, description=self.description + lines, notes=notes)


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


def grouped(totals: Totals, settings: Settings) -> Iterator[str]:
    """The findings of each code: the first of them, how many more, and what would mend them."""
    for code in totals.problems:
        yield from totals.examples[code].examples
        yield from more_of(totals, code, settings)


def more_of(totals: Totals, code: str, settings: Settings) -> Iterator[str]:
    """How many findings of a code there are beyond its examples, and what would mend most."""
    left = totals.problems[code] - len(totals.examples[code].examples)
    hint = totals.hint(code, settings.box_format)
    if left or hint:
        yield (f"... and {left:,} more {code}" if left else code) + (f" ({hint})" if hint else "")

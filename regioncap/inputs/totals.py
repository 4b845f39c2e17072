"""What was found of an input as a whole: counts, and groups of findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from regioncap.inputs.distinct import Distinct
from regioncap.inputs.reading import EXAMPLES, Group, Reading
from regioncap.inputs.validate import Checked
from regioncap.records import SCHEMA_VERSION
from regioncap.settings import BoxFormat
from regioncap.views import box_formats


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
    #: Pictures that would be sent, each once however many records name it.
    images: int = 0
    image_bytes: int = 0
    #: Findings by code.
    problems: Counter[str] = field(default_factory=Counter)
    #: Records that have a finding of the code.
    flawed_by: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Group] = field(default_factory=dict)
    #: Most examples kept of each code; None keeps all.
    shown: int | None = EXAMPLES
    #: Pictures by the rule that found them, each once.
    found: Counter[str] = field(default_factory=Counter)
    boxes_from: Counter[str] = field(default_factory=Counter)
    #: Records by the format in which their boxes are read.
    box_formats: Counter[BoxFormat] = field(default_factory=Counter)
    fits: Counter[BoxFormat] = field(default_factory=Counter)
    _found: Distinct = field(default_factory=Distinct)
    _sent: Distinct = field(default_factory=Distinct)

    def add(self, checked: Checked) -> None:
        """Counts one more record."""
        self.records += 1
        self.failing += checked.fails
        self.flawed += bool(checked.findings)
        self.boxes += checked.boxes
        self.unboxed += checked.proposes and not checked.fails
        self.regionless += not (checked.boxes or checked.proposes or checked.fails)
        if checked.image_bytes and not checked.fails and self._sent.is_new(checked.picture):
            self.images += 1
            self.image_bytes += checked.image_bytes
        if checked.rule and self._found.is_new(checked.picture):
            self.found[checked.rule] += 1
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
        """The flag that would mend most findings of a code; empty if none is known.

        Where most records are well, the others are mistakes, not boxes in another format.
        """
        is_odd = 2 * self.flawed_by[code] <= self.box_formats.total()
        if code in {"bad-box", "box-cut"} and not is_odd:
            return box_formats.hint(self.fits, box_format)
        return ""

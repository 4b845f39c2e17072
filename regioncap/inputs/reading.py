"""The reading of an input: what it was taken for, what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from regioncap.plurals import agree, counted

#: Examples kept of each reason.
EXAMPLES = 3


@dataclass(slots=True)
class Group:
    """Things of one kind: how many, and the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    #: Most examples kept; None keeps all.
    most: int | None = EXAMPLES

    def add(self, example: str) -> None:
        """Counts one more."""
        self.count += 1
        if self.most is None or len(self.examples) < self.most:
            self.examples.append(example)

    def __str__(self) -> str:
        more = self.count - len(self.examples)
        return ", ".join(self.examples) + (f" and {more:,} more" if more else "")


@dataclass(slots=True)
class Reading:
    """What one input was taken for, and what of it was not taken.

    Written by the one thread that reads the records.
    """

    #: As people call it: `JSON Lines`, `COCO annotations`.
    form: str
    #: Things left out, by the reason.
    left_out: dict[str, Group] = field(default_factory=dict)
    #: Files beside it that look like annotations of its pictures and are not read: proposals would
    #: stand in for boxes that are there.
    unread_annotations: Group = field(default_factory=Group)

    def leave_out(self, why: str, example: str) -> None:
        """Notes something that was left out."""
        self.left_out.setdefault(why, Group()).add(example)

    def lines(self) -> list[str]:
        """What was left out, a line each reason."""
        lines = [
            f"left out ({group.count:,}): {why}: {group}" for why, group in self.left_out.items()
        ]
        unread = self.unread_annotations
        if unread.count:
            look = agree(unread.count, "looks", "look")
            files = counted(unread.count, "file")
            lines.append(f"not read: {files} that {look} like annotations: {unread}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "form": self.form,
            "left_out": {why: group.count for why, group in self.left_out.items()},
            "unread_annotations": self.unread_annotations.count,
        }

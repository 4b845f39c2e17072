"""JSON Lines: the results as they are, one record a line, each with its box convention."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regioncap.outputs.exports.base import BOX_FORMAT, About, Item, Pictures, compact_json


class Jsonl:
    """One line per record, regions nested, failed records too."""

    name = "jsonl"
    makes_folder = False
    pictures: Pictures = "none"
    packages: tuple[str, ...] = ()

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes one file; see `Format.write`."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for item in items:
                line = compact_json({**item.record, "box_format": BOX_FORMAT})
                file.write(line + "\n")

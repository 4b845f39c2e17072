"""CSV: one row a region; the columns of the box name its convention."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from regioncap.outputs.exports.base import About, Item, Pictures
from regioncap.outputs.exports.rows import COLUMNS, region_rows

_BOX_COLUMNS = ("x_px", "y_px", "width_px", "height_px")


class Csv:
    """Comma-separated values as in RFC 4180, in UTF-8, with a header."""

    name = "csv"
    makes_folder = False
    pictures: Pictures = "none"
    packages: tuple[str, ...] = ()
    encoding = "utf-8"

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Writes one file; see `Format.write`."""
        at = COLUMNS.index("bbox")
        header = (*COLUMNS[:at], *_BOX_COLUMNS, *COLUMNS[at + 1 :])
        # A lone surrogate becomes a question mark, as in the results.
        with path.open("w", encoding=self.encoding, errors="replace", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            for row in region_rows(items):
                box = row.pop("bbox") or (None,) * 4
                writer.writerow(row | dict(zip(_BOX_COLUMNS, box, strict=True)))


class MarkedCsv(Csv):
    """The same with a byte order mark, without which Excel takes UTF-8 for something else."""

    encoding = "utf-8-sig"

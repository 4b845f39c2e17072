"""Pictures with a text beside each, as trainers of models of whole pictures want them.

0000/00000000.jpg, 0000/00000000.txt   a picture, and its captions in one line
records.jsonl                          the results, with the boxes and the picture's file_name
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regioncap.outputs.exports.base import (
    BOX_FORMAT,
    About,
    Item,
    Pictures,
    captioned_regions,
    compact_json,
    has_caption,
)
from regioncap.outputs.exports.imagefolder import file_name


class Sidecars:
    """Pictures with a caption; that of the whole picture first, then those of its regions."""

    name = "sidecars"
    makes_folder = True
    pictures: Pictures = "all"
    packages: tuple[str, ...] = ()

    def write(self, items: Iterable[Item], path: Path, about: About) -> None:
        """Fills a folder; see `Format.write`."""
        with (path / "records.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for item in items:
                if item.picture is None or not has_caption(item.record):
                    continue
                whole = item.record.get("image_caption")
                captions = [whole] if whole else []
                captions += [each["caption"] for each in captioned_regions(item.record)]
                name = file_name(item.record["index"], item.picture.extension)
                picture = path / name
                picture.parent.mkdir(exist_ok=True)
                picture.write_bytes(item.picture.data)
                # One line: trainers read no further than the first.
                text = " ".join(" ".join(captions).split())
                picture.with_suffix(".txt").write_text(text + "\n", "utf-8", "replace")
                said = {"file_name": name, "box_format": BOX_FORMAT}
                file.write(compact_json({**item.record, **said}) + "\n")

"""The shipped photographs: each line's picture is there, and its boxes lie in it as shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image, ImageOps

from regioncap.inputs.examples import examples_dir, photos_jsonl

RECORDS: list[dict[str, Any]] = [
    json.loads(line) for line in photos_jsonl().read_text(encoding="utf-8").splitlines()
]
EXIF_ORIENTATION = 274


def shown(record: dict[str, Any]) -> Image.Image:
    with Image.open(examples_dir() / record["image"]) as picture:
        return ImageOps.exif_transpose(picture)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["id"])
def test_boxes_lie_in_the_picture_as_shown(record: dict[str, Any]) -> None:
    width, height = shown(record).size
    for x, y, w, h in record.get("bbox", []):
        assert x >= 0
        assert y >= 0
        assert w > 0
        assert h > 0
        assert x + w <= width
        assert y + h <= height
    assert len(record.get("things", [])) == len(record.get("bbox", []))


def test_the_set_covers_what_it_is_for() -> None:
    pictures = {path.name for path in (examples_dir() / "photos").iterdir()}
    assert {record["image"].removeprefix("photos/") for record in RECORDS} == pictures
    assert len(RECORDS) >= 10
    assert sum("bbox" not in record for record in RECORDS) >= 2
    assert any(picture.height > picture.width for picture in map(shown, RECORDS))


def test_one_picture_is_stored_on_its_side() -> None:
    with Image.open(examples_dir() / "photos/hopper.jpg") as stored:
        assert stored.getexif()[EXIF_ORIENTATION] == 6
        assert stored.size == (600, 512)


def test_every_picture_has_its_licence() -> None:
    licences = (examples_dir() / "LICENSES.md").read_text(encoding="utf-8")
    assert [r["id"] for r in RECORDS if f"| {r['id']}.jpg |" not in licences] == []

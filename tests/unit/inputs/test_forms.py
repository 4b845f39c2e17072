"""Random annotations survive being written in a form and read back: boxes, labels, pictures."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regioncap.inputs.locate import Locator
from regioncap.inputs.source import open_source
from regioncap.records import InputRecord
from regioncap.settings import Settings, load_settings
from regioncap.views.regions import resolve
from tests.support.annotations import SIZE, WRITERS, Annotated, kitti_name

LABELS = st.sampled_from(["cat", "traffic light", "d\u00e9j\u00e0", "<&>"])
_WIDTH, _HEIGHT = SIZE


@st.composite
def boxes(draw: Any) -> list[float]:
    left, top = draw(st.integers(0, _WIDTH - 9)), draw(st.integers(0, _HEIGHT - 9))
    right, bottom = draw(st.integers(left + 4, _WIDTH)), draw(st.integers(top + 4, _HEIGHT))
    return [left, top, right, bottom]


@st.composite
def sets(draw: Any) -> list[Annotated]:
    count = draw(st.integers(1, 4))
    some = st.lists(st.tuples(LABELS, boxes()), max_size=4)
    first = Annotated("1.jpg", draw(st.lists(st.tuples(LABELS, boxes()), min_size=1, max_size=4)))
    return [first, *(Annotated(f"{n + 2}.jpg", draw(some)) for n in range(count - 1))]


def read(path: Path, **flags: Any) -> list[InputRecord]:
    given_settings = load_settings(**flags)
    with open_source(str(path), io.BytesIO(), None, given_settings) as source:
        records = list(source.records)
        locator = Locator(Settings(), source.root)
        for record in records:
            assert record.error is None
            place = locator.find(record)
            assert not isinstance(place, str)
            assert place.read()[:2] == b"\xff\xd8"
    return records


def found(record: InputRecord) -> list[tuple[str, list[int]]]:
    """Labels and corners in whole pixels of a record, in order."""
    regions = resolve(record.bbox or [], record.box_format or "xywh", SIZE)
    labels = record.meta["categories"] if record.bbox else []
    if isinstance(labels, str):
        labels = json.loads(labels)
    assert len(labels) == len(regions)
    return [
        (label, [round(side) for side in region.box_xyxy])
        for label, region in zip(labels, regions, strict=True)
    ]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None)
@given(pictures=sets())
def test_what_is_written_is_read(name: str, pictures: list[Annotated]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Pictures are looked for in folders beside, where other tests have theirs.
        records = read(WRITERS[name](Path(folder, "of", "its", "own"), pictures))

    # Open Images has no row of a picture without boxes.
    kept = [each for each in pictures if each.boxes or name != "open_images"]
    by_name = {Path(record.image or "").name: record for record in records}
    assert len(by_name) == len(records) == len(kept)
    for each in kept:
        expected = [
            (kitti_name(label) if name == "kitti" else label, box) for label, box in each.boxes
        ]
        assert by_name[each.name].bbox is not None
        assert found(by_name[each.name]) == expected

"""Frames of many videos have the same names: a missing one is not replaced by its namesake."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from regioncap.records import InputRecord
from tests.support.wild import Read, picture, written

#: Writes annotations of pictures, by the names that they have.
_Write = Callable[[Path, Sequence[str]], None]


def _coco(folder: Path, names: Sequence[str]) -> None:
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    annotations = [
        {"id": n, "image_id": n, "bbox": [1 + n, 2, 30, 40]} for n, _ in enumerate(names)
    ]
    written(folder / "ann" / "all.json", {"images": images, "annotations": annotations})


def _cvat(folder: Path, names: Sequence[str]) -> None:
    images = "".join(
        f'<image id="{n}" name="{name}"><box label="a" xtl="1" ytl="2" xbr="9" ybr="9"/></image>'
        for n, name in enumerate(names)
    )
    written(folder / "annotations.xml", f"<annotations>{images}</annotations>")


def _createml(folder: Path, names: Sequence[str]) -> None:
    box = {"label": "a", "coordinates": {"x": 20, "y": 20, "width": 8, "height": 8}}
    written(folder / "all.json", [{"image": name, "annotations": [box]} for name in names])


def _via(folder: Path, names: Sequence[str]) -> None:
    shape = {"name": "rect", "x": 1, "y": 2, "width": 8, "height": 8}
    regions = [{"shape_attributes": shape, "region_attributes": {}}]
    written(folder / "v.json", {name: {"filename": name, "regions": regions} for name in names})


def _voc(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        written(
            folder / Path(name).with_suffix(".xml"),
            f"<annotation><filename>{Path(name).name}</filename><object><name>a</name><bndbox>"
            "<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
            "</annotation>",
        )


def _labelme(folder: Path, names: Sequence[str]) -> None:
    shape = {"label": "a", "points": [[1, 2], [30, 40]], "shape_type": "rectangle"}
    for name in names:
        content: dict[str, Any] = {"version": "5", "shapes": [shape], "imageData": None}
        content |= {"imagePath": Path(name).name, "imageHeight": 80, "imageWidth": 120}
        written(folder / Path(name).with_suffix(".json"), content)


def _is_there(record: InputRecord) -> bool:
    return isinstance(record.picture, Path) and record.picture.is_file()


WRITERS = [_coco, _cvat, _createml, _via, _voc, _labelme]


@pytest.mark.parametrize("order", [1, -1], ids=["there first", "missing first"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__[1:])
def test_a_missing_frame_gets_no_namesake(write: _Write, order: int, tmp_path: Path) -> None:
    picture(tmp_path / "seq1" / "000001.png")
    picture(tmp_path / "seq1" / "000002.png")
    write(tmp_path, ["seq1/000001.png", "seq2/000001.png", "seq1/000002.png"][::order])

    found = Read(tmp_path)

    there = sorted(r.image or "" for r in found.records if _is_there(r))
    assert there == ["seq1/000001.png", "seq1/000002.png"]
    assert len(found.records) == 3
    assert found.codes == {"image-missing"}
    assert any("namesakes of pictures that are missing" in line for line in found.lines)


@pytest.mark.parametrize("write", [_coco, _cvat, _createml, _via], ids=lambda w: w.__name__[1:])
def test_folders_that_were_renamed_are_found_all_the_same(write: _Write, tmp_path: Path) -> None:
    for name in ("b", "c"):
        picture(tmp_path / "pictures" / f"{name}.png")
    write(tmp_path, ["data/train/b.png", "data/train/c.png"])

    found = Read(tmp_path)

    assert [r.image for r in found.records] == ["pictures/b.png", "pictures/c.png"]
    assert not found.codes


def test_the_nearest_of_many_namesakes_is_meant(tmp_path: Path) -> None:
    for video in range(30):
        picture(tmp_path / "images" / f"v{video}" / "1.png")
        written(
            tmp_path / "ann" / f"v{video}" / "1.xml",
            "<annotation><filename>1.png</filename></annotation>",
        )
    found = Read(tmp_path)

    assert sorted(r.image or "" for r in found.records) == sorted(
        f"images/v{video}/1.png" for video in range(30)
    )
    assert {Path(r.image or "").parent.name for r in found.records} == {
        f"v{video}" for video in range(30)
    }


def test_what_is_named_by_two_folders_is_neithers(tmp_path: Path) -> None:
    picture(tmp_path / "moved" / "1.png")
    _coco(tmp_path, ["train/1.png", "val/1.png"])

    found = Read(tmp_path)

    assert not any(map(_is_there, found.records))
    assert json.dumps(found.source.reading.as_json()).count("namesakes") == 1

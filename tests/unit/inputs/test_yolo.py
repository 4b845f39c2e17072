"""YOLO's folders, and texts beside pictures that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.errors import UsageError
from tests.support.wild import Read, picture, written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_yolo(folder: Path) -> None:
    for name in ("images/one.png", "images/two.png"):
        picture(folder / "set" / name)
    written(folder / "set" / "labels" / "one.txt", "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.3 0.1 0.3 0.3\n")

    one, two = Read(folder / "set").records

    assert one.box_format == "cxcywh-normalized"
    assert one.bbox is not None
    assert one.bbox[0] == [0.5, 0.5, 0.2, 0.2]
    assert one.bbox[1] == pytest.approx([0.2, 0.2, 0.2, 0.2])
    assert (two.bbox, one.meta["categories"]) == ([], [0, 1])


def test_yolo_without_a_single_object(folder: Path) -> None:
    picture(folder / "set" / "images" / "one.png")
    written(folder / "set" / "labels" / "one.txt", "")
    assert Read(folder / "set").boxes == [[]]


def test_texts_that_are_captions_are_no_boxes(folder: Path) -> None:
    picture(folder / "set" / "one.png")
    written(folder / "set" / "one.txt", "a red picture")
    assert Read(folder / "set").boxes == [None]


@pytest.mark.parametrize("name", ["images", "images/flat", "set"])
def test_texts_lie_beside_pictures_whatever_the_folder_is_called(folder: Path, name: str) -> None:
    picture(folder / name / "one.png")
    written(folder / name / "one.txt", "0 0.5 0.5 0.2 0.2")
    for given in (folder, folder / name):
        assert Read(given).boxes == [[[0.5, 0.5, 0.2, 0.2]]]


def test_a_yaml_file_may_stand_below_images(folder: Path) -> None:
    picture(folder / "images" / "train" / "one.png")
    written(folder / "labels" / "train" / "one.txt", "0 0.5 0.5 0.2 0.2")
    written(folder / "images" / "data.yaml", "train: train\nnames: [a]\n")
    assert Read(folder / "images" / "data.yaml").boxes == [[[0.5, 0.5, 0.2, 0.2]]]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("labels/one.txt", "0 .5 .5 .2 .2 " + ".5 .5 2 " * 17),  # a pose
        ("labels/one.txt", "0 .5 .5 .2 .2 " + ".45 .5 2 " * 4),  # as many values as an outline has
        ("labelTxt/one.txt", "imagesource:x\ngsd:1\n" + "1.0 2 3 4 5 6 7 8 plane 0"),  # DOTA
        ("one.txt", "frame,10,20,30,40\n"),
    ],
)
def test_rows_that_are_not_read_are_refused_and_not_proposed_for(
    folder: Path, text: str, rows: str
) -> None:
    picture(folder / "set" / "images" / "one.png")
    written(folder / "set" / text, rows)
    with pytest.raises(UsageError) as caught:
        Read(folder / "set")
    assert (caught.value.code, Path(text).name in caught.value.message) == (
        "unread-annotations", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["a red picture, 4 cats", "1 girl, 2 dogs", "", "3.5", "Infinity", "nan"]
)
def test_captions_beside_pictures_are_no_rows(folder: Path, text: str) -> None:
    picture(folder / "set" / "one.png")
    written(folder / "set" / "one.txt", text)
    assert Read(folder / "set").source.reading.unread_annotations.count == 0


def test_an_outline_beyond_the_picture_is_none(folder: Path) -> None:
    picture(folder / "set" / "images" / "one.png")
    written(folder / "set" / "labels" / "one.txt", "0 .1 .1 .9 1.2 .2 .9\n0 .1 .1 .2 .2 1 2\n")
    with pytest.raises(UsageError, match=r"line 2 .*kpt_shape"):
        Read(folder / "set")

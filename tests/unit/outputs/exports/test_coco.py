"""Exports to COCO: ids, categories and crowds as they came in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.outputs import exports
from regioncap.outputs.exports.base import Item
from tests.support.exported import ABOUT, failed, item, region, result


def exported(path: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    exports.export(exports.get("coco"), map(item, records), path / "out.json", ABOUT)
    content: dict[str, Any] = json.loads((path / "out.json").read_bytes())
    return content


META: dict[str, list[Any]] = {
    "annotation_ids": [900, 901],
    "category_ids": [18, 18],
    "categories": ["dog", "dog"],
    "iscrowd": [1, 0],
}


def test_what_was_coco_keeps_its_ids_categories_and_crowd(tmp_path: Path) -> None:
    regions = [region(1, [1, 2, 3, 4], "dogs"), region(2, [5, 6, 7, 8], "a dog")]

    content = exported(tmp_path, [result(0, regions, id=7, meta=META)])

    assert [each["id"] for each in content["images"]] == [7]
    assert [
        (each["id"], each["image_id"], each["category_id"], each["iscrowd"])
        for each in content["annotations"]
    ] == [(900, 7, 18, 1), (901, 7, 18, 0)]
    assert content["categories"] == [{"id": 18, "name": "dog", "supercategory": "dog"}]


def test_each_image_has_an_id_of_its_own_where_two_files_gave_the_same(tmp_path: Path) -> None:
    """Two splits, whose ids go up by two."""
    records = [
        result(
            n, [region(1, [1, 2, 3, 4], "x")], id=2 * (n % 60), image=f"{n}.png",
            meta={"annotation_ids": [n % 60]},
        )
        for n in range(120)
    ]  # fmt: skip
    content = exported(tmp_path, records)

    ids = {each["id"]: each["file_name"] for each in content["images"]}
    assert len(ids) == 120
    assert len({each["id"] for each in content["annotations"]}) == 120
    assert all(ids[each["image_id"]] == f"{each['record']}.png" for each in content["annotations"])


def test_pictures_of_one_name_are_two_and_records_of_one_picture_share_it(tmp_path: Path) -> None:
    """As of tables and archives, which hold the pictures themselves."""
    records = [
        result(n, [region(1, [1, 2, 3, 4], f"caption {n}")], image="001.jpg") for n in range(3)
    ]
    sources = ["s3://b/images/aa.jpg", "s3://b/images/bb.jpg", "s3://b/images/aa.jpg"]
    items = map(Item, records, sources)
    exports.export(exports.get("coco"), items, tmp_path / "out.json", ABOUT)
    content = json.loads((tmp_path / "out.json").read_bytes())

    assert [each["file_name"] for each in content["images"]] == ["001.jpg", "001.jpg"]
    first, second, third = (each["image_id"] for each in content["annotations"])
    assert first == third != second
    assert {first, second} == {each["id"] for each in content["images"]}


def test_one_id_of_two_names_becomes_two_categories(tmp_path: Path) -> None:
    said = [(1, "cat"), (2, "cow"), (1, "dog"), (3, "bird"), (1, "cat"), (1, None), (1, "dog")]
    records = [
        result(
            n, [region(1, [1, 2, 3, 4], "x")],
            meta={"annotation_ids": [n], "category_ids": [own], "categories": [name]},
        )
        for n, (own, name) in enumerate(said)
    ]  # fmt: skip
    content = exported(tmp_path, records)

    names = {each["id"]: each["name"] for each in content["categories"]}
    assert [names[each["category_id"]] for each in content["annotations"]] == [
        "cat", "cow", "dog", "bird", "cat", "cat", "dog",
    ]  # fmt: skip
    assert len(names) == 4
    assert (names[1], names[2]) == ("cat", "cow")


@pytest.mark.parametrize(
    ("image", "file_name", "comes_out"),
    [
        ("images/0001.jpg", "0001.jpg", "0001.jpg"),
        ("images/val/0001.jpg", "val/0001.jpg", "val/0001.jpg"),
        ("images/0001.jpg", "1.jpg", "images/0001.jpg"),  # that of something else
        ("images/0001.jpg", 7, "images/0001.jpg"),
    ],
)
def test_pictures_have_the_names_that_the_source_s_file_had(
    tmp_path: Path, image: str, file_name: object, comes_out: str
) -> None:
    record = result(0, [region(1, [1, 2, 3, 4], "x")], image=image, meta={"file_name": file_name})

    content = exported(tmp_path, [record])

    assert [each["file_name"] for each in content["images"]] == [comes_out]


def test_no_id_is_given_twice(tmp_path: Path) -> None:
    one = [region(1, [1, 2, 3, 4], "x")]
    own = META | {name: values[:1] for name, values in META.items()}
    records = [
        result(0, one),
        result(1, one, id=1, meta=own | {"annotation_ids": [1], "category_ids": [1]}),
        result(2, one, id=1, meta=own, image="other.png"),
    ]

    content = exported(tmp_path, records)

    for name in ("images", "annotations", "categories"):
        ids = [each["id"] for each in content[name]]
        assert len(ids) == len(set(ids))
    assert len(content["images"]) == 3


def test_a_picture_without_regions_stays_and_a_failed_one_is_counted(tmp_path: Path) -> None:
    content = exported(tmp_path, [result(0, [], id=9, meta={"annotation_ids": []}), failed(1)])

    assert [each["id"] for each in content["images"]] == [9]
    assert content["annotations"] == []
    assert content["info"]["records_without_caption"] == 1

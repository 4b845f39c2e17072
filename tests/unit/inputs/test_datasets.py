"""Data sets of other tools become records with their pictures, boxes and fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.inputs.boxes import settle
from regioncap.inputs.datasets import find_dataset
from regioncap.inputs.fields import plain
from regioncap.inputs.locate import Locator
from regioncap.records import InputRecord
from regioncap.settings import JobSettings, Settings
from tests.support.datasets import BLUE, BOXES, DATASETS, RED


def records_of(path: Path) -> list[InputRecord]:
    found = find_dataset(path)
    assert found is not None
    return [settle(record, JobSettings()) for record in found.records]


@pytest.mark.parametrize("name", DATASETS)
def test_pictures_and_boxes_are_found(name: str, tmp_path: Path) -> None:
    path = DATASETS[name](tmp_path / "set")

    found = find_dataset(path)
    assert found is not None
    first, second = (settle(record, JobSettings()) for record in found.records)

    locator = Locator(Settings(), found.root)
    places = [locator.find(record) for record in (first, second)]
    assert [place.read() for place in places if not isinstance(place, str)] == [RED, BLUE]
    assert first.bbox == (None if name == "imagefolder_csv" else BOXES)
    assert second.bbox == (None if name == "imagefolder_csv" else [])
    assert [(record.index, record.line) for record in (first, second)] == [(0, 1), (1, 2)]
    assert all(record.image and record.error is None for record in (first, second))


def test_coco_names_what_its_boxes_were(tmp_path: Path) -> None:
    first, _ = records_of(DATASETS["coco"](tmp_path))

    assert first.id == 70
    assert first.meta["annotation_ids"] == [1, 3]
    assert first.meta["categories"] == ["door", "wall"]


def test_other_fields_go_to_meta(tmp_path: Path) -> None:
    first, second = records_of(DATASETS["imagefolder_csv"](tmp_path))

    assert [first.meta, second.meta] == [{"text": "one"}, {"text": "two"}]


def test_shard_and_key_name_a_sample(tmp_path: Path) -> None:
    first, second = records_of(DATASETS["webdataset"](tmp_path))

    assert first.image == "shard-000.tar/k1.png"
    assert first.meta == {"source_image": "old.png"}
    assert second.image == "shard-000.tar/k2.png"


def test_sample_without_picture_is_a_record_with_an_error(tmp_path: Path) -> None:
    from webdataset.writer import TarWriter

    with TarWriter(str(tmp_path / "a.tar")) as writer:
        writer.write({"__key__": "k", "json": {"bbox": BOXES}})

    [record] = records_of(tmp_path / "a.tar")

    assert record.error is not None
    assert record.error.code == "no-image"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "[1]"),
        ("a.json", "{}"),
        ("a.parquet", "no parquet"),
        ("a.tar", "no tar" * 200),
        ("metadata.jsonl", "{"),
        ("metadata.jsonl", "[1]"),
        ("metadata.jsonl", "[" * 100_000),
        ("metadata.jsonl", '{"m": "' + "x" * 10_000_000),
        ("metadata.jsonl", "\x00\xff"),
        ("metadata.csv", "file_name\n" + "x" * 10_000_001),
        ("a.json", "[" * 100_000),
        ("a.json", '{"images": ' + "[" * 100_000),
        ("a.json", '{"images": [5]}'),
        ("a.json", '{"images": [{"id": [1]}]}'),
        ("a.json", '{"images": [], "annotations": [5]}'),
        ("a.json", '{"images": [], "annotations": 5}'),
        ("a.json", '{"images": [], "annotations": [{"image_id": {}}]}'),
        ("a.json", '{"images": [], "categories": [{"id": []}]}'),
    ],
)
def test_file_that_is_not_what_its_name_says(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    path = tmp_path if name.startswith("metadata") else tmp_path / name

    with pytest.raises(UsageError) as caught:
        records_of(path)

    assert caught.value.code == "bad-dataset"
    assert name in caught.value.message


@pytest.mark.parametrize("name", ["in.jsonl", "gone.txt", ""])
def test_anything_else_is_left_to_others(name: str, tmp_path: Path) -> None:
    assert find_dataset(tmp_path / name) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), "inf"),
        ({1: (2, {"a": None})}, {"1": [2, {"a": None}]}),
    ],
)
def test_values_become_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)

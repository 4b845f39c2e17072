"""Inputs that lie in a store: what is read of them, and that pictures stay where they are."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from producer.commands.validate import check_file
from regioncap.client import Client
from regioncap.errors import UsageError
from regioncap.inputs.source import open_source
from regioncap.jobs.results import read
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.stages import Stages


@pytest.fixture(scope="module")
def settings(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings | {"s3_source_buckets": ["depot"]})


@pytest.fixture(scope="module")
def theirs(settings: Settings) -> Store:
    store = Store(settings.model_copy(update={"s3_bucket": "depot"}))
    store.ensure_bucket()
    return store


def records_of(
    target: str, settings: Settings, root: Path | None = None
) -> tuple[list[InputRecord], dict[str, int]]:
    with open_source(target, io.BytesIO(), root, settings) as source:
        records = list(source.records)
        assert source.name == target
        return records, source.reading.as_json()["left_out"]


def put(store: Store, folder: str, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        store.put(f"{folder}/{name}", content.encode() if isinstance(content, str) else content)


def test_lines(theirs: Store, settings: Settings) -> None:
    images = ["a.png", "./b/c.png", "../d.png", "s3://depot/e.png", "b\\\\f.png", "/abs.png"]
    lines = [f'{{"image": "{image}"}}' for image in images]
    put(theirs, "lines/in", {"data.jsonl": "\n".join(lines)})

    records, _ = records_of("s3://depot/lines/in/data.jsonl", settings)
    based, _ = records_of("s3://depot/lines/in/data.jsonl", settings, Path("s3://depot/elsewhere/"))

    assert [record.image for record in records] == [
        "s3://depot/lines/in/a.png", "s3://depot/lines/in/b/c.png", "s3://depot/lines/d.png",
        "s3://depot/e.png", "s3://depot/lines/in/b/f.png", "/abs.png",
    ]  # fmt: skip
    assert based[0].image == "s3://depot/elsewhere/a.png"


@pytest.mark.parametrize("target", ["s3://depot/pictures/", "s3://depot/pictures"])
def test_a_folder_of_pictures(theirs: Store, settings: Settings, target: str) -> None:
    put(theirs, "pictures", {"b.png": b"", "a/1.jpg": b"", "a/": b"", "notes.txt": "", ".x": ""})
    put(theirs, "pictures-of-others", {"c.png": b""})

    records, left_out = records_of(target, settings)

    assert {record.image for record in records} == {
        "s3://depot/pictures/a/1.jpg", "s3://depot/pictures/b.png",
    }  # fmt: skip
    assert [record.picture for record in records] == [None, None]
    assert left_out == {}


def test_data_sets(theirs: Store, settings: Settings) -> None:
    put(theirs, "yolo/images", {"a.jpg": b"", "b.jpg": b""})
    put(theirs, "yolo/labels", {"a.txt": "0 0.5 0.5 0.2 0.2\n"})
    put(theirs, "hub/train", {
        "a.png": b"",
        "metadata.jsonl": '{"file_name": "a.png", "objects": {"bbox": [[1, 2, 3, 4]]}}\n',
    })  # fmt: skip
    coco = {
        "images": [{"id": 1, "file_name": "x.jpg", "width": 9, "height": 9}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    put(theirs, "coco", {"boxes.json": json.dumps(coco)})

    yolo, _ = records_of("s3://depot/yolo/", settings)
    hub, _ = records_of("s3://depot/hub", settings)
    boxes, _ = records_of("s3://depot/coco/boxes.json", settings)

    assert [(each.image, each.bbox) for each in yolo] == [
        ("s3://depot/yolo/images/a.jpg", [[0.5, 0.5, 0.2, 0.2]]),
        ("s3://depot/yolo/images/b.jpg", []),
    ]
    assert [(each.image, each.bbox) for each in [*hub, *boxes]] == [
        ("s3://depot/hub/train/a.png", [[1, 2, 3, 4]]),
        ("s3://depot/coco/x.jpg", [[1, 2, 3, 4]]),
    ]


def test_names_that_no_folder_can_hold(theirs: Store, settings: Settings) -> None:
    put(theirs, "odd", {"a.png": b"", "\u200eb.png": b""})

    records, left_out = records_of("s3://depot/odd/", settings)

    assert [record.image for record in records] == ["s3://depot/odd/a.png"]
    assert left_out == {"objects whose names cannot be used here": 1}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("s3://depot/nothing/here.jsonl", "no such object, and none below it"),
        ("s3://depot/nothing/", "no such object, and none below it"),
        ("s3://strangers/data.jsonl", "bucket 'strangers' may not be read from"),
        ("s3://strangers", "bucket 'strangers' may not be read from"),
    ],
)
def test_what_cannot_be_read(theirs: Store, settings: Settings, target: str, words: str) -> None:
    assert theirs.bucket == "depot"
    with pytest.raises(UsageError, match=words) as caught:
        records_of(target, settings)

    assert caught.value.code == "no-input-file"


def test_roots_on_both_sides(theirs: Store, settings: Settings, tmp_path: Path) -> None:
    put(theirs, "roots", {"data.jsonl": '{"image": "a.png"}'})
    (tmp_path / "data.jsonl").write_text('{"image": "a.png"}')

    for target, root in (
        ("s3://depot/roots/data.jsonl", tmp_path),
        (str(tmp_path / "data.jsonl"), Path("s3://depot/roots")),
    ):
        with pytest.raises(UsageError, match="is in a store, and") as caught:
            records_of(target, settings, root)
        assert caught.value.code == "no-image-root"


def test_a_job_of_them(theirs: Store, settings: Settings) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(out, "PNG")
    put(theirs, "job", {"red.png": out.getvalue(), "data.jsonl": '{"image": "red.png"}\n'})
    stages, jobs = Stages(settings), []
    for target in "s3://depot/job/data.jsonl", "s3://depot/job/red.png":
        assert check_file(target, settings, root=None).totals.problems == {}
        jobs.append(Client(settings).submit(target))
    for name in jobs:
        stages.render.run(name, 0)
        stages.caption.run(name, 0)
        (line,) = read(stages.store, Client(settings).load(name))
        assert line["error"] is None
        assert line["image"] == "s3://depot/job/red.png"
    stages.engine.close()
    assert not [key for key in stages.store.list_keys("images/") if "red" in key]

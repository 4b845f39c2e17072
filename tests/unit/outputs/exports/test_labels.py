"""What a source called a box, and its ids, come out again; a file has the form that is meant."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.errors import UsageError
from regioncap.outputs import exports
from regioncap.outputs.exports.base import Encoded, Item, own_of
from tests.support.exported import ABOUT, item, region, result

REGIONS = [region(1, [1, 2, 3, 4], "a dog"), region(2, [5, 6, 7, 8], "a cat")]
META: dict[str, Any] = {"categories": ["dog", "cat"], "annotation_ids": ["x", 7]}


def write(name: str, path: Path, given: Item | None = None, **options: Any) -> Path:
    items = [given or item(result(0, REGIONS, meta=META))]
    exports.export(exports.get(name, **options), items, path, ABOUT)
    return path


def test_tables(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    with write("csv", tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["annotation_id"]) for row in rows] == [("dog", "x"), ("cat", "7")]
    columns = pq.read_table(write("parquet", tmp_path / "a.parquet")).to_pydict()
    assert (columns["label"], columns["annotation_id"]) == (["dog", "cat"], ["x", "7"])


def test_hugging_face(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = write("hf", tmp_path / "hf") / "train" / "metadata.parquet"
    assert pq.read_table(path).to_pylist()[0]["objects"]["label"] == ["dog", "cat"]


def test_coco_gives_names_an_id_each(tmp_path: Path) -> None:
    content = json.loads(write("coco", tmp_path / "a.json").read_bytes())
    names = {each["id"]: each["name"] for each in content["categories"]}
    assert [names[each["category_id"]] for each in content["annotations"]] == ["dog", "cat"]
    assert [each["id"] for each in content["annotations"]] == ["x", 7]


def test_label_studio_shows_labels_and_has_pictures_that_browsers_show(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "JPEG")
    record = result(0, REGIONS, meta=META)
    given = Item(record, "s3://regioncap/images/a.tif", Encoded(out.getvalue(), "jpg"))

    path = write("labelstudio", tmp_path / "ls", given) / "tasks.json"

    [task] = json.loads(path.read_bytes())
    kind, _, data = task["data"]["image"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (64, 48)
    boxes = [each for each in task["predictions"][0]["result"] if each["type"] != "textarea"]
    assert [each["meta"]["text"] for each in boxes] == [["dog"], ["cat"]]
    shown = Item(record, "s3://regioncap/images/a.jpg")
    [task] = json.loads((write("labelstudio", tmp_path / "two", shown) / "tasks.json").read_bytes())
    assert task["data"]["image"] == "s3://regioncap/images/a.jpg"


def test_byte_order_mark_of_a_table(tmp_path: Path) -> None:
    assert write("csv", tmp_path / "a.csv", bom=True).read_bytes().startswith(b"\xef\xbb\xbfindex,")
    assert write("csv", tmp_path / "b.csv").read_bytes().startswith(b"index,")
    with pytest.raises(UsageError, match="no byte order mark"):
        exports.get("coco", bom=True)


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.jsonl", "jsonl"), ("a", "jsonl"), ("a.CSV", "csv"), ("a.json", "coco"),
     ("a.parquet", "parquet")],
)  # fmt: skip
def test_the_ending_tells_the_format(name: str, form: str) -> None:
    assert exports.name_for(Path(name)) == form


def test_an_ending_that_tells_no_format() -> None:
    with pytest.raises(UsageError, match=r"\.txt"):
        exports.name_for(Path("a.txt"))


@pytest.mark.parametrize(
    ("meta", "labels"),
    [
        ({"categories": '["dog", "cat"]'}, ["dog", "cat"]),
        ({"objects": {"bbox": [[1], [2]], "category": ["dog", "cat"]}}, ["dog", "cat"]),
        ({"annotations": [{"label": "dog"}, {"label": 3}]}, ["dog", "3"]),
        ({"labels": ["dog", "cat"]}, ["dog", "cat"]),
        ({"label": "dog"}, [None, None]),  # of the picture
        ({"labels": ["dog"]}, [None, None]),
        ({"categories": "[" * 100_000}, [None, None]),
        ({"category_ids": [7, 8]}, ["7", "8"]),
    ],
)
def test_labels_by_the_names_that_sources_give_them(meta: Any, labels: Any) -> None:
    record = result(0, REGIONS, meta=meta)
    assert [own_of(record, each).label for each in REGIONS] == labels


def test_the_label_of_a_row_with_one_box() -> None:
    record = result(0, REGIONS[:1], meta={"class": "dog"})
    assert own_of(record, REGIONS[0]).label == "dog"

"""What engines write of regions beside captions, and verdicts on them, in each export."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.outputs.exports import export, get
from regioncap.outputs.exports.items import only_verified
from tests.support.exported import ABOUT, item, region, result

BOX = [8, 6, 16, 12]
ATTRIBUTES = {"type": "cat", "parts": [1, 2]}
RECORD = result(
    0,
    [
        region(1, BOX, "a cat") | {"attributes": ATTRIBUTES, "verified": True, "verified_as": 1},
        region(2, BOX, "a dog") | {"attributes": None, "verified": False, "verified_as": 1},
        # As versions before wrote it.
        region(3, BOX, "a cup"),
    ],
)

#: A region's attributes, verdict, and the region named.
Fields = tuple[Any, Any, Any]


def _rows(rows: list[dict[str, Any]]) -> list[Fields]:
    return [
        (row["attributes"] and json.loads(row["attributes"]), row["verified"], row["verified_as"])
        for row in rows
    ]


def _csv(path: Path) -> list[Fields]:
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    words = {"True": True, "False": False, "": None}
    for row in rows:
        row |= {"verified": words[row["verified"]], "verified_as": int(row["verified_as"] or 0)}
    return _rows([row | {"attributes": row["attributes"] or None} for row in rows])


def _parquet(path: Path) -> list[Fields]:
    import pyarrow.parquet as pq

    return _rows(pq.read_table(path).to_pylist())


def _hf(path: Path) -> list[Fields]:
    import pyarrow.parquet as pq

    [row] = pq.read_table(path / "train" / "metadata.parquet").to_pylist()
    names = ("attributes", "verified", "verified_as")
    columns = (row["objects"][name] for name in names)
    return _rows([dict(zip(names, each, strict=True)) for each in zip(*columns, strict=True)])


def _nested(regions: list[dict[str, Any]]) -> list[Fields]:
    return [(r.get("attributes"), r.get("verified"), r.get("verified_as")) for r in regions]


READERS = {
    "jsonl": lambda path: _nested(json.loads(path.read_text("utf-8"))["regions"]),
    "csv": _csv,
    "coco": lambda path: _nested(json.loads(path.read_text("utf-8"))["annotations"]),
    "parquet": _parquet,
    "hf": _hf,
}


@pytest.mark.parametrize("name", READERS)
def test_fields_come_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    export(get(name), [item(RECORD)], path, ABOUT)

    first, second, third = READERS[name](path)

    assert first == (ATTRIBUTES, True, 1)
    assert second == (None, False, 1)
    assert third[:2] == (None, None)
    assert not third[2]


def test_label_studio_has_them_as_notes(tmp_path: Path) -> None:
    export(get("labelstudio"), [item(RECORD)], tmp_path / "out", ABOUT)

    [task] = json.loads((tmp_path / "out" / "tasks.json").read_text("utf-8"))
    boxes = [r for r in task["predictions"][0]["result"] if r["type"] == "rectanglelabels"]
    notes = [box.get("meta", {}).get("text") for box in boxes]
    assert notes == [['{"type": "cat", "parts": [1, 2]}'], ["verified as 1"], None]


@pytest.mark.parametrize("name", READERS)
def test_only_captions_that_were_found_true(name: str, tmp_path: Path) -> None:
    [kept] = only_verified([item(RECORD)])
    export(get(name), [kept], tmp_path / "out", ABOUT)

    said = [(r["status"], r["caption"], r["why"]) for r in kept.record["regions"]]
    assert said == [
        ("ok", "a cat", None),
        ("invalid", None, "verified as 1"),
        ("invalid", None, "not verified"),
    ]
    # The result that was read stays as it is.
    assert RECORD["regions"][1]["caption"] == "a dog"

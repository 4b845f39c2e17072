"""Values that come late in a large export: an id that is text, the first error, another meta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regioncap.outputs import exports
from regioncap.outputs.exports.base import Item
from regioncap.outputs.hf_features import features
from regioncap.records import dump_lines
from tests.support.exported import ABOUT, failed, item, region, result

#: More than ten megabytes of results: the types of datasets come from the first block.
_RECORDS = 720


def _results() -> list[dict[str, Any]]:
    caption = "a long caption " * 1_000
    records = [
        result(index, [region(1, [1, 2, 3, 4], caption)], meta={"a": 1})
        for index in range(_RECORDS)
    ]
    late = [region(1, [1.5, 2, 3, 4], "late"), region(2, None, None)]
    records.append(result(_RECORDS, late, id="text", meta={"b": [{"c": None}]}, bbox=[[1], "x"]))
    return [*records, failed(_RECORDS + 1)]


def _last(dataset: Any, at: int = -1) -> Any:
    return dataset[len(dataset) + at]


def test_json_lines(tmp_path: Path) -> None:
    from datasets import load_dataset

    for name, path in (("results", tmp_path / "r.jsonl"), ("jsonl", tmp_path / "e.jsonl")):
        if name == "results":
            path.write_bytes(dump_lines(_results()))
        else:
            exports.export(exports.get(name), map(item, _results()), path, ABOUT)
        assert path.stat().st_size > 10_000_000
        dataset = load_dataset(
            "json", data_files=str(path), features=features(), split="train",
            cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip
        late = _last(dataset, -2)
        assert (late["id"], late["meta"], late["bbox"]) == (
            "text",
            {"b": [{"c": None}]},
            [[1], "x"],
        )
        assert late["regions"][1]["why"] == "no answer"
        assert _last(dataset)["error"]["code"] == "image-missing"


def test_hugging_face_folder(tmp_path: Path) -> None:
    from datasets import load_dataset

    items: list[Item] = list(map(item, _results()))
    exports.export(exports.get("hf"), items, tmp_path / "out", ABOUT)

    dataset = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))

    assert len(dataset) == _RECORDS + 1
    assert (_last(dataset)["id"], _last(dataset)["objects"]["caption"]) == ("text", ["late"])

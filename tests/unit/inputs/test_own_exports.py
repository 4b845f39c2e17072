"""What is exported is read again: the same boxes, whatever the format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.inputs.source import open_source
from regioncap.outputs import exports
from regioncap.records import InputRecord
from regioncap.settings import BoxFormat
from regioncap.views import regions
from tests.support.exported import ABOUT, item, region, result

BOXES: list[list[float]] = [[1.5, 2, 30, 40], [8, 9, 10, 11]]
FILES = {
    "jsonl": "", "csv": "", "coco": "", "parquet": "", "webdataset": "", "hf": "",
    "labelstudio": "tasks.json", "sidecars": "records.jsonl",
}  # fmt: skip


def _boxes(records: Iterator[InputRecord]) -> Iterator[list[float]]:
    for record in records:
        assert record.error is None
        box_format: BoxFormat = record.box_format or "xywh"
        for found in regions.resolve(record.bbox or [], box_format, (64, 48)):
            assert found.bbox is not None
            yield list(found.bbox)


@pytest.mark.parametrize("name", exports.FORMATS)
def test_read_back(name: str, tmp_path: Path) -> None:
    suffix = {"coco": ".json"}.get(name, "" if exports.get(name).makes_folder else f".{name}")
    path = tmp_path / f"out{suffix}"
    captioned = [region(n, box, f"thing {n}") for n, box in enumerate(BOXES, start=1)]
    exports.export(exports.get(name), [item(result(0, captioned))], path, ABOUT)

    with open_source(str(path / FILES[name]), io.BytesIO()) as source:
        assert list(_boxes(source.records)) == BOXES

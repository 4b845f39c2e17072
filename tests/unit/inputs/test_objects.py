"""Objects of Python become records: dicts, DataFrames, rows of data sets, pictures themselves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from regioncap.errors import UsageError
from regioncap.inputs.boxes import settle
from regioncap.inputs.objects import read_objects
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord
from regioncap.settings import JobSettings
from regioncap.views.pixels import decode
from tests.support.records import png

BOX = [1, 2, 3, 4]


def read(records: Any) -> list[InputRecord]:
    reading = Reading("records")
    return [settle(record, JobSettings()) for record in read_objects(records, reading)]


def picture() -> Image.Image:
    return Image.new("RGB", (30, 20), "red")


def test_rows_of_a_dataframe() -> None:
    table = pd.DataFrame(
        {"filename": ["a.jpg", "b.jpg"], "xmin": [1, 5], "ymin": [2, 6], "xmax": [4, 9],
         "ymax": [6, 9.5], "label": ["cat", None], "score": [0.5, np.nan]}
    )  # fmt: skip

    first, second = read(table)

    assert (first.image, first.bbox, first.box_format) == ("a.jpg", [[1, 2, 4, 6]], "xyxy")
    assert (second.bbox, second.meta["label"], second.meta["score"]) == (
        [[5, 6, 9, 9.5]],
        None,
        None,
    )


def test_boxes_as_arrays() -> None:
    table = pd.DataFrame({"image": ["a.jpg"], "bbox": [np.array([BOX, BOX], np.float32)]})
    assert [record.bbox for record in read(table)] == [[BOX, BOX]]


def test_pictures_themselves() -> None:
    data = png(picture())
    turned = picture()
    turned.getexif()[0x0112] = 6
    rows = [
        {"image": data, "bbox": BOX},
        {"image": {"bytes": data, "path": "x.png"}, "bbox": BOX},
        {"image": {"bytes": None, "path": "y.png"}, "bbox": BOX},
        {"image": picture(), "bbox": BOX},
        {"image": picture().convert("CMYK"), "bbox": BOX},
        {"image": turned, "bbox": BOX},
        {"image": Path("p/z.png"), "bbox": BOX},
    ]

    records = read(rows)

    assert [record.image for record in records] == [
        "record-0", "x.png", "y.png", "record-3", "record-4", "record-5", "p/z.png",
    ]  # fmt: skip
    assert all(record.error is None and record.bbox == [BOX] for record in records)
    sizes = [
        decode(record.picture).size_wh if isinstance(record.picture, bytes) else None
        for record in records
    ]
    assert sizes == [(30, 20), (30, 20), None, (30, 20), (30, 20), (20, 30), None]


@pytest.mark.parametrize(
    ("mode", "dtype", "most"),
    [("I;16", "<u2", 60_000), ("I;16B", ">u2", 60_000), ("I", "<i4", 60_000), ("F", "<f4", 1.0)],
)
def test_pictures_of_more_than_eight_bits(mode: str, dtype: str, most: float) -> None:
    values = np.linspace(0, most, 600).reshape(20, 30).astype(dtype)
    image = Image.frombytes(mode, (30, 20), values.tobytes())
    image.getexif()[0x0112] = 6
    [record] = read([{"image": image, "bbox": BOX}])

    assert isinstance(record.picture, bytes)
    found = decode(record.picture)
    shades = found.pixels[..., 0]
    assert found.size_wh == (20, 30)
    assert (shades.min(), len(np.unique(shades)) > 100) == (0, True)
    # The first row of values is the last column of a picture turned to the right.
    assert int(shades[:, -1].max()) < int(shades[:, 0].min())


def test_rows_of_a_data_set(tmp_path: Path) -> None:
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageFeature

    out = io.BytesIO()
    picture().save(out, "JPEG")
    rows = {"image": [{"bytes": out.getvalue(), "path": None}], "objects": [{"bbox": [BOX]}]}
    boxes = List(List(Value("float64")))
    features = Features({"image": ImageFeature(), "objects": {"bbox": boxes}})

    [record] = read(Dataset.from_dict(rows, features=features))

    assert isinstance(record.picture, bytes)
    assert (decode(record.picture).size_wh, record.bbox) == ((30, 20), [BOX])


@pytest.mark.parametrize("records", [["a.jpg"], [None], [["a.jpg", BOX]]])
def test_what_is_no_mapping_is_refused(records: Any) -> None:
    with pytest.raises(UsageError, match="record 0 is no mapping"):
        read(records)


def test_a_row_of_a_table_without_a_box_has_no_regions() -> None:
    empty = float("nan")
    corners = {"xmin": [1, empty], "ymin": [1, empty], "xmax": [9, empty], "ymax": [9, empty]}
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg"], **corners})
    records = read(table)
    assert [record.bbox for record in records] == [[[1, 1, 9, 9]], []]
    assert all(record.error is None for record in records)

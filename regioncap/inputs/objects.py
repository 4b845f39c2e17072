"""Records from objects of Python: dicts, rows of a DataFrame or of a data set of Hugging Face's."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from regioncap.errors import UsageError
from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.fields import give_picture, make_record
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord

#: Of EXIF, and of TIFF itself.
_ORIENTATION = 0x0112


def read_objects(
    records: Iterable[Mapping[str, Any] | InputRecord], reading: Reading
) -> Iterator[InputRecord]:
    """Records of objects, as a stream.

    `image` is a path or URI, or the picture itself: encoded bytes, `{"bytes", "path"}` as data sets
    have it, or an image of Pillow's, which becomes a PNG.

    Args:
        records: The objects; of a DataFrame its rows.
        reading: Told of what is left out.
    """
    rows = _rows(records)
    for index, each in enumerate(rows):
        record = each if isinstance(each, InputRecord) else _record(index, each, reading)
        if rows is not records:  # a table: a row without a box in its columns has no regions
            record.annotated = record.annotated or has_box_fields(each)
        yield record


def _rows(records: Iterable[Any]) -> Iterable[Any]:
    if hasattr(records, "iter_rows"):  # of Polars
        rows: Iterable[Any] = records.iter_rows(named=True)
        return rows
    if hasattr(records, "to_dict") and hasattr(records, "columns"):  # of pandas
        return _pandas_rows(records)
    return records


def _pandas_rows(table: Any) -> Iterator[dict[str, Any]]:
    """Rows one by one: all at once would take many times the memory of the table."""
    names = [str(name) for name in table.columns]
    for values in table.itertuples(index=False, name=None):
        yield dict(zip(names, values, strict=True))


def _record(index: int, fields: Any, reading: Reading) -> InputRecord:
    if not isinstance(fields, Mapping):
        raise UsageError(
            f"record {index} is no mapping but {type(fields).__name__}",
            code="bad-record",
            hint='give records such as {"image": "a.jpg", "bbox": [[0, 0, 20, 10]]}',
        )
    rest = dict(fields)
    image: Any = rest.get("image")
    data: bytes | None = None
    if isinstance(image, Mapping):
        image, data = image.get("path"), image.get("bytes")
    elif isinstance(image, bytes | bytearray | memoryview):
        image, data = None, bytes(image)
    elif hasattr(image, "save") and hasattr(image, "getexif"):
        image, data = getattr(image, "filename", None), _encoded(image)
    if data is not None:
        rest["image"] = str(image) if image else f"record-{index}"
    elif hasattr(image, "__fspath__"):
        rest["image"] = str(image)
    elif image is not rest.get("image"):
        rest["image"] = image
    record = make_record(rest, index=index, reading=reading)
    return give_picture(record, data)


def _encoded(image: Any) -> bytes:
    out = io.BytesIO()
    if image.mode in {"I", "F", "I;16B", "I;16L"}:
        # Of any range, which is found as the file is read; RGB would have all above 255 white.
        image.save(out, "TIFF", tiffinfo=_orientation_of(image))
        return out.getvalue()
    # What is not a kind that PNG has, as CMYK, is RGB before it is seen anyway.
    is_png = image.mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
    (image if is_png else image.convert("RGB")).save(
        out, "PNG", compress_level=1, exif=image.getexif()
    )
    return out.getvalue()


def _orientation_of(image: Any) -> dict[int, int]:
    turned = image.getexif().get(_ORIENTATION)
    return {_ORIENTATION: turned} if turned else {}

"""Results as a table: one row a region, for CSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from regioncap.outputs.exports.base import (
    Item,
    Own,
    attributes_json,
    compact_json,
    own_of,
    record_id,
)

#: Columns in order; `bbox` is left to the format, which may have no lists.
COLUMNS = (
    "index", "id", "image", "source", "type", "width", "height", "region", "bbox", "status",
    "caption", "why", "verified", "verified_as", "attributes", "image_caption", "error_code",
    "error_message", "engine", "model", "prompt_version", "mark_style", "meta", "label",
    "annotation_id",
)  # fmt: skip


def region_rows(items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """One row per region; a record without regions, as one that failed, has one row without."""
    for item in items:
        shared = _shared(item)
        for region in item.record["regions"] or [{}]:
            own = own_of(item.record, region) if region else Own()
            yield shared | {
                "label": own.label,
                "annotation_id": own.id_text,
                "region": region.get("region"),
                "bbox": region.get("bbox"),
                "status": region.get("status"),
                "caption": region.get("caption"),
                "why": region.get("why"),
                "verified": region.get("verified"),
                "verified_as": region.get("verified_as"),
                "attributes": attributes_json(region),
            }


def _shared(item: Item) -> dict[str, Any]:
    record = item.record
    error = record["error"] or {}
    return {
        "index": record["index"],
        "id": record_id(record),
        "image": record["image"],
        "source": item.source,
        "type": record["type"],
        "width": record["width"],
        "height": record["height"],
        "image_caption": record.get("image_caption"),
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "engine": record["engine"],
        "model": record["model"],
        "prompt_version": record["prompt_version"],
        "mark_style": record["mark_style"],
        "meta": compact_json(record["meta"]),
    }

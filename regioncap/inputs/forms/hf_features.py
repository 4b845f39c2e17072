"""Names of classes, as data sets of Hugging Face say them in the schema of their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

#: Where the schema says it.
_KEY = b"huggingface"


class ClassNames:
    """The names of the classes in rows of one schema.

    Args:
        metadata: The schema's, as Parquet and Arrow files hold it.
    """

    def __init__(self, metadata: Mapping[bytes, bytes] | None) -> None:
        self._features: dict[str, Any] = {}
        try:
            said = json.loads((metadata or {}).get(_KEY, b"{}"))
            features = said["info"]["features"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if isinstance(features, dict):
            self._features = features

    def add_to(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row, with `categories` of its boxes where it has none and the schema names them."""
        if not self._features or "categories" in row:
            return row
        names = next(self._found(row), None)
        return row if names is None else {**row, "categories": names}

    def _found(self, row: Mapping[str, Any]) -> Iterator[list[str | None]]:
        for column, feature in self._features.items():
            inner, value = _inside(feature), row.get(column)
            for name, each in inner.items():
                if isinstance(value, dict):
                    yield from _named(_element(each), value.get(name))
                elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
                    yield from _named(each, [item.get(name) for item in value])
        for column, feature in self._features.items():
            value = row.get(column)
            if _is_class(feature) and isinstance(value, int):
                yield from _named(feature, [value])
            else:
                yield from _named(_element(feature), value)


def _inside(feature: Any) -> dict[str, Any]:
    """The members of an object, or of a list of objects."""
    inner = _element(feature) or feature
    return inner if isinstance(inner, dict) and "_type" not in inner else {}


def _element(feature: Any) -> Any:
    """What a list holds; None if it is none."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature") if isinstance(feature, dict) else None


def _is_class(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel"


def _named(feature: Any, numbers: Any) -> Iterator[list[str | None]]:
    names = feature.get("names") if _is_class(feature) else None
    if isinstance(names, list) and isinstance(numbers, list):
        yield [
            str(names[each]) if isinstance(each, int) and 0 <= each < len(names) else None
            for each in numbers
        ]

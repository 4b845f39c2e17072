"""Marks: the numbered boxes that are drawn on a picture so that a caption can be asked by number.

A style is one module with one class, imported here, and one line in `STYLES`.
"""

from __future__ import annotations

from regioncap.errors import UsageError
from regioncap.views.marks.base import Mark, MarkStyle
from regioncap.views.marks.reference import ReferenceStyle
from regioncap.views.marks.v1 import V1Style

__all__ = ["DEFAULT", "STYLES", "Mark", "MarkStyle", "get"]

STYLES: dict[str, MarkStyle] = {style.name: style for style in (V1Style(), ReferenceStyle())}
DEFAULT = V1Style.name


def get(name: str) -> MarkStyle:
    """Finds a mark style by name.

    Raises:
        UsageError: There is no such style (`unknown-mark-style`).
    """
    try:
        return STYLES[name]
    except KeyError:
        raise UsageError(
            f"there is no mark style {name!r}",
            code="unknown-mark-style",
            hint=f"use one of: {', '.join(STYLES)}",
        ) from None

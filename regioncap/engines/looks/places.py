"""Words for where a box lies in its picture and how large it is."""

from __future__ import annotations

from regioncap.views.boxes import Rect

_VERTICAL = ("upper", "", "lower")
_HORIZONTAL = ("left", "", "right")
_NINTHS = {
    ("upper", "left"): "in the upper left",
    ("upper", ""): "at the top",
    ("upper", "right"): "in the upper right",
    ("", "left"): "on the left",
    ("", ""): "in the centre",
    ("", "right"): "on the right",
    ("lower", "left"): "in the lower left",
    ("lower", ""): "at the bottom",
    ("lower", "right"): "in the lower right",
}
_ACROSS = {"upper": "the top", "": "the middle", "lower": "the bottom"}
_DOWN = {"left": "the left side", "": "the middle", "right": "the right side"}


def shape(box_xyxy: Rect) -> str:
    """`tall` or `wide` for a box at least twice as long as it is broad, else nothing."""
    width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    if height >= 2 * width:
        return "tall"
    return "wide" if width >= 2 * height else ""


def place(box_xyxy: Rect, size_wh: tuple[int, int]) -> str:
    """A phrase for where a box lies, by its centre and by what it spans."""
    x1, y1, x2, y2 = box_xyxy
    width, height = size_wh
    spans_x, spans_y = (x2 - x1) > 0.75 * width, (y2 - y1) > 0.75 * height
    vertical = _VERTICAL[min(2, 3 * (y1 + y2) // (2 * height))]
    horizontal = _HORIZONTAL[min(2, 3 * (x1 + x2) // (2 * width))]
    if box_xyxy == (0, 0, width, height):
        return "over the whole picture"
    covered = (x2 - x1) * (y2 - y1) / (width * height)
    if covered > 0.85:
        return "over nearly the whole picture"
    if covered > 0.5:
        return "over most of the picture"
    if spans_x:
        return f"across {_ACROSS[vertical]}"
    if spans_y:
        return f"down {_DOWN[horizontal]}"
    return _NINTHS[vertical, horizontal]


def share(box_xyxy: Rect, size_wh: tuple[int, int]) -> str:
    """A phrase for the area of a box: to 1 % if small, to 5 % if large."""
    x1, y1, x2, y2 = box_xyxy
    percent = 100 * (x2 - x1) * (y2 - y1) / (size_wh[0] * size_wh[1])
    if percent < 0.5:
        return "less than 1 % of the picture"
    rounded = round(percent) if percent < 20 else 5 * round(percent / 5)
    return f"about {rounded} % of the picture"

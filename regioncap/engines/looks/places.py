"""Words for where a box lies in its picture and how large it is."""

from __future__ import annotations

from regioncap.views.boxes import Rect

#: The nine parts of a picture, by row and column.
_NINTHS = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
_ROWS = ("the top", "the middle", "the bottom")
_COLUMNS = ("the left side", "the middle", "the right side")


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
    row = min(2, 3 * (y1 + y2) // (2 * height))
    column = min(2, 3 * (x1 + x2) // (2 * width))
    if box_xyxy == (0, 0, width, height):
        return "over the whole picture"
    covered = (x2 - x1) * (y2 - y1) / (width * height)
    if covered > 0.85:
        return "over nearly the whole picture"
    if covered > 0.5:
        return "over most of the picture"
    if (x2 - x1) > 0.75 * width:
        return f"across {_ROWS[row]}"
    if (y2 - y1) > 0.75 * height:
        return f"down {_COLUMNS[column]}"
    return _NINTHS[row][column]


def share(box_xyxy: Rect, size_wh: tuple[int, int]) -> str:
    """A phrase for the area of a box: to 1 % if small, to 5 % if large."""
    x1, y1, x2, y2 = box_xyxy
    percent = 100 * (x2 - x1) * (y2 - y1) / (size_wh[0] * size_wh[1])
    if percent < 0.5:
        return "less than 1 % of the picture"
    rounded = round(percent) if percent < 20 else 5 * round(percent / 5)
    return f"about {rounded} % of the picture"

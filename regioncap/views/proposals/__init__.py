"""Boxes for pictures that come without any: limits, suppression and order of what is found."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from regioncap.views.boxes import Box, nms_xyxy
from regioncap.views.proposals.segments import segment_boxes

__all__ = ["propose", "reading_order"]

#: A box that overlaps a better one by more than this is dropped, as in the reference.
_IOU_LIMIT = 0.3
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def propose(image: Image.Image, max_boxes: int) -> list[Box]:
    """Finds what in a picture may be worth a caption.

    Args:
        image: RGB.
        max_boxes: At most so many boxes are returned, the best ones.

    Returns:
        Boxes (left, top, right, bottom) as fractions of the sides, in reading order; none of them
        is the whole picture. Nothing if nothing stands out.
    """
    found = [(box, score) for box, score in segment_boxes(image) if box != _WHOLE]
    kept = nms_xyxy([box for box, _ in found], [score for _, score in found], _IOU_LIMIT)
    return reading_order([found[i][0] for i in kept[:max_boxes]])


def reading_order(boxes_xyxy: Sequence[Box]) -> list[Box]:
    """Sorts boxes into rows from top to bottom, and each row from left to right.

    A row holds the boxes whose middle lies above the bottom of the row's highest box.
    """
    waiting = sorted(boxes_xyxy, key=lambda box: (box[1], box))
    ordered: list[Box] = []
    while waiting:
        bottom = waiting[0][3]
        row = [box for box in waiting if (box[1] + box[3]) / 2 < bottom]
        ordered += sorted(row)
        waiting = [box for box in waiting if box not in row]
    return ordered

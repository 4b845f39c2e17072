"""Connected components without loops over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.intp]


def merge(count: int, first: Labels, second: Labels) -> Labels:
    """Joins nodes into components by hooking larger roots to smaller ones and jumping pointers.

    The method is that of Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm"
    (1982), with array operations in place of processors.

    Args:
        count: Number of nodes.
        first: One end of each edge, shape (e,).
        second: The other end.

    Returns:
        Shape (count,): the smallest node of each node's component.
    """
    roots = np.arange(count)
    while True:
        a, b = roots[first], roots[second]
        apart = a != b
        if not apart.any():
            return roots
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(roots, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(jumped := roots[roots], roots):
            roots = jumped


def dense(roots: Labels) -> Labels:
    """Renumbers components from 0 in the order of their smallest nodes."""
    return np.asarray(np.unique(roots, return_inverse=True)[1])


@dataclass(frozen=True, slots=True)
class Blobs:
    """The connected parts of a mask and of its holes, each with what it encloses."""

    #: Left, top, right, bottom of each blob, shape (n, 4).
    boxes_xyxy: NDArray[np.intp]
    #: Pixels inside each blob's outline, those of enclosed blobs among them, shape (n,).
    areas: NDArray[np.intp]


def blobs(mask: NDArray[np.bool_]) -> Blobs:
    """Finds what the outlines of a mask enclose, outer outlines and those of holes.

    True pixels hang together by sides and corners, false ones by sides alone. What lies around
    everything is no blob.
    """
    padded = np.pad(mask, 1)
    height, width = padded.shape
    changes = np.ones((height, width), dtype=np.bool_)
    changes[:, 1:] = padded[:, 1:] != padded[:, :-1]
    starts = np.flatnonzero(changes)
    stops = np.append(starts[1:], height * width)
    values = padded.ravel()[starts]
    labels = dense(merge(starts.size, *_touching(starts, stops, values, width)))
    return _measure(labels, starts, stops, width)


def _touching(
    starts: Labels, stops: Labels, values: NDArray[np.bool_], width: int
) -> tuple[Labels, Labels]:
    """Pairs of runs of equal value that touch a run in the row above.

    Runs tile the picture in raster order, so the runs above run i are those from the one that
    covers the pixel above its start to the one that covers the pixel above its last.
    """
    slack = values.astype(np.intp)  # true runs touch at corners, too
    column = starts % width
    low = np.maximum(starts - slack, starts - column) - width
    high = np.minimum(stops - 1 + slack, starts - column + width - 1) - width
    below = np.flatnonzero(starts >= width)
    first = np.searchsorted(starts, low[below], side="right") - 1
    last = np.searchsorted(starts, high[below], side="right") - 1
    counts = last - first + 1
    lower = np.repeat(below, counts)
    offsets = np.arange(lower.size) - np.repeat(np.cumsum(counts) - counts, counts)
    upper = np.repeat(first, counts) + offsets
    same = values[lower] == values[upper]
    return lower[same], upper[same]


def _measure(labels: Labels, starts: Labels, stops: Labels, width: int) -> Blobs:
    """Boxes and areas of all components but the outermost, which is number 0."""
    count = int(labels.max()) + 1
    rows, left = np.divmod(starts, width)
    right = left + stops - starts
    boxes = np.tile(np.array([2**31, 2**31, 0, 0]), (count, 1))
    np.minimum.at(boxes[:, 0], labels, left)
    np.minimum.at(boxes[:, 1], labels, rows)
    np.maximum.at(boxes[:, 2], labels, right)
    np.maximum.at(boxes[:, 3], labels, rows + 1)
    areas = np.bincount(labels, weights=stops - starts, minlength=count).astype(np.intp)
    # The run to the left of a component's first run belongs to what encloses it, and that begins
    # earlier: going backwards, every area is complete before it is passed on.
    first_runs = np.unique(labels, return_index=True)[1]
    for label in range(count - 1, 0, -1):
        areas[labels[first_runs[label] - 1]] += areas[label]
    return Blobs(boxes[1:] - 1, areas[1:])

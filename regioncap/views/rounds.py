"""Rounds: more boxes than one picture can show legibly go into several; pure.

Boxes that overlap are kept apart as far as the rounds allow, as marks that lie on each other are
the ones that a model confuses. That is a colouring of the graph of overlaps with classes of a given
size; it is filled greedily, the most entangled box first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regioncap.views.boxes import Box

Rounds = list[list[int]]


def split(boxes_xyxy: Sequence[Box], most: int) -> Rounds:
    """Divides boxes over as few rounds as hold them, of sizes that differ by one at most.

    Boxes that overlap nothing stay in runs. The rounds never hold more overlap than runs of the
    boxes in their order would.

    Args:
        boxes_xyxy: N boxes.
        most: Most boxes in a round, at least 1.

    Returns:
        For each round the positions of its boxes, ascending; the same boxes give the same rounds.
    """
    count = len(boxes_xyxy)
    if count <= most:
        return [list(range(count))] if count else []
    runs = [run.tolist() for run in np.array_split(np.arange(count), -(-count // most))]
    overlaps = overlap_matrix(boxes_xyxy)
    choices = (runs, _apart(overlaps, [len(run) for run in runs]))
    return min(choices, key=lambda chosen: _held(overlaps, chosen))


def overlap_matrix(boxes_xyxy: Sequence[Box]) -> NDArray[np.float64]:
    """The share of the smaller box of each pair that the larger one covers.

    Args:
        boxes_xyxy: N boxes.

    Returns:
        Shape (N, N), symmetric, 0 to 1, with zeros on the diagonal.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    smaller = np.minimum(areas[:, None], areas[None, :])
    shares: NDArray[np.float64] = np.divide(
        shared, smaller, out=np.zeros_like(shared), where=smaller > 0
    )
    np.fill_diagonal(shares, 0)
    return shares


def _apart(overlaps: NDArray[np.float64], sizes: Sequence[int]) -> Rounds:
    rounds: Rounds = [[] for _ in sizes]
    # What each box would overlap in each round, kept up to date as rounds fill.
    cost = np.zeros((len(overlaps), len(sizes)))
    for box in np.argsort(-overlaps.sum(axis=1), kind="stable").tolist():
        best = int(np.argmin(cost[box]))
        rounds[best].append(box)
        cost[:, best] += overlaps[:, box]
        if len(rounds[best]) == sizes[best]:
            cost[:, best] = np.inf
    return [sorted(chosen) for chosen in rounds]


def _held(overlaps: NDArray[np.float64], rounds: Rounds) -> float:
    return float(sum(overlaps[np.ix_(chosen, chosen)].sum() for chosen in rounds))

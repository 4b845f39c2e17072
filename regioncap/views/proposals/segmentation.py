"""Cuts a small picture into segments of even colour.

The criterion is that of Felzenszwalb and Huttenlocher, "Efficient graph-based image
segmentation" (2004). It is applied in rounds, as in Boruvka's algorithm, so that each round runs
on arrays: every segment looks at its lightest edge only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regioncap.views.proposals.components import Labels, dense, merge

Floats = NDArray[np.float64]

#: Felzenszwalb and Huttenlocher's k: how readily small segments grow.
_SCALE = 4.0
#: Segments smaller than this share of the picture are joined to what is most like them.
_SMALLEST = 0.003


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs of pixels or segments and how unlike they are, lightest first, each shape (e,)."""

    first: Labels
    second: Labels
    weights: Floats

    def between(self, labels: Labels) -> Edges:
        """The same edges between the segments that the ends belong to, without inner ones."""
        first, second = labels[self.first], labels[self.second]
        apart = first != second
        return Edges(first[apart], second[apart], self.weights[apart])


def pixel_edges(features: Floats) -> Edges:
    """Edges between each pixel and its eight neighbours.

    Args:
        features: Shape (height, width, channels); the weight is the Euclidean distance.
    """
    height, width, channels = features.shape
    pixel = np.arange(height * width).reshape(height, width)
    pairs = (
        (pixel[:, :-1], pixel[:, 1:]),
        (pixel[:-1], pixel[1:]),
        (pixel[:-1, :-1], pixel[1:, 1:]),
        (pixel[:-1, 1:], pixel[1:, :-1]),
    )
    first = np.concatenate([a.ravel() for a, _ in pairs])
    second = np.concatenate([b.ravel() for _, b in pairs])
    flat = features.reshape(-1, channels)
    weights = np.linalg.norm(flat[first] - flat[second], axis=1)
    order = np.argsort(weights, kind="stable")
    return Edges(first[order], second[order], weights[order])


def segment(pixels: int, edges: Edges) -> Labels:
    """Numbers the segment of every pixel, from 0, shape (pixels,)."""
    return _absorb_small(_grow(pixels, edges), edges, _SMALLEST * pixels)


def _grow(pixels: int, edges: Edges) -> Labels:
    """Joins segments along their lightest edges while the edge is light for both of them."""
    labels, heaviest = np.arange(pixels), np.zeros(pixels)
    while True:
        edges_now = edges.between(labels)
        a, b, weights = edges_now.first, edges_now.second, edges_now.weights
        limit = heaviest + _SCALE / np.bincount(labels)
        lightest = _lightest(edges_now, heaviest.size)
        ranks = np.arange(a.size)
        chosen = (lightest[a] == ranks) | (lightest[b] == ranks)
        joined = chosen & (weights <= np.minimum(limit[a], limit[b]))
        if not joined.any():
            return labels
        numbers = dense(merge(heaviest.size, a[joined], b[joined]))
        inside = np.zeros(int(numbers.max()) + 1)
        np.maximum.at(inside, numbers, heaviest)
        np.maximum.at(inside, numbers[a[joined]], weights[joined])
        labels, heaviest = numbers[labels], inside


def _absorb_small(labels: Labels, edges: Edges, smallest: float) -> Labels:
    """Joins segments of fewer than `smallest` pixels along their lightest edges.

    Two small ones join only if each is the other's nearest: else a chain of small segments
    would run through the picture and become one.
    """
    while True:
        now = edges.between(labels)
        small = np.bincount(labels) < smallest
        lightest = _lightest(now, small.size)
        ranks = np.arange(now.weights.size)
        by_first, by_second = lightest[now.first] == ranks, lightest[now.second] == ranks
        first_small, second_small = small[now.first], small[now.second]
        joined = by_first & by_second & (first_small | second_small)
        joined |= by_first & first_small & ~second_small
        joined |= by_second & second_small & ~first_small
        if not joined.any():
            return labels
        labels = dense(merge(small.size, now.first[joined], now.second[joined]))[labels]


def _lightest(edges: Edges, count: int) -> Labels:
    """The position of the lightest edge of each segment, shape (count,); past the end if none."""
    ranks = np.arange(edges.weights.size)[::-1]
    of_first, of_second = np.full((2, count), edges.weights.size)
    # Assigned from the heaviest to the lightest edge, the lightest is what stays.
    of_first[edges.first[::-1]] = ranks
    of_second[edges.second[::-1]] = ranks
    return np.asarray(np.minimum(of_first, of_second))

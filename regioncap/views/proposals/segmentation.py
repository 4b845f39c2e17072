"""Cuts a small picture into segments of even colour.

The method is that of Felzenszwalb and Huttenlocher, "Efficient graph-based image segmentation"
(2004). OpenCV has it in its contrib package alone, which cannot be installed beside the package
that vLLM needs: both hold the module `cv2`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Numbers of segments.
Labels = NDArray[np.intp]

#: Felzenszwalb and Huttenlocher's k: how readily small segments grow.
_SCALE = 40.0
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
    """Numbers the segment of every pixel, from 0, shape (pixels,).

    Two segments are joined along an edge that is hardly heavier than the edges inside each of them;
    then those that stayed too small are joined to their neighbours along the lightest edges.
    """
    forest = _Forest(pixels)
    ends = zip(edges.first.tolist(), edges.second.tolist(), edges.weights.tolist(), strict=True)
    heavier = []
    for first, second, weight in ends:
        a, b = forest.root(first), forest.root(second)
        if a != b:
            if weight <= min(forest.limits[a], forest.limits[b]):
                forest.join(a, b, weight)
            else:
                heavier.append((a, b, weight))
    for first, second, weight in heavier:
        a, b = forest.root(first), forest.root(second)
        if a != b and min(forest.sizes[a], forest.sizes[b]) < _SMALLEST * pixels:
            forest.join(a, b, weight)
    roots = [forest.root(pixel) for pixel in range(pixels)]
    return np.asarray(np.unique(roots, return_inverse=True)[1])


class _Forest:
    """Segments as trees of pixels; what is known of a segment is kept at its root."""

    def __init__(self, pixels: int) -> None:
        self.parents = list(range(pixels))
        self.sizes = [1] * pixels
        #: The heaviest edge along which a segment still grows.
        self.limits = [_SCALE] * pixels

    def root(self, pixel: int) -> int:
        """The root of a pixel's segment; the way there is halved for the next who asks."""
        parents = self.parents
        while parents[pixel] != pixel:
            parents[pixel] = pixel = parents[parents[pixel]]
        return pixel

    def join(self, a: int, b: int, weight: float) -> None:
        """Joins two segments, named by their roots; no edge before was heavier than this one."""
        self.parents[b] = a
        self.sizes[a] += self.sizes[b]
        self.limits[a] = weight + _SCALE / self.sizes[a]

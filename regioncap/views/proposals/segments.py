"""Boxes around regions of one look: a hierarchy of segments, ranked by how they stand out.

The segments of a small picture are merged, most alike first, as in selective search (Uijlings et
al., "Selective search for object recognition", 2013). Every segment of the hierarchy is a
candidate. It scores by the contrast along its outline and by how well it fills its box, and
loses by how much of it lies at the picture's frame, which tells background from objects (Zhu et
al., "Saliency optimization from robust background detection", 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from regioncap.views.boxes import Box
from regioncap.views.colour import oklab_from_srgb
from regioncap.views.proposals.segmentation import Edges, Floats, Labels, pixel_edges, segment

_WORK_SIDE = 96
#: How much a step of texture weighs beside a step of colour.
_TEXTURE_WEIGHT = 2.0
#: Boxes smaller than this share of the picture score less, in proportion.
_SMALL_SHARE = 0.02
#: What scores less is noise: some five just noticeable steps of lightness, of 100.
_LEAST_SCORE = 5.0
#: The longer side over the shorter; beyond it lie the blurred edges between two things.
_MOST_OBLONG = 18.0


def segment_boxes(image: Image.Image) -> list[tuple[Box, float]]:
    """Boxes (left, top, right, bottom) as fractions of the sides, each with its score.

    A larger score is better.
    """
    work = image.copy()
    work.thumbnail((_WORK_SIDE, _WORK_SIDE), Image.Resampling.BOX)
    lab = oklab_from_srgb(np.asarray(work)) * 100
    edges = pixel_edges(lab)
    labels = segment(work.width * work.height, edges)
    looks = np.dstack([lab, _texture(lab[..., 0])])
    boxes_xyxy, scores = _Segments.of(labels, looks, edges).hierarchy()
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    oblongness = sides.max(axis=1) / sides.min(axis=1)
    good = (scores >= _LEAST_SCORE) & (oblongness <= _MOST_OBLONG)
    boxes = boxes_xyxy[good] / [work.width, work.height, work.width, work.height]
    ranked = zip(boxes.tolist(), scores[good].tolist(), strict=True)
    return [((x1, y1, x2, y2), score) for (x1, y1, x2, y2), score in ranked]


def _texture(lightness: Floats) -> Floats:
    """How much the lightness changes at each pixel, weighted, shape (height, width)."""
    steps = np.abs(np.diff(lightness, axis=1, prepend=lightness[:, :1]))
    steps += np.abs(np.diff(lightness, axis=0, prepend=lightness[:1]))
    return np.asarray(steps * _TEXTURE_WEIGHT)


@dataclass(frozen=True, slots=True)
class _Segments:
    """n segments and the borders between them; the arrays change as segments are merged."""

    #: Pixels, shape (n,).
    areas: Floats
    #: Sums over pixels of colour and texture, shape (n, 4).
    looks: Floats
    #: Shape (n, 4).
    boxes_xyxy: Floats
    #: Pixels on the picture's frame, shape (n,).
    frames: Floats
    #: Pixel pairs across each border, shape (n, n).
    lengths: Floats
    #: Sums of their colour differences, shape (n, n).
    contrasts: Floats

    @classmethod
    def of(cls, labels: Labels, looks: Floats, edges: Edges) -> _Segments:
        """Measures segments.

        Args:
            labels: The segment of every pixel, shape (pixels,).
            looks: Colour and texture, shape (height, width, 4).
            edges: Pairs of neighbouring pixels.
        """
        height, width, channels = looks.shape
        count = int(labels.max()) + 1
        flat = looks.reshape(-1, channels)
        sums = [_sums(labels, flat[:, channel], count) for channel in range(channels)]
        on_frame = np.ones((height, width))
        on_frame[1:-1, 1:-1] = 0
        borders = edges.between(labels)
        cells = borders.first * count + borders.second
        lengths = np.bincount(cells, minlength=count**2).reshape(count, count)
        contrasts = _sums(cells, borders.weights, count**2).reshape(count, count)
        return cls(
            areas=np.bincount(labels).astype(np.float64),
            looks=np.stack(sums, axis=1),
            boxes_xyxy=_boxes(labels, (width, height)),
            frames=_sums(labels, on_frame.ravel(), count),
            lengths=(lengths + lengths.T).astype(np.float64),
            contrasts=contrasts + contrasts.T,
        )

    def hierarchy(self) -> tuple[Floats, Floats]:
        """Merges the two most alike neighbours until one segment is left.

        Returns:
            Boxes, shape (m, 4), and scores, shape (m,), of all segments on the way.
        """
        count = self.areas.size
        distances = np.stack([self._distances(i) for i in range(count)])
        boxes, scores = [self.boxes_xyxy.copy()], [self._scores(np.arange(count))]
        for _ in range(count - 2):
            i, j = divmod(int(distances.argmin()), count)
            self._absorb(i, j)
            distances[j], distances[:, j] = np.inf, np.inf
            distances[i] = distances[:, i] = self._distances(i)
            boxes.append(self.boxes_xyxy[i : i + 1].copy())
            scores.append(self._scores(np.array([i])))
        return np.concatenate(boxes), np.concatenate(scores)

    def _scores(self, which: Labels) -> Floats:
        """How much segments look like things of their own."""
        outlines = self.lengths[which].sum(axis=1)
        contrasts = self.contrasts[which].sum(axis=1) / np.maximum(outlines, 1)
        boxes, areas = self.boxes_xyxy[which], self.areas[which]
        box_areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        at_frame = self.frames[which] / np.sqrt(areas)
        size = np.minimum(1, box_areas / self.areas.sum() / _SMALL_SHARE)
        return np.asarray(contrasts * (areas / box_areas) * np.exp(-(at_frame**2) / 2) * size)

    def _distances(self, i: int) -> Floats:
        """How unlike one segment is to every other, shape (n,); infinite if they do not touch.

        Small segments are merged first, so that the hierarchy grows evenly.
        """
        means = self.looks / np.maximum(self.areas, 1)[:, None]
        apart = np.linalg.norm(means - means[i], axis=1)
        apart += self.contrasts[i] / np.maximum(self.lengths[i], 1)
        size = self.areas * self.areas[i] / (self.areas + self.areas[i])
        return np.where(self.lengths[i] > 0, apart * size**0.25, np.inf)

    def _absorb(self, i: int, j: int) -> None:
        """Makes segment j part of segment i."""
        for sums in (self.areas, self.looks, self.frames):
            sums[i] += sums[j]
        self.boxes_xyxy[i, :2] = np.minimum(self.boxes_xyxy[i, :2], self.boxes_xyxy[j, :2])
        self.boxes_xyxy[i, 2:] = np.maximum(self.boxes_xyxy[i, 2:], self.boxes_xyxy[j, 2:])
        for borders in (self.lengths, self.contrasts):
            borders[i] += borders[j]
            borders[:, i] = borders[i]
            borders[i, i] = 0
            borders[j], borders[:, j] = 0, 0


def _sums(groups: Labels, values: Floats, count: int) -> Floats:
    """Sums of the values of each group, shape (count,)."""
    return np.asarray(np.bincount(groups, values, count), dtype=np.float64)


def _boxes(labels: Labels, size_wh: tuple[int, int]) -> Floats:
    """The box around each segment, (left, top, right, bottom), shape (n, 4)."""
    rows, columns = np.divmod(np.arange(labels.size), size_wh[0])
    boxes = np.tile(np.array([*size_wh, 0, 0]), (int(labels.max()) + 1, 1))
    np.minimum.at(boxes[:, 0], labels, columns)
    np.minimum.at(boxes[:, 1], labels, rows)
    np.maximum.at(boxes[:, 2], labels, columns + 1)
    np.maximum.at(boxes[:, 3], labels, rows + 1)
    return boxes.astype(np.float64)

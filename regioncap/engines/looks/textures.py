"""Words for the texture of a region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regioncap.engines.looks.samples import Sample

#: A change of lightness, of 100, that the eye takes for a grain or an edge.
_VISIBLE = 6.0
_TILES = 6


def texture(sample: Sample) -> str:
    """A phrase for how the lightness changes between near pixels.

    Changes are measured over one pixel and over about an eightieth of the picture. A region that
    changes everywhere has a texture, and the finer it is the more of its change lies within one
    pixel; a region that changes here and there has details.
    """
    far = sample.change(max(4, round(max(sample.picture.size_wh) / 80)))
    busy = (far > _VISIBLE) & sample.seen
    busy_share = busy.sum() / sample.seen.sum()
    if busy_share < 0.12:
        return "with a smooth surface"
    if busy_share < 0.35:
        return "with a mostly smooth surface"
    # The share of the tiles that hold more than a quarter of busy pixels.
    if (_tile_sums(busy) > 0.25 * _tile_sums(sample.seen)).mean() < 0.8:
        return "with smooth and detailed parts"
    coarse = float(far[sample.seen].mean())
    grainy = float(sample.change(1)[sample.seen].mean()) > 0.45 * coarse
    if coarse > 13:
        return "with a strong texture" if grainy else "with much detail"
    return "with a fine texture" if grainy else "with a coarse texture"


def _tile_sums(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Counts of true pixels in each tile, shape (t, u), t and u at most 6."""
    rows, columns = (np.unique(np.arange(_TILES) * side // _TILES) for side in mask.shape)
    return np.add.reduceat(np.add.reduceat(mask, rows, axis=0, dtype=np.intp), columns, axis=1)

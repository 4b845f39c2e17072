"""RegionCap: captions for the marked regions of images, at any scale."""

from __future__ import annotations

__version__ = "0.1.0"

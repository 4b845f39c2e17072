"""How a region of a picture looks, measured from its pixels and said in words.

Everything said is measured: main colours, brightness, texture, place, shape and size.
"""

from __future__ import annotations

from regioncap.engines.looks.samples import Measured
from regioncap.engines.looks.sentences import describe

__all__ = ["Measured", "describe"]

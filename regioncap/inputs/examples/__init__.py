"""Example photographs with boxes, shipped with the package.

Twelve free photographs of different sizes and orientations and one input file in the record format.
Sources and licences stand in `LICENSES.md` beside them.
"""

from __future__ import annotations

from pathlib import Path


def examples_dir() -> Path:
    """The folder that holds the photographs and their input file."""
    return Path(__file__).resolve().parent


def photos_jsonl() -> Path:
    """The input file: one record a line, `image` relative to `examples_dir()`."""
    return examples_dir() / "photos.jsonl"

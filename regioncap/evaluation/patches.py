"""Patches: things cut out of the example photographs, with the words that name them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from PIL import Image

from regioncap.inputs import examples
from regioncap.views.pixels import decode

#: Photograph, what its record calls the thing, and words of which one names it. No two things
#: share a word, and each can still be known when it is cut to another shape.
_NAMED = (
    ("coffee", "cup", "cup mug coffee espresso"),
    ("astronaut", "head of the astronaut", "woman lady female"),
    ("astronaut", "mission patch", "patch badge emblem logo insignia"),
    ("astronaut", "helmet with a dark visor", "helmet visor"),
    ("astronaut", "flag", "flag stripe"),
    ("cat", "left eye", "eye iris pupil"),
    ("cat", "nose", "nose snout muzzle"),
    ("hopper", "cap", "cap hat"),
    ("hopper", "ribbons", "ribbon medal"),
    ("raccoon", "face of the raccoon", "raccoon"),
    ("photographer", "head of the photographer", "man photographer male boy guy"),
    ("photographer", "tripod", "tripod"),
    ("stairs", "person with a backpack", "backpack rucksack bag"),
)


@cache
def patches() -> list[tuple[str, Image.Image]]:
    """Things with the words that name them, and their pixels at the photograph's own size."""
    lines = examples.photos_jsonl().read_text("utf-8").splitlines()
    records = {record["id"]: record for record in map(json.loads, lines)}
    return [(words, _cut(records[photo], thing)) for photo, thing, words in _NAMED]


def _cut(record: dict[str, Any], thing: str) -> Image.Image:
    x, y, w, h = record["bbox"][record["things"].index(thing)]
    photo = decode((examples.examples_dir() / record["image"]).read_bytes()).image
    return photo.crop((x, y, x + w, y + h))

"""Scenes: pictures whose regions are known.

Most are made: what `contents` has, drawn on pieces of photographs, so that the ground is as busy as
in life. The same seed makes the same scenes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from regioncap.errors import RecordError, UsageError
from regioncap.evaluation.contents import CONTENTS, Content, things_of
from regioncap.evaluation.placing import LAYOUTS, Layout, place
from regioncap.evaluation.truth import Truth
from regioncap.inputs import examples
from regioncap.views.boxes import Box, Size, xyxy_from_xywh
from regioncap.views.pixels import decode, encode_jpeg

#: Larger than what a model sees, so that a crop has more to show.
SIZE_WH: Size = (1792, 1344)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what its regions hold."""

    name: str
    #: What kind of scene it is, for sums by kind.
    kind: str
    #: The encoded picture.
    image: bytes
    #: In pixels of the picture, upright.
    boxes_xyxy: list[Box]
    truths: list[Truth]


def kinds() -> list[tuple[Content, Layout]]:
    """All kinds of scenes that make sense: what is half covered can be neither read nor counted."""
    return [
        (content, layout)
        for content in CONTENTS
        for layout in LAYOUTS
        if layout != "overlapping" or content in {"colours", "shapes", "patches"}
    ]


def make_scene(
    content: Content, layout: Layout, count: int, seed: int, size_wh: Size = SIZE_WH
) -> Scene:
    """Makes a scene.

    No two of its regions hold the same.

    Args:
        content: What its regions hold.
        layout: How they lie.
        count: How many there are, at most: fewer where no more fit, or are to be told apart.
        seed: Another seed makes another scene.
        size_wh: Size of the picture, pixels.
    """
    random = Random(f"{content} {layout} {count} {seed}")  # noqa: S311 # no secret
    image = _ground(random, size_wh)
    things = things_of(content, random)
    boxes = place(layout, min(count, len(things)), size_wh, random)
    for box, thing in zip(boxes, things, strict=False):
        thing.paint(image, box)
    order = random.sample(range(len(boxes)), len(boxes))
    return Scene(
        name=f"{content}-{layout}-{seed}",
        kind=f"{content}, {layout}",
        image=encode_jpeg(image),
        boxes_xyxy=[boxes[i] for i in order],
        truths=[things[i].truth for i in order],
    )


def _ground(random: Random, size_wh: Size) -> Image.Image:
    """A piece of an example photograph, enlarged, and paled so that what is drawn stands out."""
    photo = _photos()[random.randrange(len(_photos()))]
    wide = min(photo.width, int(photo.height * size_wh[0] / size_wh[1]))
    high = int(wide * size_wh[1] / size_wh[0])
    scale = random.uniform(0.5, 1)
    wide, high = int(wide * scale), int(high * scale)
    left, top = random.randint(0, photo.width - wide), random.randint(0, photo.height - high)
    piece = photo.crop((left, top, left + wide, top + high))
    piece = piece.resize(size_wh, Image.Resampling.BICUBIC)
    return Image.blend(piece, Image.new("RGB", size_wh, (205, 200, 190)), 0.35)


@cache
def _photos() -> list[Image.Image]:
    files = sorted((examples.examples_dir() / "photos").glob("*.jpg"))
    return [decode(file.read_bytes()).image for file in files]


def photographs() -> Iterator[Scene]:
    """The example photographs whose regions are named."""
    return own_data(examples.photos_jsonl(), kind="photographs")


def own_data(file: Path, kind: str = "own data") -> Iterator[Scene]:
    """Pictures with reference captions.

    Args:
        file: JSON Lines with `image` (relative to the file), `bbox` ([[x, y, w, h], ...]) and
            `captions` (or `things`), one for each box.
        kind: What the sums call them.

    Raises:
        UsageError: The file or an image cannot be read, or boxes and captions do not match.
    """
    try:
        # Texts of JSON may hold what else ends a line, U+2028 and others.
        for number, line in enumerate(file.read_text("utf-8-sig").split("\n"), start=1):
            if line.strip():
                name = f"{file.name}:{number}"
                fields = _fields(line, name)
                if fields.get("bbox"):
                    yield _own_scene(file, name, fields, kind)
    except (OSError, ValueError, TypeError, RecordError) as error:
        raise UsageError(f"{file}: {error}", code="bad-eval-data", hint=_OWN_HINT) from error


_OWN_HINT = "each line has image, bbox ([[x, y, w, h], ...]) and captions, one for each box"


def _fields(line: str, name: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{name}: no object: {line.strip()[:60]}")
    if not isinstance(fields.get("image"), str):
        raise ValueError(f"{name}: image is missing, or no text")
    return fields


def _own_scene(file: Path, name: str, fields: dict[str, Any], kind: str) -> Scene:
    captions: Sequence[str] = fields.get("captions") or fields.get("things") or ()
    if len(captions) != len(fields["bbox"]):
        raise ValueError(f"{name}: {len(fields['bbox'])} boxes, {len(captions)} captions")
    known = [
        (xyxy_from_xywh(box), truth)
        for box, caption in zip(fields["bbox"], captions, strict=True)
        if (truth := Truth.of_reference(caption)) is not None
    ]
    image = (file.parent / fields["image"]).read_bytes()
    return Scene(name, kind, image, [box for box, _ in known], [truth for _, truth in known])

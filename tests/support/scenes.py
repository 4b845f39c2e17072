"""Pictures for engines: plain shapes in many sizes, each unlike the others."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from regioncap.engines.base import CaptionRequest, Sampling
from regioncap.records import Prompt

#: What all the questions share; long enough to fill blocks of the prefix cache.
SHARED = (
    "Describe the content of each marked region in the image. Look at every region by itself, "
    "name what is in it, and say what it looks like and where it is."
)
GREEDY = Sampling(temperature=0.0, max_tokens=16)


def scene(number: int, size_wh: tuple[int, int] | None = None) -> bytes:
    """A JPEG of coloured boxes; sides are multiples of 28 and vary with the number."""
    random = np.random.default_rng(number)
    width, height = size_wh or (28 * (5 + number % 9), 28 * (4 + number % 7))
    image = Image.new("RGB", (width, height), tuple(random.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = (int(random.integers(0, side // 2)) for side in (width, height))
        box = (x, y, x + width // 3, y + height // 3)
        draw.rectangle(box, fill=tuple(random.integers(0, 256, 3).tolist()))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def question(number: int, sampling: Sampling = GREEDY, prefix: str = "scene") -> CaptionRequest:
    """A question about a scene."""
    after = f"There are {number % 10 + 1} regions: <region1> to <region{number % 10 + 1}>."
    return CaptionRequest(
        request_id=f"{prefix}-{number}",
        image=scene(number),
        prompt=Prompt(system="You caption images.", before=SHARED, after=after),
        sampling=sampling,
    )


def endless(number: int) -> CaptionRequest:
    """A question with a long answer: noise may end at any word, a list of this length may not."""
    asked = question(number, Sampling(max_tokens=3500), "endless")
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 3000}
    return replace(asked, prompt=replace(asked.prompt, answer_schema=schema))


def write_scenes(folder: Path, count: int) -> list[Path]:
    """Writes the pictures of the first questions into files."""
    paths = [folder / f"scene-{number:03}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(scene(number))
    return paths

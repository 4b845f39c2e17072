"""The baseline engine: one line a region of what lies beneath the marks."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest, Sampling
from regioncap.engines.baseline import BaselineEngine
from regioncap.errors import RequestError
from regioncap.records import Prompt, RegionInView
from regioncap.views import marks, prompts

GREY_AND_RED = Image.new("RGB", (320, 240), (128, 128, 128))
GREY_AND_RED.paste((190, 20, 20), (0, 0, 100, 100))
LEFT, RIGHT = RegionInView(1, (0, 0, 100, 100)), RegionInView(2, (200, 120, 320, 240))


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def ask(
    *regions: RegionInView,
    image: bytes | None = None,
    schema: dict[str, Any] | None = None,
    mark_style: str = "",
) -> Answer | RequestError:
    request = CaptionRequest(
        request_id="r1",
        image=image or jpeg(GREY_AND_RED),
        prompt=Prompt(answer_schema=schema),
        sampling=Sampling(),
        regions=regions,
        mark_style=mark_style,
    )
    return asyncio.run(BaselineEngine().caption([request]))[0]


def text_of(answer: Answer | RequestError) -> str:
    assert isinstance(answer, Answer), answer
    return answer.text


def test_caption__one_line_a_region() -> None:
    assert text_of(ask(LEFT, RIGHT)).splitlines() == [
        "In <region1>, a dark region, mostly red, with a smooth surface, in the upper left, "
        "about 13 % of the picture.",
        "In <region2>, a medium-bright region, mostly grey, with a smooth surface, "
        "in the lower right, about 19 % of the picture.",
    ]


def test_caption__keeps_the_numbers_asked_for() -> None:
    assert text_of(ask(RegionInView(7, LEFT.box_xyxy))).startswith("In <region7>, a dark region, ")


def test_caption__without_regions_describes_the_picture() -> None:
    text = text_of(ask())
    assert text == "A medium-bright picture, mostly grey with some red, with a smooth surface."


def test_caption__counts_words_as_tokens() -> None:
    answer = ask(LEFT)
    assert isinstance(answer, Answer)
    assert (answer.prompt_tokens, answer.completion_tokens) == (0, len(answer.text.split()))


def test_caption__answers_by_the_schema_of_the_prompts() -> None:
    schema = prompts.answer_schema([1, 2])

    answer = json.loads(text_of(ask(LEFT, RIGHT, schema=schema)))

    assert list(answer) == schema["required"]
    assert answer[schema["required"][0]].startswith("A dark region, mostly red, ")
    assert answer[schema["required"][1]].startswith("A medium-bright region, mostly grey, ")


def test_caption__schema_without_regions_describes_the_picture() -> None:
    answer = json.loads(text_of(ask(schema={"required": ["all"]})))
    assert answer["all"].startswith("A medium-bright picture, ")


def test_caption__schema_that_does_not_fit_the_regions() -> None:
    answer = ask(LEFT, schema={"required": ["a", "b"]})
    assert isinstance(answer, RequestError)
    assert answer.code == "schema-mismatch"


@pytest.mark.parametrize("image", [b"no picture", jpeg(GREY_AND_RED)[:700]])
def test_caption__undecodable_picture(image: bytes) -> None:
    answer = ask(LEFT, image=image)
    assert isinstance(answer, RequestError)
    assert answer.code == "undecodable-picture"
    assert "r1" in answer.message


def test_caption__unknown_mark_style() -> None:
    answer = ask(LEFT, mark_style="crayon")
    assert isinstance(answer, RequestError)
    assert answer.code == "unknown-mark-style"


@pytest.mark.parametrize("style", marks.STYLES.values(), ids=marks.STYLES)
def test_caption__measures_the_picture_beneath_the_marks(style: marks.MarkStyle) -> None:
    views = [
        LEFT,
        RIGHT,
        RegionInView(3, (140, 60, 180, 100)),
        RegionInView(4, (134, 54, 186, 106)),
    ]
    plain = ask(*views)
    layout = style.layout(GREY_AND_RED.size, [v.box_xyxy for v in views], [v.number for v in views])
    marked = jpeg(Image.fromarray(style.draw(np.asarray(GREY_AND_RED), layout)))

    # With ink measured, region 4 would be of the colours of the mark of region 3 within it.
    assert ask(*views, image=marked, mark_style=style.name) == plain
    assert ask(*views, image=marked) != plain


@pytest.mark.parametrize(
    "box_xyxy", [(-50, -50, 100, 100), (300, 220, 900, 900), (320, 240, 330, 250), (5, 5, 5, 5)]
)
def test_caption__box_beyond_the_picture_is_cut(box_xyxy: tuple[int, int, int, int]) -> None:
    assert text_of(ask(RegionInView(1, box_xyxy))).startswith("In <region1>, a ")


def test_caption__same_bytes_same_text() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    image = jpeg(Image.fromarray(noise))
    assert ask(LEFT, image=image) == ask(LEFT, image=image)

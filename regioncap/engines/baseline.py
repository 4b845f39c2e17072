"""The engine without a model: it describes regions from their measured pixels."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest, RegionView
from regioncap.engines.looks import Picture, PixelBox, describe
from regioncap.errors import RequestError, UsageError
from regioncap.views import marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regioncap.settings import Settings


class BaselineEngine:
    """Says how each region looks: colours, brightness, texture, place and size.

    It recognizes nothing and invents nothing, needs no GPU and no weights, and answers the same
    bytes with the same text. Sampling and the prompt's words, its system message among them, are
    ignored; the prompt's schema is followed. The CPU work runs in a thread, so that the event
    loop stays free.
    """

    name = "baseline"
    model = "baseline-1"

    async def start(self) -> None:
        """Has nothing to load; computes the table of colour names before the first request."""
        blank = Picture.from_image(Image.new("RGB", (8, 8)))
        await asyncio.to_thread(describe, blank)

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Describes the regions of every request, in the order given.

        A picture that cannot be decoded, a schema whose keys do not match the regions or an
        unknown mark style is a `RequestError` in its place.
        """
        return [await asyncio.to_thread(_answer, request) for request in requests]

    async def health(self) -> None:
        """Is always fine."""

    async def close(self) -> None:
        """Holds nothing."""


def _answer(request: CaptionRequest) -> Answer | RequestError:
    try:
        text = _text(request)
    except RequestError as error:
        return error
    except UsageError as error:  # a mark style that does not exist
        return RequestError(error.message, code=error.code, hint=error.hint)
    return Answer(text=text, completion_tokens=len(text.split()))


def _text(request: CaptionRequest) -> str:
    picture = _picture(request)
    if request.prompt.answer_schema is not None:
        return _json_text(picture, request, request.prompt.answer_schema)
    if not request.regions:
        return _sentence(describe(picture))
    return "\n".join(
        f"In <region{view.number}>, {describe(picture, _pixel_box(view, picture))}."
        for view in request.regions
    )


def _json_text(picture: Picture, request: CaptionRequest, schema: dict[str, Any]) -> str:
    """One sentence a key; keys and regions are matched by order."""
    keys: list[str] = schema.get("required", [])
    views: Sequence[RegionView | None] = request.regions or (None,)
    if len(keys) != len(views):
        raise RequestError(
            f"the schema requires {len(keys)} keys, the request has {len(views)} regions",
            code="schema-mismatch",
            hint="require one key for each region, in the order of the regions",
        )
    boxes = [_pixel_box(view, picture) if view else None for view in views]
    texts = [_sentence(describe(picture, box)) for box in boxes]
    return json.dumps(dict(zip(keys, texts, strict=True)), ensure_ascii=False)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _picture(request: CaptionRequest) -> Picture:
    """The request's picture as it was before it was marked, as far as that can be known."""
    rgb = _decode(request)
    if not request.mark_style:
        return Picture.from_image(rgb)
    style = marks.get(request.mark_style)
    boxes_xyxy = [view.box_xyxy for view in request.regions]
    numbers = [view.number for view in request.regions]
    ink = style.ink(rgb.size, style.layout(rgb.size, boxes_xyxy, numbers))
    if style.shade != 1:
        rgb = rgb.point([min(255, round(value / style.shade)) for value in range(256)] * 3)
    return Picture.from_image(rgb, _widen(ink))


def _widen(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grows a mask by two pixels to each side: JPEG smears the colour of lines that far."""
    wide = ink.copy()
    for step in (1, 2):
        wide[step:] |= ink[:-step]
        wide[:-step] |= ink[step:]
    tall = wide.copy()
    for step in (1, 2):
        wide[:, step:] |= tall[:, :-step]
        wide[:, :-step] |= tall[:, step:]
    return wide


def _decode(request: CaptionRequest) -> Image.Image:
    try:
        with Image.open(io.BytesIO(request.image)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RequestError(
            f"the picture of request {request.request_id} cannot be decoded: {error}",
            code="undecodable-picture",
            hint="send a whole JPEG, PNG or WebP file",
        ) from error


def _pixel_box(view: RegionView, picture: Picture) -> PixelBox:
    """The box cut to the picture and at least one pixel wide and high."""
    width, height = picture.size_wh
    x1, y1, x2, y2 = view.box_xyxy
    left, top = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return left, top, min(max(x2, left + 1), width), min(max(y2, top + 1), height)


def from_settings(settings: Settings) -> BaselineEngine:
    """The engine that the settings describe."""
    return BaselineEngine()

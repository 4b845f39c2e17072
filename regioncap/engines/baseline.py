"""The engine without a model: it describes regions from their measured pixels."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.engines.looks import Measured, describe
from regioncap.errors import RequestError, UsageError
from regioncap.views import marks
from regioncap.views.boxes import Rect, Size, pixel_rect

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
    model_revision = ""
    grid = None

    async def start(self) -> None:
        """Has nothing to load; computes the table of colour names before the first request."""
        blank = Measured.from_image(Image.new("RGB", (8, 8)))
        await asyncio.to_thread(describe, blank)

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Describes the regions of every request, in the order given.

        A picture that cannot be decoded, a schema whose keys do not match the regions or an
        unknown mark style is a `RequestError` in its place.
        """
        return [await asyncio.to_thread(_answer, request) for request in requests]

    async def health(self) -> None:
        """Returns at once: it always serves."""

    async def close(self) -> None:
        """Does nothing: it holds no resources."""

    def stats(self) -> None:
        """None: it has no batch."""


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
    if request.choices:
        return _choice(picture, request)
    if request.prompt.answer_schema is not None:
        return _json_text(picture, request, request.prompt.answer_schema)
    if not request.regions:
        return _sentence(describe(picture))
    return "\n".join(
        f"In {region.name}, {describe(picture, box)}."
        for region, box in zip(request.regions, _boxes(request, picture.size_wh), strict=True)
    )


def _choice(picture: Measured, request: CaptionRequest) -> str:
    """The region of which it would say what is claimed; the last choice if of none."""
    claim = _plain(request.claim)
    boxes = _boxes(request, picture.size_wh)
    for region, box in zip(request.regions, boxes, strict=True):
        # A short field may hold the beginning alone.
        if claim and _plain(describe(picture, box)).startswith(claim):
            return str(region.number) if request.mark_style else request.choices[0]
    return request.choices[-1]


def _plain(text: str) -> str:
    return text.strip(" .").casefold()


def _json_text(picture: Measured, request: CaptionRequest, schema: dict[str, Any]) -> str:
    """One sentence a key, or what else is asked for; keys and regions are matched by order."""
    keys: list[str] = schema.get("required", [])
    boxes: Sequence[Rect | None] = _boxes(request, picture.size_wh) or [None]
    if len(keys) != len(boxes):
        raise RequestError(
            f"the schema requires {len(keys)} keys, the request has {len(boxes)} regions",
            code="schema-mismatch",
            hint="require one key for each region, in the order of the regions",
        )
    texts = [_sentence(describe(picture, box)) for box in boxes]
    parts, text_part = schema.get("properties", {}), {"type": "string"}
    values = [
        _fitting(text, parts.get(key, text_part)) for key, text in zip(keys, texts, strict=True)
    ]
    return json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False)


def _fitting(text: str, schema: dict[str, Any]) -> Any:
    """A value as a schema wants it, made of a sentence as far as it can be.

    Of choices it takes one that the sentence names, else the last, which is often "other".
    """
    if choices := schema.get("enum"):
        named = [each for each in choices if str(each).casefold() in text.casefold()]
        return (named or choices)[0 if named else -1]
    if (kind := schema["type"]) == "object":
        return {name: _fitting(text, part) for name, part in schema["properties"].items()}
    if kind == "array":
        return [_fitting(text, schema["items"])] * max(1, schema.get("minItems", 1))
    if kind == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
        return text[:most].ljust(least, ".")
    return {"boolean": False, "null": None}.get(kind, schema.get("minimum", 0))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _picture(request: CaptionRequest) -> Measured:
    """The request's picture as it was before it was marked, as far as that can be known."""
    rgb = _decode(request)
    if not request.mark_style:
        return Measured.from_image(rgb)
    style = marks.get(request.mark_style)
    numbers = [region.number for region in request.regions]
    ink = style.ink(rgb.size, style.layout(rgb.size, _boxes(request, rgb.size), numbers))
    if style.shade != 1:
        rgb = rgb.point([min(255, round(value / style.shade)) for value in range(256)] * 3)
    return Measured.from_image(rgb, _widen(ink))


def _widen(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grows a mask by two pixels to each side: JPEG smears the colour of lines that far."""
    for _ in range(2):  # down, then across
        wide = ink.copy()
        for step in (1, 2):
            wide[step:] |= ink[:-step]
            wide[:-step] |= ink[step:]
        ink = wide.T
    return ink


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


def _boxes(request: CaptionRequest, size_wh: Size) -> list[Rect]:
    """The regions' boxes; an engine may be asked for any, so each is cut to the picture."""
    return [pixel_rect(region.box_xyxy, size_wh) for region in request.regions]


def from_settings(settings: Settings) -> BaselineEngine:
    """The engine that the settings describe."""
    return BaselineEngine()

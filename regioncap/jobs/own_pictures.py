"""Own pictures: two tiny ones on which a worker's work is tried where it may be to blame itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw

from regioncap import keys
from regioncap.captions import degenerate
from regioncap.captions.conversation import Captioned, caption_records
from regioncap.engines.base import Engine
from regioncap.errors import EngineUnwellError, RecordError
from regioncap.records import InputRecord, Region, RenderedRecord
from regioncap.settings import JobSettings
from regioncap.views.prompts import built_in
from regioncap.views.render import render_record
from regioncap.views.view import Limits, Shown, ViewSettings

#: Longest answer about one.
MAX_TOKENS = 64
#: Width and height, pixels, and the box in it.
_SIZE_WH = (112, 112)
_BOX_XYWH = (28, 28, 56, 56)


def render(limits: Limits) -> tuple[list[RenderedRecord], dict[str, bytes], ViewSettings]:
    """Our own records, drawn; their pictures by key, and how they are shown."""
    settings = JobSettings(max_tokens=MAX_TOKENS)
    # Several shards may be in doubt at once, and requests have names of their own.
    name = f"own-pictures-{keys.new_token()}"
    how = ViewSettings(name, settings, built_in(settings.prompt), limits)
    records, pictures = list[RenderedRecord](), dict[str, bytes]()
    for index, (shape, colour) in enumerate((("rectangle", "red"), ("ellipse", "blue"))):
        record = InputRecord(index=index, line=index + 1, bbox=[list(_BOX_XYWH)])
        rendered, drawn = render_record(record, _picture(shape, colour), how)
        if rendered.error is not None:
            raise RecordError(rendered.error.message, code=rendered.error.code)
        records.append(rendered)
        pictures |= dict(drawn)
    return records, pictures, how


async def caption(engine: Engine, limits: Limits, *, differently: bool = False) -> None:
    """Returns if an engine captions our own pictures.

    Args:
        engine: A started engine.
        limits: How large the model sees pictures.
        differently: Whether it is to say different things about them.

    Raises:
        EngineUnwellError: It does not.
        EngineDeadError, EngineAwayError: It is gone, or elsewhere and does not serve.
    """
    records, pictures, how = render(limits)
    done = await caption_records(records, pictures, engine, how, _no_crop)
    for captioned in done:
        if not degenerate.has_words(captioned):
            raise EngineUnwellError(f"it says {_said(captioned)} of our own picture")
    words = set(map(degenerate.first_words, done))
    if differently and len(words) < len(done):
        raise EngineUnwellError(f"it says {_said(done[0])} of two pictures that differ")


def _no_crop(_: RenderedRecord, __: Sequence[Region]) -> list[Shown]:
    return []


def _said(captioned: Captioned) -> str:
    if captioned.failure is not None:
        return f"'{captioned.failure.message[:300]}'"
    return repr(degenerate.first_words(captioned)[:30])


@cache
def _picture(shape: str, colour: str) -> bytes:
    picture, data = Image.new("RGB", _SIZE_WH, "white"), io.BytesIO()
    x, y, width, height = _BOX_XYWH
    getattr(ImageDraw.Draw(picture), shape)((x, y, x + width, y + height), fill=colour)
    picture.save(data, "PNG")
    return data.getvalue()

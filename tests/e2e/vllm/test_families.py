"""Models of other families in the real vLLM: each sees pictures at the size that they cost."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.captions.conversation import caption_records
from regioncap.engines.base import Answer, CaptionRequest, Sampling
from regioncap.engines.thread import EngineThread
from regioncap.engines.vllm import VllmEngine
from regioncap.errors import EngineStartError
from regioncap.records import InputRecord, Prompt
from regioncap.settings import JobSettings, Settings
from regioncap.views.prompts import built_in
from regioncap.views.render import render_record
from regioncap.views.view import Limits, ViewSettings
from tests.e2e.vllm.conftest import ENGINE_ARGS
from tests.support.tiny_families import (
    FAMILIES,
    LLAVA_PATCH_PX,
    LLAVA_SIDE_PX,
    make_qwen3_vl,
)

pytestmark = [pytest.mark.more, pytest.mark.usefixtures("vllm_environment")]

MAX_PIXELS = 300_000


def settings_of(folder: Path, **engine_args: Any) -> Settings:
    arguments = ENGINE_ARGS | engine_args
    return Settings(model=str(folder), engine_args=arguments, max_pixels=MAX_PIXELS)


def photo(size_wh: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size_wh).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_costs_what_its_size_says(tmp_path: Path, family: str) -> None:
    make, cell_px = FAMILIES[family]
    make(tmp_path)
    thread = EngineThread(VllmEngine(settings_of(tmp_path)))
    thread.start()
    try:
        grid = thread.engine.grid
        assert grid is not None
        assert grid.resizes is (cell_px is None)
        assert grid.cell_px == (cell_px or 28)
        assert grid.placeholders

        limits = Limits(MAX_PIXELS, 10_000_000, 100_000_000).on(grid)
        how = ViewSettings("families", JobSettings(max_tokens=16), built_in("tied-2"), limits)
        record = InputRecord(index=0, line=1, image="a.png", bbox=[[40, 30, 300, 200]])
        rendered, pictures = render_record(record, photo((1300, 700)), how)
        asked = [
            CaptionRequest(str(i), data, Prompt(before="What is this?"), Sampling(0.0, 1.0, 8))
            for i, (_, data) in enumerate(pictures)
        ]
        (answer,) = thread.run(thread.engine.caption(asked)).result(300)
        assert isinstance(answer, Answer), answer
        width, height = rendered.views[0].size_wh
        if cell_px is None:
            assert answer.details["image_tokens"] == (LLAVA_SIDE_PX // LLAVA_PATCH_PX) ** 2
        else:
            assert answer.details["image_tokens"] == width * height / cell_px**2
            # As large as the budget allows: more would have been cut down.
            assert MAX_PIXELS * 0.9 < width * height <= MAX_PIXELS

        talk = caption_records([rendered], dict(pictures), thread.engine, how, lambda *_: [])
        (done,) = thread.run(talk).result(300)
        assert done.requests >= 1
        assert done.failure is None
    finally:
        thread.close()


def test_a_model_that_sees_pictures_otherwise_does_not_start(tmp_path: Path) -> None:
    make_qwen3_vl(tmp_path)
    size = {"shortest_edge": 4096, "longest_edge": 65_536}
    engine = VllmEngine(settings_of(tmp_path, mm_processor_kwargs={"size": size}))
    with pytest.raises(EngineStartError, match="does not see it at its own size") as caught:
        asyncio.run(engine.start())
    assert caught.value.code == "engine-grid"

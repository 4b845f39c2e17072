"""Runs scenes through the product's own render and caption steps, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Any

from regioncap.captions.conversation import caption_records
from regioncap.engines.base import Engine
from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.scores import Result, judge_scene
from regioncap.evaluation.trust import Trust
from regioncap.records import InputRecord, Region, RenderedRecord
from regioncap.settings import JobSettings, RegionMode
from regioncap.views.prompts import template_of
from regioncap.views.render import render_record
from regioncap.views.view import Limits, Shown, ViewSettings, crop_regions

#: Scenes in the engine at a time, as many as records in a shard.
_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of showing regions."""

    mode: RegionMode
    #: Mark style and most regions in a picture; not used by mode `crop`.
    style: str
    per_call: int
    prompt: str
    #: Text of the prompt template, if it is the user's own.
    prompt_text: str = ""

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.mode == "crop":
            return f"{self.mode} {self.prompt}"
        return f"{self.mode} {self.style} {self.prompt} x{self.per_call}"

    @property
    def job_settings(self) -> dict[str, Any]:
        """The settings of a job that shows regions so."""
        return {
            "region_mode": self.mode,
            "mark_style": self.style,
            "max_boxes": self.per_call,
            "prompt": self.prompt,
            "box_format": "xyxy",
            "overflow": "rounds",
        }


def variants(
    modes: Sequence[RegionMode],
    styles: Sequence[str],
    prompts: Sequence[tuple[str, str]],
    per_call: Sequence[int],
) -> Iterator[Variant]:
    """All combinations that differ in what the engine gets.

    Args:
        modes: Region modes.
        styles: Names of mark styles.
        prompts: Names of prompt templates, each with its text if it is the user's own.
        per_call: Numbers of regions in one picture.
    """
    for mode, (prompt, text) in product(modes, prompts):
        # A crop has no marks: any one style and number will do.
        ways = product(styles, per_call) if mode != "crop" else [(styles[0], per_call[0])]
        for style, count in ways:
            yield Variant(mode, style, count, prompt, text)


async def run(
    variant: Variant,
    scenes: Iterable[Scene],
    engine: Engine,
    settings: JobSettings,
    limits: Limits,
    *,
    verify: bool = False,
) -> Result:
    """Captions scenes with one variant and scores the captions.

    Only the time in which the engine is asked counts.

    Args:
        variant: How regions are shown.
        scenes: The scenes.
        engine: A started engine, on this event loop.
        settings: Sampling; the variant's own settings replace those here.
        limits: How large the model sees pictures.
        verify: Whether captions, and swapped ones, are asked back; that time does not count.

    Raises:
        EngineDeadError: The engine is gone.
    """
    how = ViewSettings(
        "eval",
        settings.model_copy(update=variant.job_settings),
        template_of(variant.prompt, variant.prompt_text),
        limits,
    )
    result = Result(variant.name)
    waiting = iter(scenes)
    while batch := list(islice(waiting, _AT_A_TIME)):
        rendered, pictures = await asyncio.to_thread(_render, batch, how)
        started = time.monotonic()
        done = await caption_records(rendered, pictures, engine, how, partial(_crop, batch, how))
        result.seconds += time.monotonic() - started
        if verify:
            result.trust = result.trust or Trust()
            await result.trust.add(batch, done, pictures, engine, how)
        for scene, captioned in zip(batch, done, strict=True):
            result.requests += captioned.requests
            result.prompt_tokens += captioned.prompt_tokens
            result.completion_tokens += captioned.completion_tokens
            result.judged += judge_scene(scene, captioned.record.regions)
    return result


def _render(
    scenes: Sequence[Scene], how: ViewSettings
) -> tuple[list[RenderedRecord], dict[str, bytes]]:
    done = [render_record(scene_record(s, index), s.image, how) for index, s in enumerate(scenes)]
    return [record for record, _ in done], dict(shown for _, drawn in done for shown in drawn)


def _crop(
    scenes: Sequence[Scene], how: ViewSettings, record: RenderedRecord, chosen: Sequence[Region]
) -> list[Shown]:
    return crop_regions(record, chosen, scenes[record.index].image, how)


def scene_record(scene: Scene, index: int) -> InputRecord:
    """A scene as an input names it; its picture is not in it."""
    boxes = [list(box) for box in scene.boxes_xyxy]
    return InputRecord(index=index, line=index + 1, image=scene.name, bbox=boxes)

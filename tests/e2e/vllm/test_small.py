"""The small model that comes with RegionCap, in the real vLLM, on scenes that no lesson showed.

It is half trained: it names what it sees and often reads the number, so that a break between the
boxes and the captions shows as a drop of the score. The bars are what it holds;
regioncap/small_model/README.md says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import cycle, product

import pytest
from PIL import Image

from regioncap import answers, engines
from regioncap.answers import RegionAnswer
from regioncap.boxes import Box, Size
from regioncap.engines.thread import EngineThread
from regioncap.evaluation.runner import Variant, run
from regioncap.evaluation.scenes import Scene, make_scene
from regioncap.evaluation.scores import Score
from regioncap.marks.base import Mark
from regioncap.marks.v1 import V1Style
from regioncap.settings import JobSettings, load_settings
from regioncap.views import Limits
from tests.e2e.vllm.conftest import ENGINE_ARGS

COUNT = 30
#: Below what it holds here (53 % right, 31 % mixed up; 77 % alone), for other machines' kernels.
RIGHT, MIXED = 0.42, 0.42
RIGHT_ALONE = 0.6
SIZES_WH: tuple[Size, ...] = ((1792, 1344), (1344, 1344), (1344, 1792))
SETTINGS = load_settings(engine="vllm", model="small", engine_args=ENGINE_ARGS)
ANSWER_TIMEOUT_S = 250


@cache
def scenes(*counts: int) -> list[Scene]:
    turns = cycle(product(counts, SIZES_WH))
    return [
        make_scene("shapes", "large", count, 70_000 + seed, size_wh)
        for seed, (count, size_wh) in zip(range(COUNT), turns, strict=False)
    ]


@pytest.fixture(scope="module")
def thread(vllm_environment: dict[str, str]) -> Iterator[EngineThread]:
    thread = EngineThread(engines.make(SETTINGS))
    thread.start()
    yield thread
    thread.close()


def score(
    thread: EngineThread,
    counts: Sequence[int] = (2, 3, 4, 5),
    max_pixels: int = SETTINGS.max_pixels,
) -> Score:
    """What comes of the scenes on the way that records go: drawn, asked, parsed, judged."""
    limits = Limits(max_pixels, SETTINGS.max_image_bytes, SETTINGS.max_image_pixels)
    work = run(
        Variant("marks", "v1", 10, "regions-1"),
        scenes(*counts),
        thread.engine,
        JobSettings(temperature=0),
        limits,
    )
    total = thread.run(work).result(ANSWER_TIMEOUT_S).total
    print(f"{total.share('right'):.0%} right of {total.regions}: {dict(total.outcomes)}")
    return total


@pytest.fixture(scope="module")
def whole(thread: EngineThread) -> Score:
    return score(thread)


def test_right_words_stand_under_the_right_numbers(whole: Score) -> None:
    assert whole.share("right") >= RIGHT, whole.outcomes
    assert whole.share("mixed-up") <= MIXED, whole.outcomes


def test_one_region_alone(thread: EngineThread) -> None:
    assert score(thread, counts=[1]).share("right") >= RIGHT_ALONE


def test_swapped_tags_are_read(
    thread: EngineThread, whole: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out = V1Style.layout

    def swapped(
        self: V1Style, size_wh: Size, boxes_xyxy: Sequence[Box], numbers: Sequence[int]
    ) -> list[Mark]:
        return lay_out(self, size_wh, boxes_xyxy, [*numbers[1:], *numbers[:1]])

    monkeypatch.setattr(V1Style, "layout", swapped)
    hurt = score(thread)

    # It knows the first two digits well and the others by half, and goes by colours besides.
    assert hurt.share("right") < whole.share("right") - 0.08, hurt.outcomes
    assert hurt.share("mixed-up") > whole.share("mixed-up") + 0.08, hurt.outcomes


def test_without_marks_it_does_not_know_which_is_which(
    thread: EngineThread, whole: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmarked(self: V1Style, image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
        return image.copy()

    monkeypatch.setattr(V1Style, "draw", unmarked)
    hurt = score(thread)

    assert hurt.share("right") < 0.6 * whole.share("right"), hurt.outcomes


def test_captions_that_change_places_are_seen(
    thread: EngineThread, whole: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = answers.parse

    def shuffled(text: str, numbers: Sequence[int], **how: object) -> dict[int, RegionAnswer]:
        found = parse(text, numbers, **how)  # type: ignore[arg-type]
        return dict(zip(found, [*found.values()][1:] + [*found.values()][:1], strict=True))

    monkeypatch.setattr(answers, "parse", shuffled)
    hurt = score(thread)

    assert hurt.share("right") < whole.share("right") / 2, hurt.outcomes
    assert hurt.share("mixed-up") > whole.share("mixed-up") + 0.3, hurt.outcomes


def test_a_picture_resized_behind_its_back_is_not_read(thread: EngineThread, whole: Score) -> None:
    # The engine's own processor shrinks what was drawn for a larger budget.
    hurt = score(thread, max_pixels=1_003_520)

    assert hurt.share("right") < 0.6 * whole.share("right"), hurt.outcomes

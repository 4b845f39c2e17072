"""The score can tell: engines of known quality get the scores that they deserve."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from regioncap.engines.base import CaptionRequest, Engine
from regioncap.engines.baseline import BaselineEngine
from regioncap.evaluation.in_process import Variant, run, variants
from regioncap.evaluation.placing import LAYOUTS, Layout
from regioncap.evaluation.scenes import Scene, make_scene
from regioncap.evaluation.scores import Result
from regioncap.settings import JobSettings, RegionMode
from tests.support.engines import ScriptedEngine
from tests.support.records import LIMITS

pytestmark = pytest.mark.slow

MARKS = Variant("marks", "v1", 10, "default")
SCENES = [make_scene("shapes", layout, 8, seed=5) for layout in LAYOUTS]


def score(engine: Engine, scenes: list[Scene], variant: Variant = MARKS) -> Result:
    return asyncio.run(run(variant, scenes, engine, JobSettings(), LIMITS))


def knowing(scenes: list[Scene], shift: int = 0) -> ScriptedEngine:
    """An engine that knows each scene, and says of a region what the one `shift` on holds."""

    def reply(request: CaptionRequest) -> str:
        scene = scenes[int(request.request_id.split("-")[1])]
        count = len(scene.truths)
        return "\n".join(
            f"In <region{r.number}>, a {scene.truths[(r.number - 1 + shift) % count].text}."
            for r in request.regions
        )

    return ScriptedEngine(reply)


def test_engine_that_knows_is_right() -> None:
    result = score(knowing(SCENES), SCENES)

    assert result.total.share("right") == 1
    assert result.total.regions == sum(len(scene.truths) for scene in SCENES)
    assert result.valid_regions_per_s > 0


def test_engine_that_swaps_regions_is_mixed_up() -> None:
    result = score(knowing(SCENES, shift=1), SCENES)

    assert result.total.share("right") == 0
    assert result.total.share("mixed-up") == 1


def test_engine_that_talks_nonsense_is_wrong() -> None:
    random = Random(0)
    syllables = ["lo", "rem", "ip", "sum", "dor", "sit", "am", "et", "con", "sec", "te", "tur"]

    def reply(request: CaptionRequest) -> str:
        return "\n".join(
            f"In <region{r.number}>, {''.join(random.choices(syllables, k=9))}."
            for r in request.regions
        )

    result = score(ScriptedEngine(reply), SCENES)

    assert result.total.share("wrong") == 1


def test_engine_that_leaves_a_region_out_has_it_missing() -> None:
    engine = ScriptedEngine(
        lambda r: "\n".join(f"In <region{v.number}>, a cup." for v in r.regions if v.number != 2)
    )

    result = score(engine, SCENES)

    assert result.total.share("missing") == pytest.approx(len(SCENES) / result.total.regions)
    assert result.requests == 3 * len(SCENES)


@pytest.mark.parametrize("mode", ["marks", "crop", "marks+crop"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_baseline_knows_colours(layout: Layout, mode: RegionMode) -> None:
    scenes = [make_scene("colours", layout, 8, seed) for seed in range(2)]

    result = score(BaselineEngine(), scenes, Variant(mode, "v1", 10, "default"))

    assert result.total.share("right") >= 0.95


def test_baseline_knows_no_shapes() -> None:
    assert score(BaselineEngine(), SCENES).total.share("right") == 0


def test_regions_a_call() -> None:
    result = score(knowing(SCENES), SCENES, Variant("marks", "reference", 3, "json-2"))

    assert result.requests == 3 * len(SCENES)
    assert result.total.share("right") == 1


def test_crops_are_tried_once_whatever_the_marks() -> None:
    made = list(variants(["marks", "crop"], ["v1", "reference"], [("default", "")], [5, 10]))

    assert [variant.name for variant in made] == [
        "marks v1 default x5",
        "marks v1 default x10",
        "marks reference default x5",
        "marks reference default x10",
        "crop default",
    ]

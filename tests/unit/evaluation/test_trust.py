"""What verification is worth, measured on scenes whose regions are known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from regioncap.engines.base import CaptionRequest
from regioncap.evaluation.in_process import Variant, run
from regioncap.evaluation.scenes import make_scene
from regioncap.evaluation.trust import Trust
from regioncap.settings import JobSettings
from tests.support.engines import ScriptedEngine
from tests.support.records import LIMITS

SCENES = [make_scene("shapes", "apart", 4, seed, (896, 672)) for seed in range(4)]
COUNT = sum(len(scene.truths) for scene in SCENES)


def trust(answer: Callable[[str, int], str], mistaken: int = 0, mode: str = "marks") -> Trust:
    """Captions the scenes, some regions of each wrongly, and asks back.

    Args:
        answer: Says, of a caption and the number of its true region, what the engine answers.
        mistaken: So many regions of each scene get the caption of the one before.
        mode: How regions are shown.
    """
    texts = [[truth.text for truth in scene.truths] for scene in SCENES]

    def reply(request: CaptionRequest) -> str:
        index = int(request.request_id.split("-")[1])
        if request.choices:
            region = texts[index].index(request.claim.lower().rstrip(".")) + 1
            return answer(request.claim, region)
        return "\n".join(
            f"In <region{r.number}>, {texts[index][r.number - 1 - (r.number <= mistaken)]}."
            for r in request.regions
        )

    variant = Variant(mode, "v1", 10, "default")  # type: ignore[arg-type]
    engine = ScriptedEngine(reply)
    result = asyncio.run(run(variant, SCENES, engine, JobSettings(), LIMITS, verify=True))
    assert result.trust is not None
    assert result.row()["verification"] == result.trust.row()
    return result.trust


def test_an_engine_that_knows_catches_all_and_flags_nothing() -> None:
    found = trust(lambda _, region: str(region), mistaken=1)
    row = found.row()
    assert found.mistakes == len(SCENES)
    assert found.right == COUNT - len(SCENES)
    assert (row["planted_caught"], row["mistakes_caught"], row["right_flagged"]) == (1, 1, 0)
    assert (found.ambiguous, found.unsaid) == (0, 0)
    assert found.requests == COUNT


def test_an_engine_that_agrees_with_anything_catches_nothing() -> None:
    row = trust(lambda *_: "yes", mistaken=1, mode="crop").row()
    assert (row["planted_caught"], row["mistakes_caught"], row["right_flagged"]) == (0, 0, 0)


def test_an_engine_that_doubts_everything_flags_what_is_right() -> None:
    row = trust(lambda *_: "none").row()
    assert (row["planted_caught"], row["mistakes_caught"], row["right_flagged"]) == (1, None, 1)


def test_an_engine_that_does_not_say_is_counted() -> None:
    found = trust(lambda *_: "well")
    assert found.unsaid == found.right + found.planted
    assert found.row()["right_flagged"] == 0


@pytest.mark.parametrize("content", ["colours"])
def test_captions_that_fit_two_regions_are_left_out(content: str) -> None:
    scene = make_scene("colours", "apart", 2, 1, (448, 336))
    both = " and ".join(truth.text for truth in scene.truths)

    def reply(request: CaptionRequest) -> str:
        if request.choices:
            return "1"
        return f"In <region1>, {both}.\nIn <region2>, {both}."

    variant = Variant("marks", "v1", 10, "default")
    engine = ScriptedEngine(reply)
    result = asyncio.run(run(variant, [scene], engine, JobSettings(), LIMITS, verify=True))
    assert result.trust is not None
    assert (result.trust.right, result.trust.mistakes, result.trust.planted) == (0, 0, 0)
    assert result.trust.ambiguous == 4

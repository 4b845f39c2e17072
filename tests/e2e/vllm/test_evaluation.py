"""The score at its other end: a model with random weights, made to say something of each region."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regioncap.engines.thread import EngineThread
from regioncap.evaluation.in_process import Variant, run
from regioncap.evaluation.scenes import make_scene
from regioncap.settings import JobSettings
from regioncap.views import prompts
from tests.support.records import LIMITS


def test_a_random_model_is_right_of_nothing(
    engine_thread: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its noise ends nowhere but where the grammar ends it, and it fills what it is given.
    monkeypatch.setattr(prompts, "MAX_CAPTION_CHARS", 16)
    scenes = [make_scene("colours", layout, 8, seed=0) for layout in ("apart", "crowded")]
    asking = run(
        Variant("marks", "v1", 10, "json-2"),
        scenes,
        engine_thread.engine,
        JobSettings(temperature=0.0, max_tokens=400),
        replace(LIMITS, max_pixels=448 * 448),
    )

    result = engine_thread.run(asking).result(200)

    said = sum(result.total.outcomes[outcome] for outcome in ("right", "mixed-up", "wrong"))
    assert result.total.regions == 16
    assert said >= 8, result.total.outcomes
    assert result.total.share("right") <= 0.05

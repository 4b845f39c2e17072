"""The pictures that a vLLM engine is tried with at its start, and what they must cost."""

from __future__ import annotations

import pytest

from regioncap.engines.base import Answer
from regioncap.engines.vllm import _check_cost, _trial_sizes
from regioncap.errors import EngineStartError
from regioncap.job import Grid


@pytest.mark.parametrize(
    ("grid", "max_model_len", "sizes_wh"),
    [
        (Grid(max_pixels=1_003_520), 5376, [(448, 448), (51 * 28, 25 * 28)]),
        (Grid(cell_px=32, max_pixels=1_003_520), 5076, [(512, 512), (44 * 32, 22 * 32)]),
        # Words and answer take the rest of a short context.
        (Grid(max_pixels=1_800_000), 1000, [(448, 448), (39 * 28, 19 * 28)]),
        # The small model sees no larger picture, and the first must not be shrunk.
        (Grid(max_pixels=28_224), 4132, [(168, 168)]),
        (Grid(max_pixels=1_003_520), 300, [(448, 448)]),
    ],
)
def test_sizes(grid: Grid, max_model_len: int, sizes_wh: list[tuple[int, int]]) -> None:
    assert _trial_sizes(grid, max_model_len) == sizes_wh
    assert all(map(grid.keeps, sizes_wh))


@pytest.mark.parametrize("tokens", [0, 255, 257, 64])
def test_a_picture_that_costs_something_else_is_refused(tokens: int) -> None:
    _check_cost(Answer("", details={"image_tokens": 256}), (448, 448), Grid())
    with pytest.raises(EngineStartError, match=f"took {tokens} tokens in place of 256") as caught:
        _check_cost(Answer("", details={"image_tokens": tokens}), (448, 448), Grid())
    assert caught.value.code == "engine-grid"

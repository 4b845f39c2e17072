"""The arithmetic of a caption, against sums by hand."""

from __future__ import annotations

from dataclasses import replace

from bench.gpu.flops import Request, flops
from bench.gpu.shapes import SHAPES

#: Of one layer, two heads, and a picture of one window and a half.
TEXT = {
    "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 1, "vocab_size": 50,
    "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip
VISION = {
    "hidden_size": 4, "intermediate_size": 6, "depth": 3, "fullatt_block_indexes": [1],
    "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
}  # fmt: skip
REQUEST = Request((6, 4), prompt_tokens=30, cached_tokens=10, completion_tokens=5)


def test_each_part_by_hand() -> None:
    found = flops(TEXT, VISION, REQUEST)

    weights = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 10
    assert found["layers"] == 2 * weights * 24
    assert found["head"] == 2 * 8 * 50 * 5
    assert found["attention"] == 4 * 8 * sum(range(11, 35))
    patches, block = 24 * 4, 4 * 16 + 3 * 4 * 6
    assert found["vision"] == 2 * patches * (1176 * 4 + 3 * block) + 2 * 24 * 16 * (16 + 8)
    # Windows of 64 and of 32 patches, in two of three layers.
    assert found["vision attention"] == 4 * 4 * (patches**2 + 2 * (64**2 + 32**2))


def test_words_alone_need_no_vision() -> None:
    found = flops(TEXT, VISION, replace(REQUEST, grid_wh=(0, 0)))

    assert found["vision"] == found["vision attention"] == 0


def test_a_3b_takes_some_teraflop_for_a_caption() -> None:
    shape = SHAPES["3b"]
    vision = shape.vision | {key: VISION[key] for key in VISION if key not in shape.vision}
    request = Request((23, 17), 391 + 45, 0, 128)

    found = flops(shape.text | {"vocab_size": shape.vocabulary}, vision, request)

    # Weights of the layers (2.77 billion), of the head (0.31) and of the vision tower (0.63).
    assert 5.2e12 < sum(found.values()) < 5.7e12
    assert 0.5 < found["layers"] / sum(found.values()) < 0.65

"""Floating-point operations of a request to a Qwen2.5-VL: those of the model, not of the chip.

A multiplication with an addition is two. Norms, activations, embeddings and softmax are left out,
as is usual (Kaplan et al. 2020, arXiv:2001.08361, section 2.1; Chowdhery et al. 2022,
arXiv:2204.02311, appendix B). With h the hidden size, i that of the MLP, L layers, H heads of d, K
key-value heads, V words, P tokens of the prompt of which C were in the prefix cache, and O of the
answer:

    layers            2 L (h H d + 2 h K d + H d h + 3 h i) (P - C + O - 1)
    head              2 h V O
    attention         4 L H d (sum of t from C + 1 to P + O - 1): token t looks at t

and for the picture of m tokens, p = 4 m patches, with hv, iv, Lv of the vision tower
(Bai et al. 2025, arXiv:2502.13923, section 2.1; `modeling_qwen2_5_vl.py` of transformers):

    vision            2 p (3 x 2 x 14 x 14 hv + Lv (4 hv hv + 3 hv iv)) + 2 m (4 hv)(4 hv + h)
    vision attention  4 hv (p p for each whole layer + the sum of w w for each layer of windows of
                      w patches, 8 x 8 of them but for those at the right and at the bottom)

The last token of an answer goes through no layer, and an answer's words alone through the head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a request is, or many are on average."""

    #: Of the picture in tokens, (width, height); (0, 0) for none.
    grid_wh: tuple[int, int]
    prompt_tokens: float
    #: Of the prompt's, those found in the prefix cache.
    cached_tokens: float
    completion_tokens: float


def read_config(folder: Path) -> tuple[Config, Config]:
    """The settings of a checkpoint's language model and of its vision tower."""
    config: Config = json.loads((folder / "config.json").read_text())
    return config.get("text_config") or config, config["vision_config"]


def flops(text: Config, vision: Config, request: Request) -> dict[str, float]:
    """Operations of each part, by the formulas above."""
    hidden, layers = text["hidden_size"], text["num_hidden_layers"]
    last = request.prompt_tokens + request.completion_tokens - 1
    pairs = (last * (last + 1) - request.cached_tokens * (request.cached_tokens + 1)) / 2
    return {
        "layers": 2 * layers * _layer_weights(text) * (last - request.cached_tokens),
        "head": 2 * hidden * text["vocab_size"] * request.completion_tokens,
        "attention": 4 * layers * text["num_attention_heads"] * _head_size(text) * pairs,
        **_vision(vision, hidden, request.grid_wh),
    }


def _head_size(text: Config) -> int:
    return int(text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"])


def _layer_weights(text: Config) -> int:
    hidden, size = text["hidden_size"], _head_size(text)
    heads, kv_heads = text["num_attention_heads"], text["num_key_value_heads"]
    attention = 2 * hidden * heads * size + 2 * hidden * kv_heads * size
    return int(attention + 3 * hidden * text["intermediate_size"])


def _vision(vision: Config, out: int, grid_wh: tuple[int, int]) -> dict[str, float]:
    hidden, merge = vision["hidden_size"], vision["spatial_merge_size"]
    tokens = grid_wh[0] * grid_wh[1]
    patches = tokens * merge**2
    pixels = 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2
    block = 4 * hidden**2 + 3 * hidden * vision["intermediate_size"]
    merger = merge**2 * hidden * (merge**2 * hidden + out)
    whole = len(vision["fullatt_block_indexes"])
    windows = sum(size**2 for size in _windows(vision, grid_wh))
    pairs = whole * patches**2 + (vision["depth"] - whole) * windows
    return {
        "vision": 2 * patches * (pixels * hidden + vision["depth"] * block) + 2 * tokens * merger,
        "vision attention": 4 * hidden * pairs,
    }


def _windows(vision: Config, grid_wh: tuple[int, int]) -> Iterator[int]:
    """Patches of each window of the vision tower."""
    merge = vision["spatial_merge_size"]
    side = vision["window_size"] // vision["patch_size"] // merge
    for top in range(0, grid_wh[1], side):
        for left in range(0, grid_wh[0], side):
            high, wide = min(side, grid_wh[1] - top), min(side, grid_wh[0] - left)
            yield high * wide * merge**2

"""What of a GPU's memory a model takes, and how many requests the rest holds: by calculation.

Weights and keys and values follow from the model's shape exactly. What vLLM takes besides while it
computes is estimated from its own limits of a batch, and from what a layer keeps at once. On an
H200 vLLM 0.26 took 7.65 GiB for weights of 7.57, and 4.48 in fp8, where 4.36 are reckoned.

    parameters        of the families of Qwen2.5-VL: `modeling_qwen2_5_vl.py` of transformers
    key-value cache   2 (keys, values) x layers x key-value heads x head size x bytes of a number
    computing         the largest of: the vision tower over a whole batch of pictures, a layer of
                      the language model over a whole batch of tokens, and the scores of all words
    besides           CUDA's own, captured graphs and what lies between allocations: 1 GiB
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]

_GIB = 1 << 30
_BESIDES_BYTES = _GIB
_BF16, _FP8, _FP32 = 2, 1, 4
#: Values of a patch, or of a token, that a layer holds at once, in hidden and inner sizes: what
#: comes in, its norm, what attention asks for and answers; two products of the inner size, and one.
_HIDDEN_COPIES, _INNER_COPIES = 6, 3
#: Scores of all words as floats, sorted, their order (two words each), and their chances.
_SCORE_COPIES = 5
#: vLLM's limits of a batch for offline use, by the memory of the card (`arg_utils.py`):
#: tokens of a step, and requests.
_LARGE_BYTES = 70 * _GIB
_LARGE, _SMALL = (16_384, 1_024), (8_192, 256)


@dataclass(frozen=True, slots=True)
class Model:
    """What of a model's shape counts."""

    parameters: int
    #: Of these, those of linear layers, which quantization to fp8 makes smaller.
    quantizable: int
    kv_values_per_token: int
    hidden: int
    inner: int
    vocabulary: int
    #: Of the vision tower; 0 where the family is not known.
    vision_hidden: int = 0
    vision_inner: int = 0
    patches_per_token: int = 4


@dataclass(frozen=True, slots=True)
class Card:
    """What an engine may take of a GPU, and among how many it is split."""

    total_bytes: int
    utilization: float = 0.9
    tensor_parallel_size: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine fills a card, bytes of each."""

    weights_bytes: int
    computing_bytes: int
    #: Left for keys and values; negative if the model does not fit.
    kv_bytes: int
    kv_tokens: int
    #: The most requests that vLLM has in a batch.
    most_requests: int

    def requests(self, tokens: int) -> int:
        """How many requests of so many tokens each fit at once."""
        return min(self.most_requests, self.kv_tokens // tokens)


def read_model(config: Config, parameters: int | None = None) -> Model:
    """The shape of a model.

    Args:
        config: Its config.json.
        parameters: Their number, where the weights tell; else as a Qwen2.5-VL of the shape has.

    Raises:
        KeyError: The configuration lacks a size.
    """
    text: Config = config.get("text_config") or config
    vision: Config = config.get("vision_config") or {}
    hidden, inner, layers = (
        text["hidden_size"],
        text["intermediate_size"],
        text["num_hidden_layers"],
    )
    heads, kv_heads = text["num_attention_heads"], text["num_key_value_heads"]
    size = text.get("head_dim") or hidden // heads
    linear = layers * (
        2 * hidden * heads * size + 2 * hidden * kv_heads * size + 3 * hidden * inner
    )
    embedding = text["vocab_size"] * hidden
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    biases = layers * (heads + 2 * kv_heads) * size
    norms = (2 * layers + 1) * hidden
    words = embedding * (1 if tied else 2)
    tower = _tower(vision, hidden)
    vision_hidden = vision.get("embed_dim") or vision.get("hidden_size", 0)
    return Model(
        parameters=parameters or linear + biases + norms + words + tower,
        quantizable=linear + _tower_linear(vision, hidden),
        kv_values_per_token=2 * layers * kv_heads * size,
        hidden=hidden,
        inner=inner,
        vocabulary=text["vocab_size"],
        vision_hidden=vision_hidden,
        vision_inner=vision.get("intermediate_size", int(4 * vision_hidden)),
        patches_per_token=vision.get("spatial_merge_size", 2) ** 2,
    )


def plan(model: Model, card: Card, *, fp8: bool = False, fp8_cache: bool = False) -> Plan:
    """How an engine fills a card with a model in bfloat16.

    Args:
        model: Its shape.
        card: One of those that it is split among.
        fp8: Whether linear layers are quantized to fp8 (`quantization`), the vision tower's among
            them; the words' tables count as they are.
        fp8_cache: Whether keys and values are (`kv_cache_dtype`).
    """
    split = card.tensor_parallel_size
    small = model.quantizable if fp8 else 0
    weights = (_BF16 * (model.parameters - small) + _FP8 * small) // split
    tokens, requests = _LARGE if card.total_bytes >= _LARGE_BYTES else _SMALL
    tower = tokens * model.patches_per_token * _layer(model.vision_hidden, model.vision_inner)
    layer = tokens * _layer(model.hidden, model.inner) // split
    scores = requests * model.vocabulary * _FP32 * _SCORE_COPIES
    computing = max(tower, layer, scores) + _BESIDES_BYTES
    left = int(card.total_bytes * card.utilization) - weights - computing
    per_token = model.kv_values_per_token * (_FP8 if fp8_cache else _BF16) // split
    return Plan(weights, computing, left, max(0, left) // per_token, requests)


def _layer(hidden: int, inner: int) -> int:
    """Bytes of what a layer holds of a token or a patch."""
    return _BF16 * (_HIDDEN_COPIES * hidden + _INNER_COPIES * inner)


def _tower(vision: Config, out: int) -> int:
    """Parameters of Qwen2.5-VL's vision tower."""
    linear = _tower_linear(vision, out)
    if not linear:
        return 0
    hidden, inner = vision["hidden_size"], vision["intermediate_size"]
    pixels = 3 * vision.get("temporal_patch_size", 2) * vision.get("patch_size", 14) ** 2
    merged = hidden * vision.get("spatial_merge_size", 2) ** 2
    biases = vision["depth"] * (5 * hidden + 2 * inner) + merged + out
    norms = (2 * vision["depth"] + 1) * hidden
    return int(linear + biases + norms + pixels * hidden)


def _tower_linear(vision: Config, out: int) -> int:
    """Of these, the weights of its linear layers."""
    if "depth" not in vision or "intermediate_size" not in vision:
        return 0
    hidden, inner = vision["hidden_size"], vision["intermediate_size"]
    merged = hidden * vision.get("spatial_merge_size", 2) ** 2
    block = 4 * hidden**2 + 3 * hidden * inner
    return int(vision["depth"] * block + merged**2 + merged * out)

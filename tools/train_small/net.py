"""The small model's shape, and a forward pass that is quick for many pictures of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.qwen import SPECIAL_TOKENS
from tools.train_small.lessons import Batch
from tools.train_small.words import COLOURS, REGIONS, SHAPES

WIDTH = 128
VISION_DEPTH = 6
TEXT_DEPTH = 3
#: Weight of a token of an answer that says nothing of the picture.
_PLAIN_WEIGHT = 0.1
#: Weight of the hint that says which number a region has: what is hardest to learn.
_NUMBER_WEIGHT = 3.0
#: Weight of the hint that says where to look when a caption is asked back.
_GAZE_WEIGHT = 0.3
#: Less attention than this counts as this, so that its logarithm is a number.
_LEAST_ATTENTION = 1e-6
#: Weight of picture tokens outside all regions, which are the most and the easiest.
_OUTSIDE_WEIGHT = 0.3
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def make_model(tokenizer: Any) -> Any:
    """A Qwen2.5-VL with random weights."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": (len(tokenizer) + 63) // 64 * 64,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": TEXT_DEPTH,
            # A head of 64: smaller ones are refused by vLLM's attention on a CPU.
            "num_attention_heads": WIDTH // 64,
            "num_key_value_heads": WIDTH // 64,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [8, 12, 12],
                "rope_theta": 1e6,
            },
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": VISION_DEPTH,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 4,
            "out_hidden_size": WIDTH,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            # Pictures are small: every layer sees all of them.
            "fullatt_block_indexes": list(range(VISION_DEPTH)),
            "tokens_per_second": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.set_attn_implementation("eager")  # the one that tells where it looks
    return model


def make_hints() -> Any:
    """Layers that read from a picture token what it lies in; used in training alone."""
    sizes = {"number": REGIONS + 1, "colour": len(COLOURS), "shape": len(SHAPES)}
    sizes["tag"] = REGIONS + 1
    return nn.ModuleDict({name: nn.Linear(WIDTH, size) for name, size in sizes.items()})


def hint(hints: Any, sight: Sight, batch: Batch) -> tuple[Tensor, Tensor]:
    """How well the vision tower alone tells what each picture token lies in.

    Half way up, it is to read the tags: a region's number has to come from there.

    Args:
        hints: What `make_hints` made.
        sight: What the vision tower sees.
        batch: The lessons.

    Returns:
        The loss, and the share of tokens in regions whose number is right; NaN if there are none.
    """
    flat = sight.tokens.flatten(0, 1)
    number, on_tag, colour, shape = (
        torch.as_tensor(each, device=flat.device).flatten()
        for each in (batch.number, batch.tag, batch.colour, batch.shape)
    )
    inside, outside = number > 0, number == 0
    logits = hints["number"](flat)
    loss = torch.zeros((), device=flat.device)
    if bool(outside.any()):
        loss = _OUTSIDE_WEIGHT * functional.cross_entropy(logits[outside], number[outside])
    right = (logits.argmax(-1) == number)[inside].float().mean()
    parts = [
        (1.0, hints["tag"], sight.half_way.flatten(0, 1), on_tag, on_tag > 0),
        (_NUMBER_WEIGHT, hints["number"], flat, number, inside),
        (1.0, hints["colour"], flat, colour, colour >= 0),
        (1.0, hints["shape"], flat, shape, shape >= 0),
    ]
    for weight, head, states, target, chosen in parts:
        if bool(chosen.any()):
            wrong = functional.cross_entropy(head(states[chosen]), target[chosen])
            loss = loss + weight * wrong
    return loss, right


class Sight(NamedTuple):
    """What the vision tower sees of N pictures."""

    #: (N, tokens, width of the language model).
    tokens: Tensor
    #: The patches' states after half of the layers, (N, patches, width).
    half_way: Tensor


def look(model: Any, pictures: Tensor) -> Sight:
    """The vision tower, for pictures of one size: what transformers computes, all at once.

    Args:
        model: The model.
        pictures: (N, height, width, 3), uint8.
    """
    visual = model.model.visual
    count, height, width, _ = pictures.shape
    grid_h, grid_w = height // 14, width // 14
    mean, std = (torch.tensor(each, device=pictures.device) for each in (_MEAN, _STD))
    scaled = (pictures.float() / 255 - mean) / std
    tiles = scaled.reshape(count, grid_h // 2, 2, 14, grid_w // 2, 2, 14, 3)
    patches = tiles.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(count, grid_h * grid_w, -1)
    # Both frames of a still picture are the same, so their weights add up.
    hidden = functional.linear(patches, visual.patch_embed.proj.weight.sum(2).flatten(1))
    turn = tuple(each.to(hidden.device) for each in _rotation(visual, grid_h, grid_w))
    half_way = hidden
    for depth, block in enumerate(visual.blocks, 1):
        hidden = hidden + _attend(block.attn, block.norm1(hidden), turn)
        hidden = hidden + block.mlp(block.norm2(hidden))
        half_way = hidden if 2 * depth == VISION_DEPTH else half_way
    merged = visual.merger(hidden.flatten(0, 1))
    return Sight(merged.reshape(count, grid_h * grid_w // 4, -1), half_way)


def _rotation(visual: Any, grid_h: int, grid_w: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(grid_h), torch.arange(grid_w), indexing="ij")
    places = [
        axis.reshape(grid_h // 2, 2, grid_w // 2, 2).transpose(1, 2).flatten()
        for axis in (rows, columns)
    ]
    dim = visual.blocks[0].attn.head_dim // 2
    rates = 1.0 / (10000.0 ** (torch.arange(0, dim, 2, dtype=torch.float) / dim))
    angles = torch.cat([place[:, None] * rates for place in places], -1)
    both = torch.cat([angles, angles], -1)
    return both.cos(), both.sin()


def _attend(attn: Any, hidden: Tensor, turn: tuple[Tensor, ...]) -> Tensor:
    count, length, width = hidden.shape
    packed = attn.qkv(hidden).reshape(count, length, 3, attn.num_heads, -1)
    query, keys, values = packed.permute(2, 0, 3, 1, 4).unbind(0)
    query, keys = (_turned(each, turn) for each in (query, keys))
    mixed = functional.scaled_dot_product_attention(query, keys, values)
    out: Tensor = attn.proj(mixed.transpose(1, 2).reshape(count, length, width))
    return out


def _turned(values: Tensor, turn: tuple[Tensor, ...]) -> Tensor:
    cos, sin = (part.to(values.dtype) for part in turn)
    first, second = values.chunk(2, -1)
    return values * cos + torch.cat([-second, first], -1) * sin


@dataclass(slots=True)
class Said:
    """The loss of a batch's answers, and the share of content words that are right."""

    loss: Tensor
    right: Tensor


def say(model: Any, seen: Tensor, batch: Batch) -> Said:
    """The language model with the right words given, and how it does."""
    ids = torch.as_tensor(batch.ids, device=seen.device)
    thought = think(model, seen, ids[:, :-1], batch.image_start, batch.grid)
    weights = torch.as_tensor(batch.weights, device=seen.device)[:, 1:]
    targets = ids[:, 1:]
    said = weights > 0
    chosen = model.lm_head(thought.states[said]).float()
    losses = functional.cross_entropy(chosen, targets[said], reduction="none")
    content = weights[said] == 1
    share = torch.where(content, 1.0, _PLAIN_WEIGHT)
    right = (chosen.argmax(-1) == targets[said])[content].float().mean()
    loss = (losses * share).sum() / share.sum()
    if len(batch.asked):
        loss = loss + _GAZE_WEIGHT * gaze(thought.attentions, batch)
    return Said(loss, right)


def gaze(attentions: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """How far the model is from looking where the answer about a caption follows from.

    The first layer is to look at the caption's words, the second at the tokens of the picture that
    they are true of, or before the picture if there are none. Without this hint a model of this
    size guesses for thousands of steps.

    Args:
        attentions: Of each layer, (N, heads, length, length).
        batch: The lessons, of which some ask captions back.

    Returns:
        The loss: minus the logarithm of the attention that one head pays to the right place, in
        each of the two layers, averaged over the captions.
    """
    row, says, first, second = torch.as_tensor(batch.asked, device=attentions[0].device).T
    read, looked = (attentions[layer][row, :, says] for layer in (0, 1))
    captions = torch.arange(len(row), device=row.device)
    words = torch.stack([read[captions, :, place].amax(1) for place in (first, second)])
    shown = torch.as_tensor(batch.shown[:, None, :-1], device=row.device)
    there = (looked * shown).sum(-1).amax(1)
    return -(
        words.clamp_min(_LEAST_ATTENTION).log().mean()
        + there.clamp_min(_LEAST_ATTENTION).log().mean()
    )


class Thought(NamedTuple):
    """What the language model makes of N lessons."""

    #: The last hidden states, (N, length, width).
    states: Tensor
    #: Where each layer looks, (N, heads, length, length).
    attentions: tuple[Tensor, ...]


def think(
    model: Any, seen: Tensor, ids: Tensor, image_start: int, grid: tuple[int, int]
) -> Thought:
    """The language model, with the vision tower's words in the place of pictures.

    Args:
        model: The model.
        seen: What the vision tower says, (N, tokens, width).
        ids: (N, length), padded at the end; all pictures begin at one place.
        image_start: That place.
        grid: Rows and columns of picture tokens.
    """
    text = model.model.language_model
    embedded = text.embed_tokens(ids)
    end = image_start + seen.shape[1]
    embedded = torch.cat([embedded[:, :image_start], seen.to(embedded.dtype), embedded[:, end:]], 1)
    places = _positions(ids.shape[1], image_start, grid)
    places = places[:, None].expand(3, ids.shape[0], -1).to(ids.device)
    thought = text(
        inputs_embeds=embedded,
        position_ids=places,
        attention_mask=None,
        use_cache=False,
        output_attentions=True,
    )
    return Thought(thought.last_hidden_state, thought.attentions)


def _positions(length: int, start: int, grid: tuple[int, int]) -> Tensor:
    """M-RoPE's time, row and column of each token, (3, length)."""
    rows, columns = grid
    image = torch.stack(
        [
            torch.zeros(rows * columns, dtype=torch.long),
            torch.arange(rows).repeat_interleave(columns),
            torch.arange(columns).repeat(rows),
        ]
    )
    before = torch.arange(start).expand(3, -1)
    after = torch.arange(length - start - rows * columns).expand(3, -1)
    return torch.cat([before, image + start, after + start + max(rows, columns)], 1)

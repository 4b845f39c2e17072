"""Writes a Qwen2.5-VL of a real one's shape with random weights: its speed without a download.

    python -m bench.gpu.shapes FOLDER 3b|7b|toy cuda|cpu

Its answers go on to the length that is asked for: at the product's own sampling, no word that ends
an answer is ever likely enough. One word in `naming` is a line that names five regions, so that
what is asked is answered, and each record is asked about once.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bench import as_command
from tests.support import tiny_qwen
from tools.qwen import SPECIAL_TOKENS, save_processor

#: A range, which an answer's reader takes for all of them.
NAMES = "\nIn <region1> to <region5>, a thing"
#: Spread of the scores that words get. At 2, with top_p 0.9 and temperature 0.7, none below 1.8 is
#: chosen; words that end an answer have 0.
LOGIT_STD = 2.0
#: Enough for the words of the prompts to be one token each, as they nearly are in Qwen's own.
PROMPT_VOCABULARY = 2000


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model."""

    text: dict[str, int]
    vision: dict[str, Any]
    vocabulary: int
    #: One word in so many names the regions.
    naming: int
    mrope_section: tuple[int, int, int] = (16, 24, 24)


#: As Qwen's published checkpoints of these names have them.
_VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
    "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
SHAPES = {
    "3b": Shape(
        {
            "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
            "num_attention_heads": 16, "num_key_value_heads": 2,
        },
        _VISION, 151_936, 12,
    ),
    "7b": Shape(
        {
            "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4,
        },
        _VISION, 151_936, 12,
    ),
    "toy": Shape(
        {
            "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 1,
        },
        {
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4,
            "fullatt_block_indexes": [1],
        },
        8_192, 4, (8, 12, 12),
    ),
}  # fmt: skip


def make_shape(folder: Path, name: str, device: str) -> None:
    """Writes the checkpoint into a folder, which is made.

    Args:
        folder: Where it goes.
        name: One of `SHAPES`.
        device: Where the weights are drawn: `cuda` or `cpu`.
    """
    shape = SHAPES[name]
    folder.mkdir(parents=True)
    tokenizer = _save_tokenizer(folder, shape)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    _make_model(_config(shape, ids), device, sorted(ids.values())).save_pretrained(folder)
    save_processor(folder)
    ends = {"eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"]}
    (folder / "generation_config.json").write_text(json.dumps(ends))


def _save_tokenizer(folder: Path, shape: Shape) -> Any:
    """Writes the tokenizer, filled up to the vocabulary, and returns it."""
    from transformers import PreTrainedTokenizerFast

    templates = resources.files("regioncap.views") / "prompt_templates"
    words = [file.read_text("utf-8") for file in templates.iterdir() if file.name.endswith(".toml")]
    tokenizer = tiny_qwen.make_tokenizer(tiny_qwen.CORPUS + words, PROMPT_VOCABULARY)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    whole = json.loads(file.read_text())
    known = whole["model"]["vocab"]
    for number in range(len(tokenizer), shape.vocabulary):
        word = _filler(number, shape.naming)
        known[word if word not in known else f"{word}z"] = number
    file.write_text(json.dumps(whole))
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _filler(number: int, naming: int) -> str:
    """A word, one in so many a line that names the regions; no two are the same."""
    letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))
    text = f" {letters}" if number % naming else f"{NAMES} {letters}"
    return text.replace(" ", "\u0120").replace("\n", "\u010a")  # as byte-level vocabularies spell


def _config(shape: Shape, ids: dict[str, int]) -> Any:
    from transformers import Qwen2_5_VLConfig

    rope = {
        "rope_type": "default",
        "mrope_section": list(shape.mrope_section),
        "rope_theta": 1e6,
    }
    return Qwen2_5_VLConfig(
        text_config={
            **shape.text,
            "vocab_size": shape.vocabulary,
            "max_position_embeddings": 32_768,
            "rope_parameters": rope,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": False,
        },
        vision_config={
            **shape.vision,
            "out_hidden_size": shape.text["hidden_size"],
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "tokens_per_second": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def _make_model(config: Any, device: str, never: list[int]) -> Any:
    """The model with random weights; words of which nothing is to be said get a score of 0."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(usual)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, LOGIT_STD / config.text_config.hidden_size**0.5)
        model.lm_head.weight[never] = 0
    return model


def main() -> None:
    """Writes the checkpoint."""
    folder, name, device = sys.argv[1:]
    started = time.perf_counter()
    make_shape(Path(folder), name, device)
    print(f"made {name} in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    as_command(main)

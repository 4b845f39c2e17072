"""A Qwen2.5-VL of 1.3 MB with random weights: the real architecture, processor and chat template.

What it writes is noise, but noise that hangs on every pixel and word it is given: two pictures
nearly never get the same answer, so that answers given to the wrong record are noticed. The spread
of the weights is chosen for that; at the usual 0.02 it repeats one token whatever it sees. The
token that ends an answer is made likelier than others, so that most end by themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.qwen import SPECIAL_TOKENS, as_qwen, save_processor, train_bytes

CORPUS = [
    "Describe the content of each marked region in the image.",
    "There are 10 regions: <region1> to <region10>.",
    'In <region1>, a person. {"1": "", "2": "", "3": ""}',
]
TEXT_STD = 0.15
VISION_STD = 0.5
END_SCALE = 1.6
MROPE_SECTION = [8, 12, 12]


def make_tiny_qwen(folder: Path) -> Path:
    """Writes the checkpoint into a folder, as `transformers` lays it out; returns the folder."""
    tokenizer = make_tokenizer(CORPUS)
    tokenizer.save_pretrained(folder)
    config = _make_config(tokenizer)
    _make_model(config).save_pretrained(folder)
    save_processor(folder)
    return folder


def with_old_config(folder: Path, target: Path) -> Path:
    """Lays out the same model as checkpoints of early 2025 are: flat, `rope_scaling` of type mrope.

    The weights are links, and config.json is in the form that Qwen2.5-VL was published with.
    """
    target.mkdir()
    for path in folder.iterdir():
        if path.name != "config.json":
            (target / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("layer_types", None)
    old = (
        config
        | text
        | {
            "model_type": "qwen2_5_vl",
            "torch_dtype": config.pop("dtype"),
            "transformers_version": "4.41.2",
            "rope_theta": rope["rope_theta"],
            "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        }
    )
    old.pop("dtype", None)
    old["vision_config"].pop("rope_parameters", None)
    (target / "config.json").write_text(json.dumps(old, indent=2))
    return target


def make_tokenizer(corpus: list[str], vocab_size: int = 600) -> Any:
    """A tokenizer that has learned the words of some texts."""
    from tokenizers import pre_tokenizers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return as_qwen(train_bytes(cut, corpus * 5, vocab_size))


def _make_config(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    text = {
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        # A head of 64: smaller ones are refused by vLLM's attention on a CPU.
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": MROPE_SECTION,
            "rope_theta": 1e6,
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": False,
    }
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "out_hidden_size": 128,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def _make_model(config: Any) -> Any:
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                std = VISION_STD if "visual" in name else TEXT_STD
                weights.normal_(0, std, generator=generator)
        model.lm_head.weight[config.text_config.eos_token_id] *= END_SCALE
    return model.to(torch.bfloat16)

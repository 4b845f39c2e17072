"""Vision models of other families than the tiny Qwen2.5-VL, as small, with random weights.

Each has its family's real architecture, image processor and tokens; what it writes is noise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.tiny_qwen import CORPUS, make_tiny_qwen, make_tokenizer
from tools.qwen import SPECIAL_TOKENS, train_bytes

#: Sides of LLaVA's pictures and patches, pixels: so many tokens, whatever the size of a picture.
LLAVA_SIDE_PX, LLAVA_PATCH_PX = 56, 14
#: The published one's wording: content that is a text has no parts, and nothing comes out.
LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def make_qwen2_vl(folder: Path) -> None:
    """The generation before Qwen2.5-VL: the same grid, other layers."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = make_tokenizer(CORPUS)
    ids = _ids(tokenizer)
    config = Qwen2VLConfig(
        text_config=_text(tokenizer) | {"rope_parameters": _mrope([8, 12, 12])},
        vision_config={
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": 128,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        tie_word_embeddings=False,
        **ids,
    )
    _save(folder, Qwen2VLForConditionalGeneration(config), tokenizer)
    _save_grid(folder, "Qwen2VLProcessor", 14)


def make_qwen3_vl(folder: Path) -> None:
    """A successor: patches of 16 pixels, a grid of 32."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = make_tokenizer(CORPUS)
    config = Qwen3VLConfig(
        text_config=_text(tokenizer) | {"head_dim": 64, "rope_parameters": _mrope([12, 10, 10])},
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": 128,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=False,
        **_ids(tokenizer),
    )
    _save(folder, Qwen3VLForConditionalGeneration(config), tokenizer)
    _save_grid(folder, "Qwen3VLProcessor", 16)


def make_llava(folder: Path) -> None:
    """Another family, without a grid: pictures of one fixed size."""
    from transformers import (
        LlavaConfig,
        LlavaForConditionalGeneration,
        PreTrainedTokenizerFast,
    )

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_bytes(_cut(), CORPUS * 5, 600),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.chat_template = LLAVA_TEMPLATE
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        text_config=_text(tokenizer) | {"model_type": "llama", "head_dim": 64},
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": LLAVA_SIDE_PX,
            "patch_size": LLAVA_PATCH_PX,
            "projection_dim": 64,
        },
        image_token_id=image,
        image_token_index=image,
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
        image_seq_length=(LLAVA_SIDE_PX // LLAVA_PATCH_PX) ** 2,
    )
    _save(folder, LlavaForConditionalGeneration(config), tokenizer)
    _name_as_on_the_hub(folder / "model.safetensors")
    side = {"height": LLAVA_SIDE_PX, "width": LLAVA_SIDE_PX}
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor",
        "crop_size": side,
        "size": {"shortest_edge": LLAVA_SIDE_PX},
        "do_center_crop": True,
        "do_resize": True,
        "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = {
        "processor_class": "LlavaProcessor",
        "image_token": "<image>",
        "patch_size": LLAVA_PATCH_PX,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    (folder / "processor_config.json").write_text(json.dumps(processor))


#: By name: what writes a checkpoint into a folder, and the side of a cell in pixels, None for a
#: model without a grid.
FAMILIES: dict[str, tuple[Callable[[Path], object], int | None]] = {
    "qwen2-vl": (make_qwen2_vl, 28),
    "qwen2.5-vl": (make_tiny_qwen, 28),
    "qwen3-vl": (make_qwen3_vl, 32),
    "llava": (make_llava, None),
}


def _cut() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _ids(tokenizer: Any) -> dict[str, int]:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


def _mrope(section: list[int]) -> dict[str, Any]:
    return {"rope_type": "default", "mrope_section": section, "rope_theta": 1e6}


def _text(tokenizer: Any) -> dict[str, Any]:
    """A small language model whose heads are as vLLM's attention on a CPU wants them."""
    return {
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "tie_word_embeddings": False,
    }


def _save(folder: Path, model: Any, tokenizer: Any) -> None:
    import torch

    torch.manual_seed(0)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _name_as_on_the_hub(file: Path) -> None:
    """Names the vision tower's weights as published checkpoints do; transformers 5 saves others."""
    from safetensors.torch import load_file, save_file

    tower = "vision_tower."
    weights = {
        f"{tower}vision_model.{name.removeprefix(tower)}" if name.startswith(tower) else name: data
        for name, data in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def _save_grid(folder: Path, processor: str, patch_px: int) -> None:
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": processor,
        "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
        "patch_size": patch_px,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    video = settings | {"video_processor_type": processor.replace("Processor", "VideoProcessor")}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))

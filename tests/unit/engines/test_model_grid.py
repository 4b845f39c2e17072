"""How a model takes pictures, by the files that lie beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.engines.model_grid import grid_of_model, read_grid
from regioncap.errors import EngineStartError
from regioncap.job import Grid
from regioncap.settings import DEFAULT_MODEL, SMALL_MAX_PIXELS, load_settings

#: As the checkpoints on the Hub say it.
QWEN2_5_VL = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 14,
    "merge_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12_845_056,
}
QWEN3_VL = {
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "patch_size": 16,
    "merge_size": 2,
    "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
}
LLAVA = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336}}


def model(folder: Path, **files: Any) -> Path:
    """Writes the files of a model, named without their ending."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("settings", "cell_px", "resizes"),
    [
        (QWEN2_5_VL, 28, False),
        (QWEN3_VL, 32, False),
        (QWEN2_5_VL | {"merge_size": 1}, 14, False),
        (LLAVA, 28, True),
        ({"image_processor_type": "InternVLImageProcessor", "patch_size": 14}, 28, True),
        ({}, 28, True),
    ],
)
def test_the_cell_is_patch_times_merge(
    tmp_path: Path, settings: dict[str, Any], cell_px: int, resizes: bool
) -> None:
    grid = read_grid(model(tmp_path, preprocessor_config=settings), "m")
    assert grid == Grid(cell_px=cell_px, resizes=resizes, model="m")


@pytest.mark.parametrize(
    ("model_type", "unit"),
    [("qwen2_5_vl", "pixels"), ("qwen3_vl", "thousandths"), ("qwen2_vl", "thousandths")],
)
def test_places_are_told_as_the_family_learned_them(
    tmp_path: Path, model_type: str, unit: str
) -> None:
    model(tmp_path, preprocessor_config=QWEN3_VL, config={"model_type": model_type})
    assert read_grid(tmp_path, "").box_unit == unit


def test_the_image_processor_may_stand_in_the_processor_s_file(tmp_path: Path) -> None:
    assert (
        read_grid(model(tmp_path, processor_config={"image_processor": QWEN3_VL}), "").cell_px == 32
    )


def test_placeholders_are_found_wherever_they_stand(tmp_path: Path) -> None:
    model(
        tmp_path,
        preprocessor_config=QWEN2_5_VL,
        config={"image_token_id": 7, "vision_start_token_id": 5, "eos_token_id": 1},
        tokenizer={
            "added_tokens": [
                {"id": 1, "content": "<|im_end|>"},
                {"id": 5, "content": "<|vision_start|>"},
                {"id": 7, "content": "<patch>"},
            ]
        },
        tokenizer_config={"image_token": {"content": "<picture>"}, "eos_token": "<|im_end|>"},
        processor_config={"num_image_tokens": "12", "image_token": "[PIC]"},
    )
    wanted = ("<patch>", "<picture>", "<|vision_start|>", "[PIC]")
    assert read_grid(tmp_path, "").placeholders == wanted


@pytest.mark.parametrize("patch", [0, -14, 1000, "14", True, 14.0, None])
def test_no_grid_can_be_made_of_this(tmp_path: Path, patch: Any) -> None:
    with pytest.raises(EngineStartError, match="make no grid") as caught:
        read_grid(model(tmp_path, preprocessor_config=QWEN2_5_VL | {"patch_size": patch}), "")
    assert caught.value.code == "model-grid"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(EngineStartError, match=r"preprocessor_config\.json is not JSON"):
        read_grid(tmp_path, "")


def test_the_small_model_says_how_small_its_pictures_are() -> None:
    grid = grid_of_model(load_settings(model="small"))
    assert (grid.cell_px, grid.max_pixels, grid.model) == (28, SMALL_MAX_PIXELS, "small")
    assert "<|image_pad|>" in grid.placeholders


def test_a_model_of_the_hub_is_looked_up_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here = tmp_path / DEFAULT_MODEL.split("/")[1]
    here.mkdir()
    model(here, preprocessor_config=QWEN3_VL)
    assert grid_of_model(load_settings(model=DEFAULT_MODEL, download_dir=tmp_path)).cell_px == 32
    with pytest.raises(EngineStartError):
        grid_of_model(load_settings(model="no/such", download_dir=tmp_path))

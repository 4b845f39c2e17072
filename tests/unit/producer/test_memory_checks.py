"""What `doctor` says that a card holds of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.memory import model_of
from producer.checks import Check
from producer.cli import app
from producer.memory_checks import check_card, check_gpus
from regioncap.engines.memory import Card, plan
from regioncap.settings import Settings, load_settings
from tests.support.checkpoints import shard_weights, write_checkpoint
from tests.support.gpus import put_smi

CONFIG = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064,
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420},
}  # fmt: skip
CARD = Card(24 * 10**9, 0.9)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The small files of a 7B, with an index that tells the size of its weights."""
    folder = write_checkpoint(tmp_path / "model", **CONFIG)
    processor = {"image_processor_type": "Qwen2VLImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    shard_weights(folder, 2)
    index = folder / "model.safetensors.index.json"
    told = json.loads(index.read_text()) | {"metadata": {"total_size": 16_584_333_312}}
    index.write_text(json.dumps(told))
    return folder


def settings(model: Path, **engine_args: Any) -> Settings:
    given = {"gpu_memory_utilization": 0.9} | engine_args
    return load_settings(engine="vllm", model=str(model), engine_args=given)


def room(check: Check) -> str:
    return check.what.partition("room for ")[2].partition(" tokens")[0]


def test_a_card_that_is_not_here(model: Path) -> None:
    bf16, fp8 = check_card(settings(model), 24)
    assert (bf16.name, fp8.name) == ("memory bf16", "memory fp8")
    found = plan(model_of("7b"), CARD)
    assert room(bf16) == f"{found.kv_tokens:,}"
    fits = found.kv_tokens // (1280 + 300 + 512)
    assert bf16.what.endswith(
        f": {fits} pictures of 1,280 tokens at once, each with 300 of words and 512 of answer"
    )
    assert room(fp8) == f"{plan(model_of('7b'), CARD, fp8=True).kv_tokens:,}"


def test_one_that_is_too_small_is_a_finding(model: Path) -> None:
    (small, _) = check_card(settings(model), 16)
    assert small.status == "fail"
    assert "quantized" in small.remedy


def test_engine_arguments_count(model: Path) -> None:
    split = settings(model, **{"tensor-parallel-size": 2, "kv-cache-dtype": "fp8"})
    (check, _) = check_card(split, 24)
    wanted = plan(model_of("7b"), Card(24 * 10**9, 0.9, 2), fp8_cache=True)
    assert room(check) == f"{wanted.kv_tokens:,}"


def test_each_copy_of_a_model_has_all_of_it(model: Path) -> None:
    copies = settings(model, data_parallel_size=8)
    assert [room(each) for each in check_card(copies, 24)] == [
        room(each) for each in check_card(settings(model), 24)
    ]


def test_weights_that_are_quantized_are_as_large_as_they_are_stored(model: Path) -> None:
    config = CONFIG | {"quantization_config": {"quant_method": "fp8"}, "model_type": "qwen2_5_vl"}
    (model / "config.json").write_text(json.dumps(config))
    (check,) = check_card(settings(model), 24)
    assert "weights 15.4 GiB" in check.what


def test_the_gpu_that_is_here(model: Path, tmp_path: Path) -> None:
    line = "0, GPU-a, NVIDIA L4, 23034, 22000, 580.65.06, 8.9\n"
    environ = put_smi(tmp_path / "bin", line)
    (check,) = check_gpus(settings(model, quantization="fp8"), environ)
    wanted = plan(model_of("7b"), Card(23034 << 20, 0.9), fp8=True)
    assert room(check) == f"{wanted.kv_tokens:,}"
    assert list(check_gpus(settings(model), put_smi(tmp_path / "bin", ""))) == []
    assert list(check_gpus(settings(tmp_path / "none"), put_smi(tmp_path / "bin", line))) == []


def test_a_shape_that_is_not_known_is_told(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "some_vl"}')
    (check,) = check_card(settings(model), 24)
    assert check.status == "fail"
    assert "hidden_size" in check.what


def test_the_command_asks_no_service(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [
        "doctor",
        "--engine",
        "vllm",
        "--model",
        str(model),
        "--gpu-memory",
        "80",
        "--json",
    ]
    app(arguments, standalone_mode=False, obj={})
    lines = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["memory bf16", "memory fp8"]

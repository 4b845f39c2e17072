"""What a model takes of a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.memory import model_of
from regioncap.engines.memory import Card, plan, read_model

GB = 10**9


@pytest.mark.parametrize(("name", "parameters"), [("3b", 3_754_622_976), ("7b", 8_292_166_656)])
def test_parameters_are_those_of_the_published_weights(name: str, parameters: int) -> None:
    """Half of `total_size` in the index of Qwen2.5-VL's weights."""
    assert model_of(name).parameters == parameters


def test_what_the_weights_tell_comes_before_the_formula() -> None:
    text = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 100,
    }  # fmt: skip
    model = read_model(text, parameters=123_456)
    assert model.parameters == 123_456
    assert model.kv_values_per_token == 2 * 2 * 2 * 32
    assert model.vision_hidden == 0
    with pytest.raises(KeyError):
        read_model({"hidden_size": 64})


@pytest.mark.parametrize(("name", "token_bytes"), [("3b", 36_864), ("7b", 57_344)])
def test_all_of_the_part_that_is_taken_is_told(name: str, token_bytes: int) -> None:
    model = model_of(name)
    found = plan(model, Card(48 * GB, 0.9))
    taken = found.weights_bytes + found.computing_bytes + found.kv_bytes
    assert taken == pytest.approx(48 * GB * 0.9, abs=1)
    assert found.weights_bytes == 2 * model.parameters
    assert found.kv_tokens == found.kv_bytes // token_bytes
    assert plan(model, Card(48 * GB, 0.9), fp8_cache=True).kv_tokens >= 2 * found.kv_tokens


def test_fp8_makes_the_layers_half_as_large() -> None:
    model, card = model_of("7b"), Card(24 * GB)
    saved = plan(model, card).weights_bytes - plan(model, card, fp8=True).weights_bytes
    assert saved == model.quantizable
    assert plan(model, card, fp8=True).kv_bytes == plan(model, card).kv_bytes + saved


@pytest.mark.parametrize(("fp8", "measured_gib"), [(False, 7.65), (True, 4.48)])
def test_weights_are_what_a_gpu_held(fp8: bool, measured_gib: float) -> None:
    """Of bench.gpu's 3b, by vLLM's log on an H200; its words have a second table for the scores."""
    model = model_of("3b")
    words = model.vocabulary * model.hidden
    untied = replace(model, parameters=model.parameters + words)
    found = plan(untied, Card(80 * GB), fp8=fp8).weights_bytes
    assert found / 2**30 == pytest.approx(measured_gib, rel=0.03)


def test_a_model_is_split_among_cards() -> None:
    model = model_of("7b")
    one, two = (plan(model, Card(24 * GB, 0.9, size)) for size in (1, 2))
    assert two.weights_bytes == one.weights_bytes // 2
    assert two.kv_tokens > 2 * one.kv_tokens


def test_requests_end_where_vllms_batch_does_or_the_memory() -> None:
    model = model_of("3b")
    assert plan(model, Card(80 * GB)).requests(10) == 1024
    assert plan(model, Card(24 * GB)).requests(10) == 256
    found = plan(model, Card(24 * GB))
    assert found.requests(2092) == found.kv_tokens // 2092 < 256


def test_what_does_not_fit_has_room_for_none() -> None:
    large = replace(model_of("7b"), parameters=100 * GB)
    found = plan(large, Card(24 * GB))
    assert found.kv_bytes < 0
    assert found.kv_tokens == found.requests(1) == 0

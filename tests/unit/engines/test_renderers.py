"""How many threads prepare pictures for vLLM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regioncap.engines import renderers
from tests.support.gpus import TWO_GPUS, put_smi


@pytest.mark.parametrize(
    ("cores", "mine", "gpus", "threads"),
    [
        pytest.param(16, 1, 1, 8, id="half of the cores"),
        pytest.param(224, 1, 1, 8, id="no more than are of use"),
        pytest.param(64, 1, 8, 4, id="half of one GPU's share"),
        pytest.param(64, 4, 8, 8, id="an engine on several GPUs"),
        pytest.param(2, 1, 1, 1, id="two cores"),
        pytest.param(8, 1, 8, 1, id="a core for each GPU"),
        pytest.param(16, 0, 0, 1, id="no GPU that the driver tells of"),
    ],
)
def test_threads_for(cores: int, mine: int, gpus: int, threads: int) -> None:
    assert renderers.threads_for(cores, mine, gpus) == threads


def test_an_engine_gets_its_share_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in put_smi(tmp_path / "bin", TWO_GPUS).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    found = renderers.arguments({}, for_cpu=False)
    assert found == {"renderer_num_workers": 4, "mm_processor_cache_gb": 0}


def test_a_model_on_the_cores_gets_one_thread() -> None:
    found = renderers.arguments({}, for_cpu=True)
    assert found == {"renderer_num_workers": 1, "mm_processor_cache_gb": 0}


def test_whoever_wants_the_cache_gets_no_threads_beside_it() -> None:
    for for_cpu in (True, False):
        assert renderers.arguments({"mm_processor_cache_gb": 4}, for_cpu=for_cpu) == {}

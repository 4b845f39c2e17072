"""The paper takes what was measured, and says what was not."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.gpu.cases import cases
from bench.gpu.ledger import Ledger
from bench.paper import gpu_of, paper
from tests.unit.bench.test_ledger import ENGINE, counts

SMALL, *_ = cases(toy=False)


def options(per_s: float | None = None, rates: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(
        images=1000, gpus=2, gpu_images_per_s=per_s, rates=rates, source_kb=100.0,
        put_price=5.0, get_price=0.4, tb_month_price=23.0,
    )  # fmt: skip


def measured(file: Path, seconds: float) -> Path:
    run = counts(seconds) | {"processor_s": {"caption worker": 0.7}}
    Ledger(file, "one", {"matrix": {}}).add(SMALL, "system", ENGINE, run, flops=5e12)
    return file


def test_without_a_run_on_a_gpu_the_rate_is_assumed(tmp_path: Path) -> None:
    gpu = gpu_of(options(), tmp_path)
    assert gpu.images_per_s == 20
    assert gpu.source.startswith("assumed")
    assert gpu_of(options(per_s=31), tmp_path).source == "given, not measured"


def test_a_run_on_a_gpu_is_taken(tmp_path: Path) -> None:
    first = measured(tmp_path / "gpu-nvidia-h200-3b.json", 4.0)
    gpu = gpu_of(options(), tmp_path)
    assert (gpu.images_per_s, gpu.caption_ms) == (25, 7)
    assert gpu.source == "measured: gpu-nvidia-h200-3b.json, small/system"

    second = measured(tmp_path / "gpu-nvidia-l4-3b.json", 10.0)
    with pytest.raises(SystemExit, match=first.name):
        gpu_of(options(), tmp_path)
    assert gpu_of(options(rates=second), tmp_path).images_per_s == 10


def test_a_fleet_is_so_many_gpus(tmp_path: Path) -> None:
    found = paper(options(), gpu_of(options(per_s=10), tmp_path), 32)
    assert found["requests/s at the store"] == pytest.approx(
        2 * found["a GPU: requests/s at the store"]
    )
    assert found["cores that draw"] == pytest.approx(2 * found["a GPU: cores that draw"])
    assert found["hours on the GPUs"] == pytest.approx(1000 / 20 / 3600)

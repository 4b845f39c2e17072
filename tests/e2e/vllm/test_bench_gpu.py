"""The measurement on a GPU, from end to end with a toy on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.gpu.flops import Request, flops, read_config

pytest.importorskip("torch")

pytestmark = pytest.mark.more

ROOT = Path(__file__).resolve().parents[3]
RECORDS = 24
TOKENS = 32
#: Two of these and what is measured are below the limit of a test.
START_S = 90
BUDGET_S = 370


@pytest.fixture(scope="module")
def toy(vllm_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "toy"
    command = [sys.executable, "-m", "bench.gpu.shapes", str(folder), "toy", "cpu"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def bench(model: Path, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "bench.gpu", "--shape", "toy", "--model", str(model)]
    options = ["--folder", str(folder), "--start-s", str(START_S), *arguments]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_operations_are_those_that_pytorch_counts(toy: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(toy, attn_implementation="eager")
    # Windows of the vision tower end at the right and at the bottom of 11 x 6.
    grid_wh, words = (11, 6), 9
    picture = model.config.image_token_id
    ids = torch.tensor([[5] * words + [picture] * (grid_wh[0] * grid_wh[1])])
    patches = 4 * grid_wh[0] * grid_wh[1]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == picture).int(),
            pixel_values=torch.randn(patches, 1176),
            image_grid_thw=torch.tensor([[1, 2 * grid_wh[1], 2 * grid_wh[0]]]),
            logits_to_keep=1,
        )
    tokens = ids.shape[1]
    ours = flops(*read_config(toy), Request(grid_wh, tokens, 0, 1))
    # This way of attention looks at all pairs of tokens, those to come among them.
    ours["attention"] *= 2 * tokens / (tokens + 1)

    assert counter.get_total_flops() == pytest.approx(sum(ours.values()), rel=0.001)


def test_every_row_is_measured(toy: Path, tmp_path: Path) -> None:
    told = bench(
        toy, tmp_path, "--rows", "small", "--runs", "1", "--shard-size", "4",
        "--records", str(RECORDS), "--budget-s", str(BUDGET_S),
        "--together", "--start-again", "--logs", str(tmp_path / "logs"),
    )  # fmt: skip

    whole: dict[str, Any] = json.loads((tmp_path / "gpu-cpu-toy.json").read_text())
    rows = whole["rows"]
    assert set(rows) == {"small/plain", "small/engine", "small/system"}, told
    for name, row in rows.items():
        (run,) = row["runs"]
        assert run["images"] == run["regions"] == RECORDS, name
        # Random words are captions all the same: hardly a record is asked about twice.
        assert 1 <= row["requests_per_image"] < 1.2, name
        assert row["completion_tokens"] == pytest.approx(TOKENS * row["requests_per_image"]), name
        assert row["prompt_tokens"] > row["runs"][0]["picture_tokens"] == 391, name
        assert 0 < row["tflops"] < whole["runs"][row["run"]]["matrix"]["tflops"], name
        assert run["processor_s"]["engine core"] > 0, name
        assert row["start_s"] > 0, name
        assert row["engine"]["max_model_len"] == 4096, name
    assert set(rows["small/system"]["over"]) == {"plain", "engine"}
    # Ours is bounded as vLLM bounds a batch job, not as an engine of unknown use.
    assert rows["small/engine"]["engine"] == rows["small/plain"]["engine"]
    assert {"caption worker", "render worker", "object store", "Redis"} <= set(
        rows["small/system"]["runs"][0]["processor_s"]
    )
    assert (
        rows["small/system"]["runs"][0]["batch"]["takes"]
        == (rows["small/system"]["engine"]["max_num_seqs"])
    )
    (about,) = whole["runs"].values()
    assert about["started_again_s"]["resident"] > 0
    assert {log.name for log in (tmp_path / "logs").iterdir()} == {"plain.log", "resident.log"}
    assert "not run" not in told


def test_without_time_nothing_is_run_and_it_is_said(toy: Path, tmp_path: Path) -> None:
    told = bench(toy, tmp_path, "--rows", "small", "--budget-s", "60")

    # As it comes, and in the table.
    assert told.count(f"not run: needs about {START_S + 20} s") == 2 * 3, told
    assert not list(tmp_path.iterdir())

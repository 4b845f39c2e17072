"""The training of the small model: what it computes and what it shows are the real thing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from regioncap.engines.model_files import check_checkpoint
from tools.train_small.lessons import Batch, Teacher

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def batches(vllm_environment: dict[str, str]) -> list[Batch]:
    from tools.train_small.tokens import make_tokenizer

    teacher = Teacher(make_tokenizer(), seed=3)
    return [teacher.batch(4) for _ in range(6)]


def test_lessons_fit_together(batches: list[Batch]) -> None:
    assert len({batch.pictures.shape for batch in batches}) > 1, "one size of picture only"
    for batch in batches:
        rows, columns = batch.grid
        assert batch.pictures.shape[1:] == (28 * rows, 28 * columns, 3)
        # Two content words for each region asked for.
        assert ((batch.weights == 1).sum(1) % 2 == 0).all()
        assert (batch.number.max(1) <= 5).all()


def test_the_quick_forward_pass_is_that_of_transformers(batches: list[Batch]) -> None:
    import torch
    from transformers import Qwen2VLImageProcessor

    from tools.train_small.net import look, make_model, think
    from tools.train_small.tokens import make_tokenizer

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = make_model(tokenizer).eval()
    batch = batches[0]
    processor = Qwen2VLImageProcessor(min_pixels=28**2, max_pixels=10**7)
    inputs = processor(images=list(batch.pictures), return_tensors="pt")
    ids = torch.as_tensor(batch.ids)
    image = ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")
    with torch.no_grad():
        theirs = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=image.int(),
            **inputs,
        ).logits
        seen = look(model, torch.as_tensor(batch.pictures)).tokens
        ours = model.lm_head(think(model, seen, ids, batch.image_start, batch.grid))

    assert theirs.abs().max() > 0.1
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.more
def test_the_command_writes_a_checkpoint_and_goes_on_from_where_it_was(
    vllm_environment: dict[str, str], tmp_path: Path
) -> None:
    import torch

    command = [sys.executable, "-m", "tools.train_small", "-o", str(tmp_path), "--batch", "4"]
    command += ["--look-first", "1", "--trial-every", "2", "--trial-scenes", "3", "--eager"]
    states = []
    for more in (["--steps", "2"], ["--steps", "4", "--resume"]):
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, check=True)
        states.append(torch.load(tmp_path / "state.pt"))

    first, second = states
    assert (first["step"], second["step"]) == (2, 4)
    # The optimizer has counted all four: it was not begun anew.
    eyes = [state["optimizer"]["state"][0] for state in states]
    assert [int(each["step"]) for each in eyes] == [2, 4]
    assert not torch.equal(*(state["model"]["lm_head.weight"] for state in states))
    check_checkpoint(tmp_path / "model")

"""The training of the small model: what it computes and what it shows are the real thing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file

from regioncap.engines.model_files import check_checkpoint
from tools.train_small.lessons import SOURCES_WH, Batch, Teacher, make_canvas, mark

ROOT = Path(__file__).resolve().parents[3]
SMALL = ROOT / "regioncap" / "engines" / "small_model"


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
        # Two content words for each region asked for, or a choice and the end.
        told, said = (batch.weights == 1).sum(1), (batch.weights > 0).sum(1)
        assert ((told % 2 == 0) | (2 * told == said)).all()
        assert (batch.number.max(1) <= 5).all()


def test_captions_are_asked_back_of_pictures_that_hold_them_or_do_not(
    vllm_environment: dict[str, str],
) -> None:
    from tools.train_small.tokens import make_tokenizer

    teacher = Teacher(make_tokenizer(), seed=3)
    canvas = make_canvas(SOURCES_WH[0], seed=7, count=4)
    shown = mark(canvas, [(1, 0), (3, 1), (4, 2), (5, 3)])

    def answer(content: str) -> str:
        lesson = teacher.check_lesson(shown, "regions-2", [content])
        said: str = teacher.tokenizer.decode(lesson.answer[:-1])
        assert len(lesson.answer) == 2, "a choice is one token, and the end"
        return said

    assert [answer(content) for content in canvas.contents] == ["1", "3", "4", "5"]
    assert {answer(teacher.untrue(canvas.contents)) for _ in range(20)} == {"none"}


def test_the_answer_about_a_caption_follows_from_its_words_and_the_region(
    vllm_environment: dict[str, str],
) -> None:
    import torch

    from tools.train_small.net import gaze
    from tools.train_small.tokens import make_tokenizer

    teacher = Teacher(make_tokenizer(), seed=3)
    canvas = make_canvas(SOURCES_WH[0], seed=7, count=2)
    shown = mark(canvas, [(2, 0), (4, 1)])
    contents = [*reversed(canvas.contents), teacher.untrue(canvas.contents)]
    batch = teacher.stacked([teacher.check_lesson(shown, "regions-2", contents)])

    tokens, start = batch.number.shape[1], batch.image_start
    for (row, says, *words), follows, content in zip(
        batch.asked, batch.shown, contents, strict=True
    ):
        decoded = teacher.tokenizer.decode(batch.ids[row, words])
        assert decoded.lower().removeprefix("an ").removeprefix("a ") == content
        answer = teacher.tokenizer.decode(batch.ids[row, says + 1])
        seen = batch.number[row][follows[start : start + tokens]]
        assert set(seen.tolist()) == (set() if answer == "none" else {int(answer)})
        assert follows[:start].all() == (answer == "none")

    def attentions(right: float) -> tuple[torch.Tensor, torch.Tensor]:
        """One head of two looks with this share of its attention where it should."""
        length = batch.ids.shape[1] - 1
        read, looked = torch.zeros(2, 1, 2, length, length)
        for (_, says, *words), follows in zip(batch.asked, batch.shown, strict=True):
            read[0, 1, says, words] = right
            looked[0, 1, says, torch.as_tensor(follows[:-1])] = right / follows.sum()
        return read, looked

    assert gaze(attentions(1.0), batch) == pytest.approx(0.0, abs=1e-6)
    assert gaze(attentions(0.5), batch) == pytest.approx(2 * 0.6931, abs=1e-3)


def test_a_checkpoint_goes_on_with_the_words_that_it_knew(
    vllm_environment: dict[str, str],
) -> None:
    import torch

    from tools.train_small.__main__ import take_over
    from tools.train_small.net import make_model
    from tools.train_small.tokens import make_tokenizer

    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    take_over(model, tokenizer, SMALL)
    earlier = load_file(SMALL / "model.safetensors")
    eyes = "visual.blocks.0.attn.qkv.weight"
    assert torch.equal(model.model.get_parameter(eyes), earlier[eyes].float())
    words = json.loads((SMALL / "tokenizer.json").read_text())["added_tokens"]
    [known] = [each["id"] for each in words if each["content"] == "This time describe only"]
    ours = tokenizer.convert_tokens_to_ids("This time describe only")
    embedded = model.model.language_model.embed_tokens.weight
    assert torch.equal(embedded[ours], earlier["model.embed_tokens.weight"][known].float())


@pytest.mark.more
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
        ours = model.lm_head(think(model, seen, ids, batch.image_start, batch.grid).states)

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

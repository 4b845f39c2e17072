"""What the engine says, concurrently and batched, is what the model says, record by record."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from regioncap.engines.base import Answer
from regioncap.engines.thread import EngineThread
from tests.e2e.vllm.conftest import ENGINE_ARGS, Ask
from tests.support.plain_vllm import PlainModel, PlainQuestion
from tests.support.scenes import GREEDY, question, write_scenes

COUNT = 40


@pytest.fixture(scope="module")
def answers(engine_thread: EngineThread) -> list[Answer]:
    """Answers to all questions, from five callers at once."""
    questions = [question(number) for number in range(COUNT)]
    calls = [
        engine_thread.run(engine_thread.engine.caption(questions[start::5])) for start in range(5)
    ]
    found: dict[str, Answer] = {}
    for start, call in enumerate(calls):
        for request, answer in zip(questions[start::5], call.result(120), strict=True):
            assert isinstance(answer, Answer), answer
            found[request.request_id] = answer
    return [found[request.request_id] for request in questions]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[PlainQuestion]:
    """The same questions for the plain way."""
    files = write_scenes(tmp_path_factory.mktemp("scenes"), COUNT)
    prompts = [question(number).prompt for number in range(COUNT)]
    return [
        PlainQuestion(str(file), prompt.system, prompt.before, prompt.after)
        for file, prompt in zip(files, prompts, strict=True)
    ]


def test_gives_the_tokens_of_a_plain_loop_record_by_record(
    answers: list[Answer], questions: list[PlainQuestion], plain: PlainModel
) -> None:
    got = [answer.details["token_ids"] for answer in answers]
    assert len({tuple(tokens) for tokens in got}) >= 32, "a swap of two would not show"
    assert got == [answer.token_ids for answer in plain.ask(questions, GREEDY.max_tokens)]


def test_begins_as_the_model_in_transformers_does(
    answers: list[Answer],
    questions: list[PlainQuestion],
    plain: PlainModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = plain.ask(questions, GREEDY.max_tokens, "transformers")
    pairs = [
        (answer.details["token_ids"], their.token_ids)
        for answer, their in zip(answers, theirs, strict=True)
    ]
    first = sum(ours[0] == theirs[0] for ours, theirs in pairs)
    whole = sum(ours == theirs for ours, theirs in pairs)
    with capsys.disabled():
        print(f"\nagreement with transformers: first token {first}/{COUNT}, all {whole}/{COUNT}")
    assert first >= 0.9 * COUNT


def test_the_picture_is_seen_at_its_own_size(answers: list[Answer]) -> None:
    for number, answer in enumerate(answers):
        width, height = Image.open(io.BytesIO(question(number).image)).size
        assert answer.details["image_tokens"] == width * height / 784


def test_counts_tokens(answers: list[Answer]) -> None:
    for answer in answers:
        assert answer.completion_tokens == len(answer.details["token_ids"]) > 0
        assert answer.prompt_tokens > answer.details["image_tokens"]
        if answer.completion_tokens < GREEDY.max_tokens:
            assert answer.finish_reason == "stop"
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}


def prefix_cache(what: str) -> int:
    """How many tokens of prompts vLLM has looked up in its prefix cache, or found there."""
    from vllm.v1.metrics.reader import get_metrics_snapshot

    name = f"vllm:prefix_cache_{what}"
    return sum(getattr(each, "value", 0) for each in get_metrics_snapshot() if each.name == name)


def test_shared_words_are_computed_once(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    ask([question(0, prefix="first")])
    before = prefix_cache("hits")
    (answer,) = ask([question(90, prefix="unseen-picture")])
    hits, looked_up = prefix_cache("hits"), prefix_cache("queries")
    assert isinstance(answer, Answer)
    with capsys.disabled():
        cached = answer.details["cached_tokens"]
        print(
            f"\nprefix cache: {cached} of the {answer.prompt_tokens} prompt tokens of a new "
            f"picture, {hits / looked_up:.0%} of all"
        )
    assert answer.details["cached_tokens"] >= ENGINE_ARGS["block_size"]
    assert hits - before == answer.details["cached_tokens"]

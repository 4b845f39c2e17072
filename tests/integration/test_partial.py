"""Answers about a shard that came to no end are paid once: whoever does it next finds them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.captions.conversation import Captioned
from regioncap.engines.base import Answer, CaptionRequest
from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineDeadError, EngineUnwellError, RequestError, StoppedError
from regioncap.job import Job
from regioncap.jobs import catalogue, retry
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.partial import Partial
from regioncap.jobs.results import parse_part
from regioncap.settings import load_settings
from tests.support.engines import ScriptedEngine
from tests.support.stages import Silent, Stages


@pytest.fixture(scope="module")
def stages(stack_settings: dict[str, str]) -> Iterator[Stages]:
    # As short as it may be: answers are kept every 1.7 s.
    made = Stages(load_settings(**{**stack_settings, "visibility_timeout_s": "5"}))
    yield made
    made.engine.close()


class HeldUp(ScriptedEngine):
    """Answers at once, but about one record, where `on_held` says what happens.

    Args:
        record: Its place; -1 for none.
        words: What it says.
    """

    def __init__(self, record: int = -1, words: str = "Words") -> None:
        super().__init__(lambda request: f"In <region1>, {words} about {request.request_id}")
        self._record = record
        self.error: Exception | None = None
        #: Set when another record is answered, and noted to be.
        self.others_answered = threading.Event()

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        if all(int(each.request_id.split("-")[-2]) != self._record for each in requests):
            return await super().caption(requests)
        while self.error is None or not self.others_answered.is_set():
            await asyncio.sleep(0.01)
        raise self.error


On = Callable[[ScriptedEngine], CaptionStage]


@pytest.fixture
def on(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Iterator[On]:
    """Makes a stage of an engine."""
    threads: list[EngineThread] = []
    add = Partial.add

    def noted(self: Partial, captioned: Captioned) -> None:
        add(self, captioned)
        engine = threads[-1].engine
        if isinstance(engine, HeldUp):
            engine.others_answered.set()

    monkeypatch.setattr(Partial, "add", noted)

    def make(engine: ScriptedEngine) -> CaptionStage:
        thread = EngineThread(engine)
        thread.start()
        threads.append(thread)
        return CaptionStage(
            stages.store, thread, stages.progress, stages.settings, Silent(),  # type: ignore[arg-type]
            gpus=1, keep_captions=False,
        )  # fmt: skip

    yield make
    for thread in threads:
        thread.close()


@pytest.fixture
def job(stages: Stages, tmp_path: Path) -> Job:
    made = stages.job(tmp_path)
    stages.render.run(made.job, 0)
    return made


def partial_keys(stages: Stages, job: Job) -> list[str]:
    return list(stages.store.list_keys(keys.prefix(job.job, "partial")))


def asked(engine: ScriptedEngine) -> list[int]:
    """Places of the records that it was asked about."""
    return [int(request.request_id.split("-")[-2]) for request in engine.requests]


def break_off(on: On, job: Job, engine: HeldUp) -> None:
    """The engine dies of what comes after its answers."""
    engine.error = EngineDeadError("gone")
    with pytest.raises(EngineDeadError):
        on(engine).run(job.job, 0)


def test_what_a_worker_has_when_it_stops(stages: Stages, job: Job, on: On) -> None:
    engine = HeldUp(1)
    stage = on(engine)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(stage.run, job.job, 0)
        assert engine.others_answered.wait(30)
        stage.stop()
        with pytest.raises(StoppedError):
            turn.result(30)
    assert len(partial_keys(stages, job)) == 1

    next_one = HeldUp(words="Other words")
    assert on(next_one).run(job.job, 0) == "done"

    assert asked(engine) == [0]
    assert asked(next_one) == [1]
    first, second = parse_part(stages.store.get(keys.part_key(job.job, "results", 0)))
    assert first["regions"][0]["caption"].startswith("Words")
    assert second["regions"][0]["caption"].startswith("Other words")
    assert first["reused"] is None
    assert first["usage"]["requests"] == 1
    assert not partial_keys(stages, job)


def test_a_shard_that_asks_after_the_stop_is_stopped_as_well(
    stages: Stages, job: Job, on: On
) -> None:
    engine = HeldUp(1)
    engine.error = EngineUnwellError("it answers in the end, where nobody stops it")
    stage = on(engine)
    stage.stop()
    with pytest.raises(StoppedError):
        stage.run(job.job, 0)


def test_what_it_has_when_its_engine_dies(stages: Stages, job: Job, on: On) -> None:
    engine = HeldUp(0)
    stage = on(engine)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(stage.run, job.job, 0)
        assert engine.others_answered.wait(30)
        # A worker that is killed can write nothing: by then it has.
        while not partial_keys(stages, job):
            assert not turn.done()
        engine.error = EngineDeadError("gone")
        with pytest.raises(EngineDeadError):
            turn.result(30)

    next_one = HeldUp()
    on(next_one).run(job.job, 0)
    assert asked(next_one) == [0]
    assert not partial_keys(stages, job)


def test_what_depends_on_something_else_is_not_taken_over(stages: Stages, job: Job, on: On) -> None:
    break_off(on, job, HeldUp(1))

    other = HeldUp()
    other.model = "another"
    on(other).run(job.job, 0)
    assert sorted(asked(other)) == [0, 1]


def test_a_retry_takes_over_its_own_answers_alone(stages: Stages, job: Job, on: On) -> None:
    break_off(on, job, HeldUp(1))
    (left,) = partial_keys(stages, job)
    before = stages.store.get(left)
    on(HeldUp()).run(job.job, 0)
    stages.store.put(left, before)  # of a worker that was stopped for a while
    loaded = catalogue.load(stages.store, job.job)
    retry.begin(stages.store, stages.progress(job.job), loaded, {0, 1})

    broken_off = HeldUp(1, "Newer words")
    break_off(on, job, broken_off)
    last = HeldUp(words="Newest words")
    on(last).run(job.job, 0)

    assert (asked(broken_off), asked(last)) == ([0], [1])
    lines = parse_part(stages.store.get(keys.part_key(job.job, "results", 0)))
    texts = [line["regions"][0]["caption"] for line in lines]
    assert [text.split(" about")[0] for text in texts] == ["Newer words", "Newest words"]
    assert not partial_keys(stages, job)


def test_a_worker_that_dies_with_its_results_written_leaves_no_answers(
    stages: Stages, job: Job, on: On
) -> None:
    break_off(on, job, HeldUp(1))
    (left,) = partial_keys(stages, job)
    kept = stages.store.get(left)
    on(HeldUp()).run(job.job, 0)
    stages.store.put(left, kept)  # as if it had come no further than its results

    assert on(HeldUp()).run(job.job, 0) == "already done"

    assert not partial_keys(stages, job)


def test_words_of_an_engine_that_is_unwell_are_not_kept(stages: Stages, job: Job, on: On) -> None:
    silent = ScriptedEngine(lambda _: Answer("!!!!!!!!", finish_reason="length"))
    with pytest.raises(EngineUnwellError):
        on(silent).run(job.job, 0)
    assert not partial_keys(stages, job)

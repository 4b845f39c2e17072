"""A worker tried on our own pictures, and one that the trial finds to be to blame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.openai import OpenAIEngine
from regioncap.errors import EngineAwayError, EngineUnwellError
from regioncap.jobs import own_pictures
from regioncap.jobs.status import job_status
from regioncap.local import LocalStack
from regioncap.services.attempts import Attempts
from regioncap.settings import Settings
from regioncap.views.view import Limits
from tests.support.chat_server import Behaviour, serve_chat
from tests.support.rig import Rig, wait_until, write_input

LIMITS = Limits.of(Settings())


@pytest.fixture
def does() -> Behaviour:
    return Behaviour()


@pytest.fixture
def url(does: Behaviour) -> Iterator[str]:
    with serve_chat(does) as address:
        yield address


def try_out(url: str, does: Behaviour, *, differently: bool = False, **changed: object) -> None:
    async def run() -> None:
        engine = OpenAIEngine("tiny", base_url=url, max_retries=0)
        await engine.start()
        vars(does).update(changed)
        try:
            await own_pictures.caption(engine, LIMITS, differently=differently)
        finally:
            await engine.close()

    asyncio.run(run())


def test_the_baseline_captions_them() -> None:
    asyncio.run(own_pictures.caption(BaselineEngine(), LIMITS, differently=True))


def test_requests_of_two_trials_have_names_of_their_own() -> None:
    names = [how.name for _, _, how in (own_pictures.render(LIMITS) for _ in range(2))]
    assert len(set(names)) == 2


def test_an_engine_that_says_nothing_is_unwell(does: Behaviour, url: str) -> None:
    with pytest.raises(
        EngineUnwellError, match="it says '!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!' of our own"
    ):
        try_out(url, does, says="!" * 512, finish_reason="length")


def test_an_engine_that_refuses_them_is_unwell(does: Behaviour, url: str) -> None:
    with pytest.raises(EngineUnwellError, match="status 400"):
        try_out(url, does, statuses=[400] * 20)


def test_one_that_says_the_same_of_both_is_unwell_where_that_is_the_question(
    does: Behaviour, url: str
) -> None:
    try_out(url, does, says="the the the")
    with pytest.raises(EngineUnwellError, match="'the the the' of two pictures that differ"):
        try_out(url, does, says="the the the", differently=True)


def test_a_server_that_is_away_is_away(does: Behaviour, url: str) -> None:
    with pytest.raises(EngineAwayError):
        try_out(url, does, statuses=[401] * 20)


def test_only_exclamation_marks__shards_wait_until_the_server_is_well(
    stack: LocalStack, tmp_path: Path, does: Behaviour, url: str
) -> None:
    rig = Rig(stack, tmp_path, extra={"engine": "openai", "openai_base_url": url, "model": "tiny"})
    worker = rig.start_ready("caption")
    rig.start("render")
    does.says, does.finish_reason = "!" * 512, "length"
    try:
        job = rig.submit(write_input(tmp_path / "in", 12))
        wait_until(lambda: bool(job_status(rig.store, rig.redis, job).waits), worker=worker)
        (why,) = job_status(rig.store, rig.redis, job).waits
        assert (why.stage, why.code) == ("caption", "engine-unwell")
        assert "of our own picture" in why.reason
        assert rig.done(job) == 0
        starts = [Attempts(rig.redis, job.job, "caption", n) for n in range(job.shards)]
        does.says, does.finish_reason = "In <region1>, a thing.", "stop"

        records = rig.check(job)
    finally:
        rig.stop()
    codes = {record["error"]["code"] for record in records if record["error"]}
    assert codes == {"image-missing", "no-usable-box"}
    assert worker.log.read_text().count('"the engine died"') == 0
    assert [start.deaths() for start in starts] == [0] * job.shards


def test_the_same_words_of_all_are_believed_at_last(
    stack: LocalStack, tmp_path: Path, does: Behaviour, url: str
) -> None:
    does.says = "In <region1>, nothing to be seen."
    extra = {"engine": "openai", "openai_base_url": url, "model": "tiny", "shard_size": "8"}
    rig = Rig(stack, tmp_path, extra=extra)
    rig.start("render")
    worker = rig.start("caption")
    try:
        records = rig.check(rig.submit(write_input(tmp_path / "in", 8)))
    finally:
        rig.stop()
    captions = {r["regions"][0]["caption"] for r in records if not r["error"]}
    assert captions == {"Nothing to be seen."}
    told = [json.loads(line) for line in worker.log.read_text().splitlines() if "trying" in line]
    assert len([line for line in told if "of several pictures" in line["reason"]]) == 2

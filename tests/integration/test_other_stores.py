"""Stores that answer otherwise than ours: the job goes on, or an error says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import minio.time
import pytest
from minio.credentials.credentials import Credentials
from PIL import Image

from producer.checks import run_checks
from regioncap import keys
from regioncap.errors import StoreError, StoreLateError
from regioncap.job import Job
from regioncap.jobs.garbage import Search
from regioncap.jobs.results import read
from regioncap.jobs.submit import submit
from regioncap.jobs.turn import Turn
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.proxy import Proxy, Rule, proxied
from tests.support.stages import Stages


@pytest.fixture
def real(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings | {"s3_bucket": "other-stores"})


@pytest.fixture
def proxy(real: Settings) -> Iterator[Proxy]:
    Store(real).ensure_bucket()
    with proxied(real.s3_endpoint) as proxy:
        proxy.keys = Credentials(real.s3_access_key, real.s3_secret_key.get_secret_value())
        yield proxy


@pytest.fixture
def settings(real: Settings, proxy: Proxy) -> Settings:
    return real.model_copy(update={"s3_endpoint": proxy.endpoint})


@pytest.fixture
def stages(settings: Settings) -> Iterator[Stages]:
    made = Stages(settings)
    yield made
    made.engine.close()


def run(stages: Stages, job: Job) -> list[dict[str, Any]]:
    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)
    return list(read(stages.store, job))


def run_with_source(stages: Stages, folder: Path, name: str) -> list[dict[str, Any]]:
    """Results of a job as `job_with_source` makes it."""
    return run(stages, job_with_source(stages, folder, name))


def job_with_source(stages: Stages, folder: Path, name: str) -> Job:
    """A job of two records: a picture of this machine, and an object of the store."""
    Image.new("RGB", (64, 64)).save(folder / "own.png")
    records = [
        InputRecord(index=n, line=n + 1, image=image, bbox=[[4, 4, 20, 20]])
        for n, image in enumerate(["own.png", stages.store.uri(f"sources/{name}")])
    ]
    job, _ = submit(records, store=stages.store, settings=stages.settings, root=folder)
    return job


def codes(lines: list[dict[str, Any]]) -> list[str | None]:
    return [line["error"] and line["error"]["code"] for line in lines]


def test_what_a_refused_head_hides_a_read_tells(settings: Settings, proxy: Proxy) -> None:
    store = Store(settings)
    store.put("there", b"1")
    proxy.rules = [Rule(403, "AccessDenied", "HEAD", "/there"), Rule(403, "Any", "HEAD", "/gone")]

    assert not store.exists("gone")
    with pytest.raises(StoreError):
        store.exists("there")


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
def test_one_source_is_forbidden(stages: Stages, proxy: Proxy, tmp_path: Path, code: str) -> None:
    proxy.rules = [Rule(403, code, "GET|HEAD", "/sources/locked.png")]

    lines = run_with_source(stages, tmp_path, "locked.png")

    assert codes(lines) == [None, "source-refused"]
    assert code in lines[1]["error"]["message"]


def test_an_empty_source(stages: Stages, tmp_path: Path) -> None:
    stages.store.put("sources/empty.png", b"")

    lines = run_with_source(stages, tmp_path, "empty.png")

    assert codes(lines) == [None, "image-unreadable"]
    assert "empty" in lines[1]["error"]["message"]


def test_a_source_that_is_seen_a_little_later(stages: Stages, proxy: Proxy, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "late.png")
    stages.store.put("sources/late.png", (tmp_path / "late.png").read_bytes())
    proxy.rules = [
        Rule(404, "NoSuchKey", "GET", "/sources/late.png", times=1),
        Rule(404, "NoSuchKey", "GET", "/input/part-", times=1),
    ]

    job = job_with_source(stages, tmp_path, "late.png")
    for rule in reversed(proxy.rules):  # the shard waits, and is tried again
        with pytest.raises(StoreLateError):
            stages.render.run(job.job, 0, Turn(waited=lambda _: 0))
        assert rule.met == 1

    assert codes(run(stages, job)) == [None, None]


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
@pytest.mark.parametrize("times", [1, 5])
def test_others_write_at_the_same_time(
    stages: Stages, proxy: Proxy, tmp_path: Path, code: str, times: int
) -> None:
    proxy.rules = [Rule(409, code, "PUT", "/results/part-", "if-none-match", times=times)]

    lines = run(stages, stages.job(tmp_path))

    assert codes(lines) == [None, None]
    assert proxy.rules[0].met == times  # all of them in place: the stage was run once


def test_others_change_what_is_put_and_removed(stages: Stages, proxy: Proxy) -> None:
    proxy.rules = [Rule(409, "OperationAborted", "PUT|DELETE", "/aborted", times=2)]

    stages.store.put("aborted", b"x")
    proxy.rules[0].times = 3
    stages.store.delete("aborted")

    assert proxy.rules[0].met == 3
    assert not stages.store.exists("aborted")


@pytest.fixture(params=["unknown", "ignored"])
def careless(request: pytest.FixtureRequest, proxy: Proxy) -> str:
    """A store that answers 501 to conditions of writes, or does not look at them."""
    conditions = {"if-none-match", "if-match"}
    if request.param == "unknown":
        proxy.rules = [Rule(501, "NotImplemented", "PUT", header=name) for name in conditions]
    else:
        proxy.ignored = conditions
    return str(request.param)


@pytest.mark.usefixtures("careless")
def test_a_store_without_conditions(stages: Stages, tmp_path: Path) -> None:
    job = stages.job(tmp_path)
    lines = run(stages, job)

    assert codes(lines) == [None, None]
    part = stages.store.get(keys.part_key(job.job, "results", 0))
    assert stages.caption.run(job.job, 0) == "already done"
    assert stages.store.get(keys.part_key(job.job, "results", 0)) == part
    assert not stages.store.put_new(keys.part_key(job.job, "results", 0), b"other")
    assert not stages.store.put_matching(keys.part_key(job.job, "results", 0), b"x", "0" * 32)


@pytest.mark.usefixtures("careless")
def test_a_store_without_conditions__doctor_warns(settings: Settings) -> None:
    checks = {check.name: check for check in run_checks(settings)}

    assert checks["store"].status == "ok"
    assert checks["store conditions"].status == "warn"
    assert "If-None-Match and If-Match" in checks["store conditions"].what
    assert "docs/stores.md" in checks["store conditions"].remedy


def test_a_store_with_conditions__doctor_is_content(settings: Settings) -> None:
    checks = {check.name: check for check in run_checks(settings)}

    assert checks["store conditions"].status == "ok"


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")])
def test_no_multi_delete(stages: Stages, proxy: Proxy, status: int, code: str) -> None:
    rule = Rule(status, code, "POST", r"\?delete")
    proxy.rules = [rule]
    job = "20200101-000000-aaaaaa"
    names = [keys.job_key(job), keys.success_key(job), keys.part_key(job, "results", 0)]
    for name in names:
        stages.store.put(name, b"x")

    search = Search(stages.store, datetime.now(UTC) + timedelta(days=1), timedelta(0))
    found = {rubbish.name: rubbish for rubbish in search.run()}

    assert found[job].remove() >= len(names)
    assert list(stages.store.list_keys(keys.prefix(job))) == []
    assert stages.store.delete_all(names) == len(names)
    assert rule.met == 1  # it is asked once


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "InvalidAccessKeyId", "does not know the key, or no longer"),
        (403, "SignatureDoesNotMatch", "secret does not belong"),
        (403, "AccessDenied", "does not allow this"),
        (400, "ExpiredToken", "the session is over"),
        (400, "InvalidToken", "REGIONCAP_S3_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", "NTP"),
        (400, "AuthorizationHeaderMalformed", "REGIONCAP_S3_REGION to its own, eu-west-7"),
        (301, "PermanentRedirect", "REGIONCAP_S3_ENDPOINT"),
        (503, "SlowDown", "fewer requests"),
        (507, "XMinioStorageFull", "no room"),
    ],
)
def test_each_refusal_has_its_own_remedy(
    settings: Settings, proxy: Proxy, status: int, code: str, words: str
) -> None:
    proxy.rules = [Rule(status, code, region="eu-west-7")]
    store = Store(settings, attempts=0)

    for ask in store.check, store.ensure_bucket, lambda: store.exists("x"):
        with pytest.raises(StoreError, match=code) as caught:
            ask()
        assert words in caught.value.hint
    check = next(check for check in run_checks(settings) if check.name == "store")
    assert check.status == "fail"
    assert code in check.what
    assert words in check.remedy


def test_the_real_answer_to_a_wrong_clock(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = minio.time.utcnow() + timedelta(minutes=20)
    monkeypatch.setattr(minio.time, "utcnow", lambda: ahead)

    with pytest.raises(StoreError, match="RequestTimeTooSkewed") as caught:
        Store(settings, attempts=0).check()

    assert "NTP" in caught.value.hint

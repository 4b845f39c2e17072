"""Submitted twice under a key, it is one job, wherever the first broke off."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from regioncap import keys
from regioncap.errors import RegionCapError, StoreError, UsageError
from regioncap.job import Job, now
from regioncap.jobs import catalogue
from regioncap.jobs.garbage import Rubbish, Search
from regioncap.jobs.keyed import Content
from regioncap.jobs.submit import Tally, submit
from regioncap.records import SCHEMA_VERSION, InputRecord, Problem
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.region_schema import load_schema
from tests.simulation import s3
from tests.simulation.gate import Gate
from tests.simulation.world import records

KEY = "nightly 2026-11-27"


@pytest.fixture
def server() -> s3.S3Server:
    return s3.with_bucket()


@pytest.fixture
def store(server: s3.S3Server) -> Store:
    return s3.store_of(server, Settings())


def submitted(
    store: Store, given: list[InputRecord] | None = None, **changed: Any
) -> tuple[Job, Tally]:
    changed = {"key": KEY, "settings": Settings(shard_size=2), **changed}
    return submit(given or records(0, 5), store=store, root=Path(), **changed)


def jobs(store: Store) -> list[str]:
    return [key for key in store.list_keys(keys.JOBS) if key.endswith("/job.json")]


def test_the_same_again_is_the_same_job_and_sends_nothing(
    store: Store, server: s3.S3Server
) -> None:
    first, tally = submitted(store)
    assert (tally.job_was_there, tally.uploaded, first.key) == (False, 5, KEY)
    before = dict(server.buckets["regioncap"])

    again, tally = submitted(store, name="another name")

    assert again == first
    assert (tally.job_was_there, tally.uploaded, tally.known) == (True, 0, 5)
    assert server.buckets["regioncap"] == before
    other, tally = submitted(store, key="another key")
    assert (other.job != first.job, tally.job_was_there) == (True, False)


def test_a_version_that_adds_to_the_form_of_records_finds_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = submitted(store)
    monkeypatch.setattr("regioncap.records.SCHEMA_VERSION", SCHEMA_VERSION + 1)

    assert submitted(store)[0].job == first.job


def _other_box(given: list[InputRecord]) -> None:
    given[3].bbox = [[4, 4, 20, 21]]


def _other_picture(given: list[InputRecord]) -> None:
    given[4].picture = records(9, 1)[0].picture


def _other_field(given: list[InputRecord]) -> None:
    given[0].meta = {"label": "cat"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_box, "record 3 (line 4): bbox is [[4, 4, 20, 21]], and was [[4, 4, 20, 20]]"),
        (_other_picture, "record 4 (line 5) has another picture"),
        (_other_field, 'record 0 (line 1): meta is {"label": "cat"}, and was null'),
        (list.pop, "the input has 4 records, and had 5"),
        (lambda given: given.append(records(0, 6)[5]), "more records than 5, as it had"),
    ],
)
def test_other_records_are_refused_by_name(
    store: Store, server: s3.S3Server, change: Callable[[list[InputRecord]], Any], said: str
) -> None:
    first, _ = submitted(store)
    before = dict(server.buckets["regioncap"])
    given = records(0, 5)
    change(given)

    with pytest.raises(UsageError) as caught:
        submitted(store, given)

    assert caught.value.code == "key-taken"
    assert said in caught.value.message
    assert first.job in caught.value.message
    assert server.buckets["regioncap"] == before


def test_further_shards_are_refused(store: Store) -> None:
    submitted(store, records(0, 4))
    with pytest.raises(UsageError, match="more records than 4, as it had"):
        submitted(store, records(0, 6))


def test_other_settings_are_refused_before_the_input_is_read(store: Store) -> None:
    submitted(store)

    def unread() -> Any:
        raise AssertionError("read")
        yield

    with pytest.raises(UsageError, match=r"max_boxes is 7, and was 10; temperature is 0\.1, and"):
        submit(
            unread(), store=store, root=Path(), key=KEY,
            settings=Settings(shard_size=2, max_boxes=7, temperature=0.1),
        )  # fmt: skip
    with pytest.raises(UsageError, match='prompt template is "text", and was ""'):
        submitted(store, prompt_template="text")
    with pytest.raises(UsageError, match=r"region schema is .*, and was null"):
        submitted(store, region_schema=load_schema("referring"))


def _breaks_at(server: s3.S3Server, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """Has the process die at its nth write."""
    left = [nth]

    def on_put(key: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt(key)

    monkeypatch.setattr(server, "on_put", on_put)


class Rival:
    """Submits under the same key while another has sent everything but its claim."""

    def __init__(self, store: Store, given: list[InputRecord], **changed: Any) -> None:
        self._store, self._given, self._changed = store, given, changed
        self.job: Job | None = None
        self._has_begun = False

    def comes_late(self, patch: pytest.MonkeyPatch) -> None:
        put_new = Store.put_new

        def late(store: Store, key: str, *given: Any, **more: Any) -> str | None:
            if key.startswith(keys.SUBMISSIONS) and not self._has_begun:
                self._has_begun = True
                self.job, _ = submitted(self._store, self._given, **self._changed)
            return put_new(store, key, *given, **more)

        patch.setattr(Store, "put_new", late)


@pytest.mark.parametrize("nth", range(11))
def test_a_submission_that_broke_off_anywhere_goes_on_as_one_job(
    store: Store, server: s3.S3Server, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    with monkeypatch.context() as patch:
        _breaks_at(server, patch, nth)
        with pytest.raises(KeyboardInterrupt):
            submitted(store)

    job, _ = submitted(store)

    assert jobs(store) == [keys.job_key(job.job)]
    assert catalogue.parts(store, job.job, "input") == {0, 1, 2}
    assert store.exists(keys.open_key(job.job))
    assert submitted(store)[0] == job


def test_of_two_at_once_one_job_comes_and_the_other_finds_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(store, records(0, 5))
    rival.comes_late(monkeypatch)

    job, tally = submitted(store)

    assert (tally.job_was_there, job) == (True, rival.job)
    assert jobs(store) == [keys.job_key(job.job)]
    # What the one that came too late has sent in vain is gone.
    assert sum("/input/" in key for key in store.list_keys(keys.JOBS)) == job.shards


def test_of_two_at_once_with_other_content_one_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(store, records(5, 5))
    rival.comes_late(monkeypatch)

    with pytest.raises(UsageError, match=r"the key 'nightly .*the input is another"):
        submitted(store)

    assert rival.job is not None
    assert jobs(store) == [keys.job_key(rival.job.job)]


def test_of_two_at_once_with_other_settings_one_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Rival(store, records(0, 5), settings=Settings(shard_size=2, max_boxes=7))
    rival.comes_late(monkeypatch)

    with pytest.raises(UsageError, match="max_boxes is 10, and was 7"):
        submitted(store)
    assert rival.job is not None
    assert jobs(store) == [keys.job_key(rival.job.job)]


def _broken_off(store: Store) -> Job:
    """A job that lacks its job.json, and whose parts and marker were cleared away."""
    job, _ = submitted(store)
    store.delete_all([keys.job_key(job.job), keys.open_key(job.job)])
    store.delete_all(store.list_keys(keys.prefix(job.job, "input")))
    return job


def test_what_was_cleared_away_of_a_submission_that_broke_off_is_sent_again(
    store: Store, server: s3.S3Server
) -> None:
    before, written = _broken_off(store), list[str]()
    server.on_put = written.append

    job, _ = submitted(store)

    assert job.job == before.job
    # Parts without a marker are rubbish.
    mine = [key for key in written if before.job in key]
    assert mine[0] == keys.open_key(job.job)
    assert jobs(store) == [keys.job_key(job.job)]
    assert catalogue.parts(store, job.job, "input") == {0, 1, 2}
    assert store.exists(keys.open_key(job.job))


def test_of_two_at_once_that_complete_a_job_the_first_one_s_stands(
    store: Store, server: s3.S3Server
) -> None:
    before, first = _broken_off(store), list[Job]()

    def on_put(key: str) -> None:
        if key == keys.open_key(before.job) and not first:
            server.on_put = lambda _: None
            first.append(submitted(store)[0])

    server.on_put = on_put
    second, _ = submitted(store)

    assert first == [second] == [catalogue.load(store, before.job)]


@pytest.mark.parametrize("key", [" ", "a\nb", "x" * 501])
def test_what_can_be_no_key(store: Store, key: str) -> None:
    with pytest.raises(UsageError, match="cannot be a key"):
        submitted(store, key=key)


def test_a_job_that_is_cleared_away_frees_its_key(store: Store) -> None:
    job, _ = submitted(store)
    store.put(keys.cancelled_key(job.job), b"{}")
    store.delete(keys.open_key(job.job))
    search = Search(store, now() + timedelta(days=1), timedelta())

    (rubbish,) = [each for each in search.run() if each.kind == "job"]
    rubbish.remove()

    assert not list(store.list_keys(keys.SUBMISSIONS))
    assert submitted(store)[0].job != job.job


def test_a_key_whose_submission_was_never_taken_up_is_cleared_away(store: Store) -> None:
    job, _ = submitted(store)
    store.delete(keys.job_key(job.job))
    kept, _ = submitted(store, key="kept")
    written = datetime.fromtimestamp(0, UTC)  # by this store's clock

    def found(days: int) -> list[Rubbish]:
        search = Search(store, written + timedelta(days=days), timedelta())
        return [each for each in search.run() if each.kind == "keys"]

    assert not found(6)
    (rubbish,) = found(8)
    rubbish.remove()
    assert list(store.list_keys(keys.SUBMISSIONS)) == [keys.submission_key(kept.key)]


def test_a_store_that_is_away_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise StoreError("away")

    monkeypatch.setattr(Store, "find", away)
    with pytest.raises(StoreError):
        submitted(store)


def test_what_a_key_s_object_says(store: Store) -> None:
    job, _ = submitted(store)
    said = json.loads(store.get(keys.submission_key(KEY)))
    assert (said["key"], said["job"], said["schema_version"]) == (KEY, job.job, SCHEMA_VERSION)


@pytest.mark.parametrize("text", [b"", b"{", b'{"key": 3}'])
def test_a_key_s_object_that_cannot_be_read_is_named(store: Store, text: bytes) -> None:
    store.put(keys.submission_key(KEY), text)
    with pytest.raises(RegionCapError, match=keys.submission_key(KEY)) as caught:
        submitted(store)
    assert caught.value.code == "bad-key"
    assert caught.value.hint


def test_pictures_count_by_their_names_in_the_store_wherever_it_lies(
    store: Store, server: s3.S3Server
) -> None:
    moved = s3.store_of(server, Settings(s3_bucket="moved"))
    said = []
    for each in (store, moved):
        (record,) = records(0, 1)
        record.source = each.uri("images/abc.png")
        said.append(Content(each).fields(record)["source"])
    assert said == ["images/abc.png"] * 2


def test_a_record_s_error_is_its_content_and_its_words_are_not(store: Store) -> None:
    def with_error(code: str, message: str) -> list[InputRecord]:
        given = records(0, 5)
        given[2].error = Problem(code=code, message=message, stage="submit")
        return given

    first, _ = submitted(store, with_error("bad-box", "no area"))

    assert submitted(store, with_error("bad-box", "in other words"))[0].job == first.job
    with pytest.raises(UsageError, match=r'record 2 .*error is "bad-json", and was "bad-box"'):
        submitted(store, with_error("bad-json", "no area"))
    with pytest.raises(UsageError, match="error is null"):
        submitted(store)


def test_the_content_of_a_job_is_that_of_its_shards_in_their_order(store: Store) -> None:
    given = records(0, 4)
    one, other, turned = Content(store), Content(store), Content(store)
    for content, shards in ((one, (0, 1)), (other, (1, 0))):
        for shard in shards:
            content.add(shard, given[2 * shard : 2 * shard + 2])
    turned.add(0, given[2:])
    turned.add(1, given[:2])

    assert one.sha256 == other.sha256 != turned.sha256


def test_who_may_remove_nothing_finds_the_job_that_was_quicker(
    server: s3.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoRemoval(Gate):
        def enter(self, request: str) -> None:
            if request.startswith("s3 delete"):
                raise s3.error(403)

    store = s3.store_of(server, Settings(), NoRemoval())
    rival = Rival(store, records(0, 5))
    rival.comes_late(monkeypatch)

    assert submitted(store)[0] == rival.job

"""The records that one page of a job shows, without a store: parts by number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.site.window import PAGE_RECORDS, flagged, read_window, saying, why_failed
from regioncap import keys
from regioncap.job import Job
from regioncap.jobs.picks import failed
from regioncap.records import dump_lines
from regioncap.services.store import Store
from tests.support.jobs import job_at, result

MISSING = {"code": "image-missing", "message": "gone", "stage": "submit", "hint": "bring it"}


class Parts:
    """A store of results parts that tells which were read."""

    def __init__(self, job: Job, records: dict[int, dict[str, Any]], lost: Collection[int]) -> None:
        self.read: list[str] = []
        self._parts = {
            keys.part_key(job.job, "results", shard): dump_lines(
                records[index] for index in job.shard_records(shard)
            )
            for shard in range(job.shards)
            if shard not in lost
        }

    def find(self, key: str) -> bytes | None:
        self.read.append(key)
        return self._parts.get(key)


def a_job(
    records: int, shard_size: int, bad: Collection[int] = (), lost: Collection[int] = ()
) -> tuple[Job, Store]:
    job = job_at(0, records=records, shard_size=shard_size)
    lines = {
        index: result(job, index, f"thing {index}", error=MISSING if index in bad else None)
        for index in range(records)
    }
    return job, cast("Store", Parts(job, lines, lost))


@given(
    records=st.integers(1, 300),
    shard_size=st.integers(1, 130),
    bad=st.sets(st.integers(0, 299)),
    lost=st.sets(st.integers(0, 20), max_size=3),
    only_failed=st.booleans(),
)
def test_pages_forth_and_back_show_each_record_once(
    records: int, shard_size: int, bad: set[int], lost: set[int], only_failed: bool
) -> None:
    job, store = a_job(records, shard_size, bad, lost)
    there = [n for n in range(records) if n // shard_size not in lost]
    expected = [n for n in there if not only_failed or n in bad]
    wanted = [failed] if only_failed else []
    forth: list[int] = []
    rest: int | None = 0
    while rest is not None:
        page = read_window(store, job, range(job.shards), wanted, start=rest)
        assert len(page.records) == PAGE_RECORDS or page.rest is None
        forth += [record["index"] for record in page.records]
        rest = page.rest
    back: list[int] = []
    rest = records - 1
    while rest is not None:
        page = read_window(store, job, range(job.shards), wanted, start=rest, backwards=True)
        back = [record["index"] for record in page.records] + back
        rest = page.rest
    assert forth == back == expected


def test_no_more_is_read_than_leads_to_the_page() -> None:
    job, store = a_job(10_000, 10)

    page = read_window(store, job, range(job.shards), [], start=5_000)

    assert [record["index"] for record in page.records] == list(range(5_000, 5_050))
    read = cast("Parts", store).read
    assert len(read) < 20
    assert min(read) == keys.part_key(job.job, "results", 500)


def test_it_looks_no_longer_than_a_person_waits() -> None:
    job, store = a_job(1_000, 10)

    page = read_window(store, job, range(job.shards), [failed], start=25, within_s=0)

    assert page.records == []
    assert page.rest == 30  # of the shard it began in nothing is left out
    page = read_window(store, job, range(100), [failed], start=25, backwards=True, within_s=0)
    assert page.rest == 19


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("RED cup", True),
        ("cup red", True),
        ("red saucer", False),
        ("photo-7", True),
        ("7.jpg", True),
        ("image-missing", True),
        ("zürich", True),
        ("table with", True),
        ("colour:red", True),
    ],
)
def test_saying(text: str, answer: bool) -> None:
    record = result(job_at(0), 7, "a red cup", error=MISSING, meta={"city": "Zürich"})
    record["image_caption"] = "a table with a cup"
    record["regions"][0]["attributes"] = {"colour": "red"}

    assert saying(text)(record) == answer


def test_flagged() -> None:
    job = job_at(0)

    assert flagged(job)(result(job, 0, "x"))
    assert not flagged(job)(result(job, 0, "a red cup stands on a wooden table"))


def test_why_failed_counts_by_reason() -> None:
    job = job_at(0, records=4, shard_size=2)
    lines = {
        0: result(job, 0, "a cup", error=MISSING),
        1: result(job, 1, "a cup", None, None),
        2: result(job, 2, "a cup", error={**MISSING, "message": "gone too"}),
        3: result(job, 3, "a cup"),
    }
    store = cast("Store", Parts(job, lines, set()))

    told = why_failed(store, job, range(2))

    assert told.complete
    assert [(r.code, r.found, r.of, r.message, r.record) for r in told.reasons] == [
        ("image-missing", 2, "record", "gone", 0),
        ("missing", 2, "region", "the answer does not name it", 1),
    ]
    assert not why_failed(store, job, range(2), within_s=0).complete

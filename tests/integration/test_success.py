"""`_SUCCESS` of a large job in a real store: whole for who wants parts, short for others."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap import keys
from regioncap.job import Summary, now
from regioncap.jobs import catalogue
from regioncap.jobs.success import SuccessWriter
from regioncap.services.store import Store
from regioncap.settings import load_settings
from tests.support.success import dump_success, load_success

COUNTS = {"records": 32, "failed": 1, "regions_no_answer": 0}


@pytest.fixture
def store(stack_settings: dict[str, str]) -> Store:
    made = Store(load_settings(**stack_settings))
    made.ensure_bucket()
    return made


def write(store: Store, shards: int) -> tuple[Summary, list[dict[str, Any]]]:
    """A `_SUCCESS` as workers write it, and the parts that it should name."""
    job, writer = keys.new_job_id(), SuccessWriter()
    parts = [
        {"key": keys.part_key(job, "results", shard), "sha256": f"{shard:064x}"}
        for shard in range(shards)
    ]
    for part in parts:
        writer.add(part["key"], {"sha256": part["sha256"], "counts": COUNTS})
    summary = Summary(job=job, finished=now(), counts=dict(writer.counts), version=3)
    store.put(keys.success_key(job), writer.text(summary))
    return summary, [part | COUNTS for part in parts]


@pytest.mark.parametrize("shards", [0, 1, 3, 40_000])  # the last takes more than one upload
def test_all_parts_are_in_it(store: Store, shards: int) -> None:
    summary, parts = write(store, shards)

    text = store.get(keys.success_key(summary.job))

    assert load_success(text) == (summary, parts)
    assert len(text.splitlines()) - len(parts) < 20  # a line a part


def test_summary_is_read_without_the_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, _ = write(store, 10_000)
    read, get = [], store.get

    def noted(*arguments: Any, **options: Any) -> bytes:
        read.append(get(*arguments, **options))
        return read[-1]

    monkeypatch.setattr(store, "get", noted)
    assert catalogue.find_success(store, summary.job) == summary
    assert sum(map(len, read)) < 20_000


@pytest.mark.parametrize("indent", [None, 2])
def test_summary_is_read_however_it_is_indented(store: Store, indent: int | None) -> None:
    parts = [{"key": f"part-{number}", "sha256": "0" * 64} for number in range(1000)]
    summary = Summary(job=keys.new_job_id(), finished=now(), counts={})
    store.put(keys.success_key(summary.job), dump_success(summary, parts, indent))

    assert catalogue.find_success(store, summary.job) == summary

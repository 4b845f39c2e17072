"""Jobs as they lie in the store, made without workers: many of them, and very large ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from regioncap import keys
from regioncap.job import STATUSES, Job, Summary
from regioncap.jobs.results import summarize
from regioncap.records import InputRecord, dump_lines
from regioncap.services.store import Store
from regioncap.settings import JobSettings
from tests.support.success import dump_success

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def job_at(number: int, *, records: int = 2, shard_size: int = 32, **more: Any) -> Job:
    """A job submitted so many minutes after the first of November."""
    created = BEGAN + timedelta(minutes=number)
    return Job(
        job=f"{created:%Y%m%d-%H%M%S}-aaaaaa",
        created=created,
        records=records,
        shards=-(-records // shard_size),
        settings=JobSettings(shard_size=shard_size),
        **more,
    )


def a_job(name: str, shards: int = 8, **settings: Any) -> Job:
    """A job of an id, with a record a shard."""
    return Job(
        job=name,
        created=BEGAN,
        records=shards,
        shards=shards,
        settings=JobSettings(shard_size=1, **settings),
    )


def result(
    job: Job, index: int, *captions: str | None, error: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A result with a region for each caption; None is one that has none."""
    regions = [
        {
            "region": number,
            "bbox": [10 * number, 10, 40, 40],
            "status": "ok" if caption else "missing",
            "caption": caption,
            "why": None if caption else "the answer does not name it",
            "view": 0,
        }
        for number, caption in enumerate(captions, start=1)
    ]
    record = {
        "id": f"photo-{index}", "index": index, "line": index + 1, "image": f"{index}.jpg",
        "image_with_bbox": None, "answer": "\n".join(filter(None, captions)), "width": 160,
        "height": 120, "regions": regions, "pictures": [], "engine": "baseline", "model": "",
        "usage": {}, "reused": None, "edited": None, "meta": {}, "error": error,
        "type": "with_bbox", "prompt": "", "schema_version": 1,
    }  # fmt: skip
    return record | more


def put_job(
    store: Store,
    job: Job,
    parts: Mapping[int, Sequence[dict[str, Any]]],
    *,
    inputs: Mapping[int, Sequence[InputRecord]] | None = None,
    done: bool = True,
) -> None:
    """Stores a job with some of its results parts; the others, if it is done, are named alone.

    Such parts count as whole and without failures: what reads them finds nothing.
    """
    store.put(keys.open_key(job.job), b"")
    counts = dict.fromkeys(["records", "failed", *(f"regions_{s}" for s in STATUSES), "regions"], 0)
    named: list[dict[str, Any]] = []
    for shard in range(job.shards):
        size = len(job.shard_records(shard))
        fine = counts | {"records": size, "regions": size, "regions_ok": size}
        key = keys.part_key(job.job, "results", shard)
        if shard in parts:
            text = dump_lines(parts[shard])
            store.put(key, text)
            fine = summarize(text)["counts"]
        named.append({"key": key, "sha256": "", **fine})
    for shard, records in (inputs or {}).items():
        store.put(keys.part_key(job.job, "input", shard), dump_lines(records))
    store.put(keys.job_key(job.job), job.model_dump_json().encode())
    if done:
        sums = {
            name: sum(part.get(name, 0) for part in named) for name in (*counts, "failed_as_given")
        }
        finished = job.created + timedelta(minutes=9)
        summary = Summary(job=job.job, finished=finished, counts=sums)
        store.put(keys.success_key(job.job), dump_success(summary, named))
        store.delete(keys.open_key(job.job))

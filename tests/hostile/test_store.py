"""What a producer may put under the names of a job: checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from regioncap import keys
from regioncap.errors import NotFoundError, RegionCapError, UsageError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import catalogue, parts
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.results import read_with_inputs
from regioncap.outputs.exports.items import read_items
from regioncap.outputs.gallery import write_view
from regioncap.records import InputRecord, dump_lines, load_lines
from regioncap.services.queue import Sender, make_app
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.stages import Stages, empty_redis, own_stages, two_shards

OTHER = "20000101-000000-aaaaaa"


@pytest.fixture(scope="module")
def settings(stack_settings: dict[str, str]) -> Settings:
    return load_settings(**stack_settings | {"s3_bucket": "hostile"})


@pytest.fixture(scope="module")
def stages(settings: Settings) -> Iterator[Stages]:
    with own_stages(settings) as made:
        yield made


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with empty_redis(settings) as client:
        yield client


@pytest.fixture
def job(stages: Stages, tmp_path: Path, client: redis.Redis) -> Iterator[Job]:
    """Two shards of a record each."""
    with two_shards(stages, tmp_path) as made:
        yield made


@pytest.fixture
def store(stages: Stages) -> Store:
    return stages.store


def alter(store: Store, job: Job, fields: dict[str, Any]) -> None:
    """Puts another job.json in the place of a job's."""
    held = json.loads(store.get(keys.job_key(job.job)))
    settings = held["settings"] | fields.get("settings", {})
    text = json.dumps(held | fields | {"settings": settings})
    store.put(keys.job_key(job.job), text.encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"job": OTHER},
        {"job": "x/y"},
        {"shards": 30_000_000},
        {"shards": 10**12},
        {"shards": -1},
        {"shards": 0},
        {"shards": 1},
        {"records": -2},
        {"records": 10**12, "shards": 10**12},
        {"rejected": 3},
        {"prompt_template": "x" * 1_000_000},
        {"settings": {"shard_size": 0}},
        {"settings": {"queue": "regioncap:janitor"}},
        {"settings": {"queue": "caption.\n"}},
    ],
    ids=str,
)
def test_a_job_that_cannot_be_is_none(store: Store, job: Job, fields: dict[str, Any]) -> None:
    alter(store, job, fields)
    with pytest.raises(RegionCapError) as caught:
        catalogue.load(store, job.job)
    assert caught.value.code == "bad-job"


@pytest.mark.parametrize("shard", [2, 10**6, 4_294_967_295, -1])
def test_a_shard_that_the_job_has_not_leaves_no_trace(
    stages: Stages, client: redis.Redis, job: Job, shard: int
) -> None:
    before = set(stages.store.list_keys(""))
    for stage in (stages.render, stages.caption):
        with pytest.raises(NotFoundError) as caught:
            stage.run(job.job, shard)
        assert caught.value.code == "no-such-shard"
    assert set(stages.store.list_keys("")) == before
    assert list(client.scan_iter("*")) == []


@pytest.mark.parametrize("settings_", [{"prompt": "nothing-like-it"}, {"mark_style": "none"}])
def test_a_job_that_cannot_be_done_is_the_user_s_error(
    stages: Stages, job: Job, settings_: dict[str, Any]
) -> None:
    alter(stages.store, job, {"settings": settings_})
    with pytest.raises(UsageError):  # on which the message is dropped
        stages.render.run(job.job, 0)


def test_names_that_are_no_parts_are_none(store: Store, job: Job) -> None:
    names = ["part-x.json", "input/part-00001.json", "part-00000.json.json", "part-1.json",
             "part-000000.json", "part-4294967295.json", "part-00001.0123456789ab.json/x",
             "part-٣٣٣٣٣.json"]  # fmt: skip
    for name in names:
        store.put(keys.prefix(job.job, "retry") + name, b"")
    assert catalogue.parts(store, job.job, "retry") == set()
    store.put(keys.retry_key(job.job, 1, keys.new_token()), b"")
    assert catalogue.parts(store, job.job, "retry") == {1}


def test_one_bad_job_stops_no_round(stages: Stages, client: redis.Redis, job: Job) -> None:
    store = stages.store
    bad = catalogue.load(store, job.job).model_copy(update={"job": OTHER})
    catalogue.save(store, bad)
    store.put(keys.part_key(OTHER, "results", 0), b"no results")
    for name in ("x/y", "no-id", f"{OTHER}.0123456789ab"):
        store.put(keys.OPEN + name, b"")
    sender = Sender(make_app(stages.settings))
    janitor = Janitor(store, client, sender, patience_s=0)
    janitor.round()
    janitor.round()
    assert client.llen("render") == job.shards


def test_what_cannot_be_read_of_a_part_is_an_error_in_its_place(
    stages: Stages, store: Store, tmp_path: Path
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    key = keys.part_key(job.job, "input", 0)
    first, second = load_lines(InputRecord, store.get(key))
    deep = '{"index": 1, "line": 2, "meta": {"m": ' + "[" * 240 + "]" * 240 + "}}\n"
    many = second.model_copy(update={"bbox": [[1, 1, 2, 2]] * 200_000})
    other = second.model_copy(update={"index": 0})
    for text, codes in {
        b"not json": ["input-unreadable"] * 2,
        b"": ["input-unreadable"] * 2,
        dump_lines([first]): ["input-unreadable"] * 2,
        dump_lines([first]) + b"garbage\n": [None, "input-unreadable"],
        dump_lines([first]) + deep.encode(): [None, "input-unreadable"],
        dump_lines([first, other]): [None, "input-unreadable"],
        dump_lines([first, many]): [None, "too-many-boxes"],
    }.items():
        store.put(key, text)
        found = parts.submitted(store, job, 0)
        assert [record.index for record in found] == [0, 1]
        assert [record.error and record.error.code for record in found] == codes


def test_readers_bring_no_picture_that_workers_would_not(
    stages: Stages, store: Store, tmp_path: Path
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    key = keys.part_key(job.job, "input", 0)
    first, second = load_lines(InputRecord, store.get(key))
    secret = Store(stages.settings.model_copy(update={"s3_bucket": "secret"}))
    secret.ensure_bucket()
    secret.put("private.png", store.get_uri(str(first.source)))
    large = b"\x89PNG" + b"\0" * stages.settings.max_image_bytes
    store.put("images/large.png", large)
    first.source, second.source = "s3://secret/private.png", store.uri("images/large.png")
    store.put(key, dump_lines([first, second]))
    originals = Originals(store, stages.settings)

    assert [item.picture for item in read_items(store, job, originals.fetch)] == [None, None]
    write_view(store, job, tmp_path / "page.html", originals.fetch)
    brought = [p.name for p in (tmp_path / "page_files").iterdir() if "marked" not in p.name]
    assert brought == []


def test_results_are_read_beside_a_part_that_was_altered(
    stages: Stages, store: Store, tmp_path: Path
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    key = keys.part_key(job.job, "input", 0)
    store.put(key, store.get(key).split(b"\n")[0])
    assert [result["index"] for _, result in read_with_inputs(store, job)] == [0, 1]

"""What a producer may put under the names of a job: checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from regioncap import keys
from regioncap.errors import NotFoundError, RegionCapError, StoreDeniedError, UsageError
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import catalogue, parts, results
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.results import parse_part, read_with_inputs
from regioncap.jobs.retry import begin
from regioncap.outputs.exports.items import read_items
from regioncap.outputs.gallery import write_view
from regioncap.records import InputRecord, dump_lines, load_lines
from regioncap.services import key_types
from regioncap.services.backlog import read_backlog
from regioncap.services.broker import connect
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.stages import Stages, empty_redis, own_stages, two_shards

OTHER = "20000101-000000-aaaaaa"


def is_all_queued(client: redis.Redis, job: Job) -> bool:
    return {(job.job, shard) for shard in range(job.shards)} <= read_backlog(client, set()).render


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


#: Numbers that JSON's readers take, and its writers refuse.
UNENDING = ["NaN", "-Infinity", "1e400", "[1E+999]"]


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
    sender = Sender(connect(stages.settings), stages.settings)
    janitor = Janitor(store, client, sender, patience_s=0)
    janitor.round()
    janitor.round()
    assert is_all_queued(client, job)


def test_what_cannot_be_read_of_a_part_is_an_error_in_its_place(
    stages: Stages, store: Store, tmp_path: Path
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    key = keys.part_key(job.job, "input", 0)
    first, second = load_lines(InputRecord, store.get(key))
    deep = '{"index": 1, "line": 2, "meta": {"m": ' + "[" * 240 + "]" * 240 + "}}\n"
    many = second.model_copy(update={"bbox": [[1, 1, 2, 2]] * 200_000})
    other = second.model_copy(update={"index": 0})
    unending = [f'{{"index": 1, "line": 2, "meta": {{"m": {n}}}}}\n' for n in UNENDING]
    for text, codes in {
        b"not json": ["input-unreadable"] * 2,
        b"": ["input-unreadable"] * 2,
        dump_lines([first]): ["input-unreadable"] * 2,
        dump_lines([first]) + b"garbage\n": [None, "input-unreadable"],
        dump_lines([first]) + deep.encode(): [None, "input-unreadable"],
        dump_lines([first, other]): [None, "input-unreadable"],
        dump_lines([first, many]): [None, "too-many-boxes"],
        **{dump_lines([first]) + text.encode(): [None, "input-unreadable"] for text in unending},
    }.items():
        store.put(key, text)
        found = parts.submitted(store, job, 0)
        assert [record.index for record in found] == [0, 1]
        assert [record.error and record.error.code for record in found] == codes


@pytest.mark.parametrize(
    "views",
    [
        "[7]", "[null]", '[{"numbers": 5}]', '[{"numbers": [1], "boxes_xyxy": 4}]',
        '[{"numbers": [1], "boxes_xyxy": [[1, 2, 3, 4]], "colours": 4}]',
        '[{"numbers": [1, 2], "boxes_xyxy": [[1, 2, 3, 4]]}]',
    ],
)  # fmt: skip
def test_views_that_are_none_are_an_error_in_their_place(
    stages: Stages, store: Store, tmp_path: Path, views: str
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    stages.render.run(job.job, 0)
    part = store.get(keys.part_key(job.job, "rendered", 0))
    first, second = part.split(b"\n")[:2]
    spoilt = json.dumps(json.loads(second) | {"views": json.loads(views)}).encode()

    found = parts.rendered(first + b"\n" + spoilt + b"\n", store, job, 0)

    assert [record.error and record.error.code for record in found] == [None, "rendered-unreadable"]


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


def of_shard(stages: Stages, job: Job) -> list[tuple[str | None, int]]:
    """Code of the error, and number of captions, of each result of the only shard."""
    part = stages.store.get(keys.part_key(job.job, "results", 0))
    return [
        (line["error"] and line["error"]["code"], sum(r["status"] == "ok" for r in line["regions"]))
        for line in parse_part(part)
    ]


Spoil = Callable[[bytes], bytes]
UNREAD = ["unreadable"] * 2


def first_line(part: bytes) -> bytes:
    return part.split(b"\n")[0] + b"\n"


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda _: b"garbage", UNREAD),
        (lambda _: b"", UNREAD),
        (first_line, UNREAD),
        (lambda part: first_line(part) + b"{}\n", [None, "unreadable"]),
        (
            lambda part: part.replace(b'"numbers": [1', b'"numbers": [9'),
            UNREAD,
        ),
    ],
)
def test_a_rendered_part_that_cannot_be_read_is_an_error_once(
    stages: Stages, tmp_path: Path, spoil: Spoil, codes: list[str | None]
) -> None:
    store, job = stages.store, stages.job(tmp_path, shard_size=2)
    stages.render.run(job.job, 0)
    key = keys.part_key(job.job, "rendered", 0)
    store.put(key, spoil(store.get(key)))

    assert stages.caption.run(job.job, 0) == "done"

    assert [code and code[-10:] for code, _ in of_shard(stages, job)] == codes
    assert all(captions for code, captions in of_shard(stages, job) if code is None)
    assert catalogue.find_success(store, job.job) is not None

    begin(store, stages.progress(job.job), job)
    assert [stage.run(job.job, 0) for stage in (stages.render, stages.caption)] == ["done"] * 2
    assert [code for code, _ in of_shard(stages, job)] == [None, None]


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda _: b"no results", UNREAD),
        (first_line, UNREAD),
        (lambda part: first_line(part) + b"[1]\n", [None, "unreadable"]),
        (
            lambda part: part.replace(b'"regions": [', b'"regions": [1, '),
            UNREAD,
        ),
        (
            lambda part: part.replace(b'"status": "ok"', b'"status": "x"'),
            UNREAD,
        ),
    ],
)
@pytest.mark.parametrize("by", ["worker", "janitor", "reader"])
def test_a_results_part_that_cannot_be_read_is_an_error_once(
    stages: Stages, tmp_path: Path, spoil: Spoil, codes: list[str | None], by: str
) -> None:
    client = connect(stages.settings)
    store, job = stages.store, stages.job(tmp_path, shard_size=2)
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    key = keys.part_key(job.job, "results", 0)
    store.put(key, spoil(store.get(key)))
    if by == "reader":
        found = [line["error"] and line["error"]["code"][-10:] for line in results.read(store, job)]
        assert found == codes
        return
    store.delete(keys.success_key(job.job))
    store.put(keys.open_key(job.job), b"")
    client.flushdb()

    if by == "worker":
        assert stages.caption.run(job.job, 0) == "already done"
    else:
        janitor = Janitor(
            store, client, Sender(connect(stages.settings), stages.settings), patience_s=0
        )
        janitor.round()
        janitor.round()

    assert [code and code[-10:] for code, _ in of_shard(stages, job)] == codes
    assert catalogue.find_success(store, job.job) is not None
    before = store.find_tagged(key)
    stages.caption.run(job.job, 0)
    assert store.find_tagged(key) == before


def test_a_wish_that_cannot_be_read_wishes_nothing(
    stages: Stages, store: Store, tmp_path: Path
) -> None:
    job = stages.job(tmp_path, shard_size=2)
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    store.put(keys.retry_key(job.job, 0, keys.new_token()), b"garbage")
    assert stages.caption.run(job.job, 0) == "done"
    assert catalogue.parts(store, job.job, "retry") == set()


def test_one_job_that_is_refused_stops_no_round(
    stages: Stages, client: redis.Redis, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = catalogue.load(stages.store, job.job).model_copy(update={"job": OTHER})
    catalogue.save(stages.store, refused)
    exists = Store.exists

    def denied(store: Store, key: str) -> bool:
        if OTHER in key:
            raise StoreDeniedError(f"refused {key}")
        return exists(store, key)

    monkeypatch.setattr(Store, "exists", denied)
    janitor = Janitor(
        stages.store, client, Sender(connect(stages.settings), stages.settings), patience_s=0
    )
    janitor.round()
    janitor.round()
    assert is_all_queued(client, job)


@pytest.mark.parametrize("lock", ["list", "string"])
def test_a_lock_that_never_ends_is_none(
    stages: Stages, client: redis.Redis, job: Job, lock: str
) -> None:
    if lock == "list":
        client.lpush("regioncap:janitor", "x")
    else:
        client.set("regioncap:janitor", "1")
    janitor = Janitor(
        stages.store, client, Sender(connect(stages.settings), stages.settings), patience_s=0
    )
    for _ in range(3):
        janitor.turn()
        if int(client.ttl("regioncap:janitor")) > 0:
            client.delete("regioncap:janitor")  # its time is over
    assert is_all_queued(client, job)


def test_what_redis_holds_of_other_types_is_removed(
    stages: Stages, client: redis.Redis, job: Job
) -> None:
    ours = [
        "regioncap:janitor:seen", "regioncap:worker:render:h:1", "regioncap:depths:caption",
        "regioncap:later:render",
        "unacked", "unacked_index", "render", "caption.7b",
        *(f"regioncap:{job.job}:{name}"
          for name in ("rendered", "parts", "counts", "attempts:render:0", "waits:render")),
    ]  # fmt: skip
    for key in ours:
        client.pfadd(key, "x") if key_types.type_of(key) != "string" else client.sadd(key, "x")
    client.set("somebody:else", "x")

    Janitor(
        stages.store, client, Sender(connect(stages.settings), stages.settings), patience_s=0
    ).turn()

    kinds = {key: client.type(key) for key in ours}
    assert {kind for key, kind in kinds.items() if kind != key_types.type_of(key)} <= {"none"}
    assert client.exists("somebody:else")


def test_progress_that_is_no_progress_is_made_anew(
    stages: Stages, client: redis.Redis, job: Job
) -> None:
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    base = f"regioncap:{job.job}"
    client.hset(f"{base}:counts", "records", "many")
    client.hset(f"{base}:parts", mapping={"0": "garbage", "x": "{}"})
    client.hset("regioncap:janitor:seen", job.job, "garbage")
    janitor = Janitor(
        stages.store, client, Sender(connect(stages.settings), stages.settings), patience_s=0
    )
    janitor.round()
    janitor.round()
    assert stages.progress(job.job).counts()["records"] == 1
    assert stages.progress(job.job).done() == {0}
    assert (job.job, 1) in read_backlog(client, set()).render

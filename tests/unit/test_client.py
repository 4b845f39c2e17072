"""What `Client` and the commands do to jobs, over a store and a Redis in memory."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from typer.testing import CliRunner

from producer.cli import app
from regioncap import keys
from regioncap.async_client import AsyncClient
from regioncap.client import Client
from regioncap.dataflow import ImageRegionCaptionPipeline
from regioncap.errors import QueueError, StoreDeniedError, UsageError
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.submission import name_of
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate
from tests.support.jobs import job_at, put_job, result

HOSTILE = '<script>alert(1)</script>"&'
GONE = {"code": "image-missing", "message": f"gone {HOSTILE}", "stage": "submit"}
NO_BOX = {"code": "no-usable-box", "message": "outside", "stage": "render"}


class Sent:
    """Notes which shards are sent."""

    def __init__(self) -> None:
        self.shards: list[int] = []

    def render(self, _: Job, shards: list[int]) -> None:
        self.shards += shards


@pytest.fixture
def server() -> s3.S3Server:
    return s3.with_bucket()


@pytest.fixture
def store(server: s3.S3Server) -> Store:
    return s3.store_of(server, Settings())


@pytest.fixture
def client(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """A client of services in memory, as is every client that a command makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Client, "store", store)
    monkeypatch.setattr(Client, "redis", valkey.Client(valkey.Server(Gate().now_s)))
    monkeypatch.setattr(Client, "sender", Sent())
    return Client(Settings())


@pytest.fixture
def job(store: Store) -> Job:
    """A finished job: one record with two captions, one refused at submission, one without box."""
    made = job_at(1, records=3, name="birds", source="birds.jsonl", rejected=1)
    picture = io.BytesIO()
    Image.new("RGB", (800, 400), "red").save(picture, "JPEG")
    store.put(keys.marked_key(made.job, 0), picture.getvalue())
    uri = store.uri(keys.marked_key(made.job, 0))
    lines = [
        result(made, 0, "a finch", HOSTILE, image_with_bbox=uri),
        result(made, 1, error=GONE),
        result(made, 2, None, error=NO_BOX),
    ]
    put_job(store, made, {0: lines})
    return made


@pytest.fixture
def type_(client: Client) -> Callable[..., tuple[int, str, str]]:
    """Types a command; returns its exit code, its data, and what it says."""

    def run(*arguments: str) -> tuple[int, str, str]:
        # As `main` calls it, but for errors, which are raised.
        done = CliRunner().invoke(app, arguments, obj={}, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_reading_takes_the_latest(client: Client, job: Job) -> None:
    assert client.status().job == job.job
    assert [record["line"] for record in client.results("birds")] == [1, 2, 3]
    assert [status.name for status in client.jobs()] == ["birds"]


def test_a_name_that_several_have_is_a_warning_at_the_callers_line(
    client: Client, store: Store, job: Job
) -> None:
    newer = job_at(2, name="birds")
    put_job(store, newer, {})

    with pytest.warns(UserWarning, match="newest of 2") as caught:
        assert client.status("birds").job == newer.job
    assert caught[0].filename == __file__


def test_changing_needs_a_name(client: Client, job: Job) -> None:
    for change in (client.cancel, client.retry, client.verify):
        with pytest.raises(UsageError) as caught:
            change(None)
        assert caught.value.code == "no-job-named"


def by_client(file: Path) -> None:
    Client(Settings()).submit(file)


def by_async_client(file: Path) -> None:
    asyncio.run(AsyncClient(Settings()).submit(file))


def by_pipeline(file: Path) -> None:
    made = ImageRegionCaptionPipeline(
        first_entry_file=str(file), cache_path="cache", output_image_with_bbox_path="boxes.jsonl"
    )
    made._client = Client(Settings())
    made.forward()


@pytest.mark.parametrize("submit", [by_client, by_async_client, by_pipeline])
def test_a_job_that_is_stored_and_not_queued_is_named(
    client: Client,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    submit: Callable[[Path], None],
) -> None:
    away(monkeypatch)

    with pytest.raises(QueueError) as caught:
        submit(input_of(tmp_path))

    (job,) = catalogue.open_ids(store)
    assert caught.value.code == "queue-unavailable"
    assert f"job {job} is safe in the store but not queued: Redis cannot be" in caught.value.message
    assert f"submit --resume {job}" in caught.value.hint


def test_a_job_that_was_there_and_cannot_be_queued_is_named_as_well(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = client.submit(input_of(tmp_path), key="mine")
    away(monkeypatch)
    for go_on in (
        lambda: client.submit(input_of(tmp_path), key="mine"),
        lambda: client.reconcile(client.load(job)),
    ):
        with pytest.raises(QueueError, match=f"job {job} is safe in the store but not queued"):
            go_on()


def test_a_job_that_cannot_be_read_is_not_left_to_workers(
    client: Client, store: Store, server: s3.S3Server
) -> None:
    job = job_at(3, records=2, shard_size=1)
    put_job(store, job, {0: [result(job, 0, "a cat")]}, done=False)
    server.denied.add(f"regioncap/{keys.success_key(job.job)}")

    with pytest.raises(StoreDeniedError):
        client.reconcile(job)


def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has Redis be away from now on."""
    nowhere = connect(Settings(broker_url=SecretStr("redis://127.0.0.1:1")))
    monkeypatch.setattr(Client, "redis", nowhere)
    monkeypatch.setattr(Client, "sender", Sender(nowhere, Settings()))


def input_of(folder: Path) -> Path:
    """An input of one picture."""
    Image.new("RGB", (64, 48), "red").save(folder / "red.png")
    (folder / "in.jsonl").write_text('{"image": "red.png", "bbox": [[1, 2, 30, 40]]}\n')
    return folder / "in.jsonl"


def test_retry_says_what_cannot_help(client: Client, job: Job) -> None:
    with pytest.warns(UserWarning, match="again") as caught:
        again = client.retry("birds")

    said = [str(each.message) for each in caught]
    assert (again.records, again.unread) == (0, 1)
    assert client.sender.shards == []  # type: ignore[attr-defined]
    assert "1 failed record cannot be run again" in said[0]
    assert "1 no-usable-box" in said[1]

    with pytest.warns(UserWarning, match="cannot be run again") as caught:
        assert client.retry("birds", as_given=True).records == 1
    assert len(caught) == 1
    assert client.sender.shards == [0]  # type: ignore[attr-defined]


def test_export_and_view(client: Client, store: Store, job: Job, tmp_path: Path) -> None:
    done = client.export("birds", tmp_path / "birds.jsonl")
    assert (done.records, done.failed, done.of, done.format) == (3, 2, 3, "jsonl")

    other = job_at(2, name="cats", records=1)
    put_job(store, other, {0: [result(other, 0, "a cat")]})
    for each in (job, other):
        put_inputs(store, each)
    page = client.view("birds").path
    assert page.name == f"gallery-{job.job}.html"
    assert client.view("birds", page).records == 3
    with pytest.raises(UsageError, match=f"shows job {job.job}"):
        client.view("cats", page)
    assert client.view("cats", page, replace=True).of == 1


def put_inputs(store: Store, job: Job) -> None:
    lines = [{"index": n, "line": n + 1, "image": f"{n}.jpg"} for n in range(job.records)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    store.put(keys.part_key(job.job, "input", 0), text.encode())


def test_import_edits(client: Client, job: Job, tmp_path: Path) -> None:
    record = next(client.results("birds"))
    record["result_file"] = f"s3://regioncap/jobs/{job.job}/results/part-00000.jsonl"
    record["regions"][0]["caption"] = "a goldfinch"
    (tmp_path / "edited.jsonl").write_text(json.dumps(record) + "\n")

    outcome = client.import_edits("birds", tmp_path / "edited.jsonl", by="me")

    assert (outcome.captions, outcome.records) == (1, 1)
    assert next(client.results("birds"))["regions"][0]["caption"] == "a goldfinch"


def test_a_notebook_shows_results_and_runs_nothing_of_theirs(client: Client, job: Job) -> None:
    results = client.results("birds")
    first = next(results)

    for html in (results._repr_html_(), first._repr_html_()):
        assert "data:image/jpeg;base64," in html
        assert "a finch" in html
        assert "&lt;script&gt;" in html
        assert "<script" not in html
    assert "image-missing" in results._repr_html_()
    assert "birds" in client.jobs()._repr_html_()
    assert "2 failed" in client.status()._repr_html_()
    assert "line 2" in results._repr_html_() or "1.jpg" in results._repr_html_()


def test_a_result_is_a_plain_dict_elsewhere(client: Client, job: Job) -> None:
    first = next(client.results())
    assert json.loads(json.dumps(first)) == first
    assert type(pickle.loads(pickle.dumps(first))) is dict


def test_a_picture_that_is_gone_leaves_the_captions(client: Client, store: Store, job: Job) -> None:
    store.delete(keys.marked_key(job.job, 0))
    assert "a finch" in next(client.results())._repr_html_()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/my.jsonl", "my"),
        (".", Path.cwd().name),
        ("s3://bucket/photos/", "photos"),
        ("s3://bucket/a/b.jsonl", "b"),
        ("hf:owner/cats.v2@main", "cats.v2"),
        ("stdin", "stdin"),
        ("-", ""),
        ("records", ""),
    ],
)
def test_a_job_is_named_after_its_input(source: str, name: str) -> None:
    assert name_of(source, source) == name


def test_commands_say_which_job_they_took(type_: Callable[..., Any], job: Job) -> None:
    code, out, err = type_("status", "--json")
    assert (code, json.loads(out)["job"]) == (0, job.job)
    assert err == f"job {job.job} (birds), the latest\n"

    code, out, err = type_("jobs")
    assert "birds" in out
    assert err == ""


def test_commands_give_advice(type_: Callable[..., Any], job: Job) -> None:
    _, _, err = type_("status", job.job)
    assert "2 lines of birds.jsonl cannot be used" in err
    assert "regioncap retry" not in err

    code, _, err = type_("retry", "birds")
    assert code == 0
    assert "would with the same settings fail again and is left out" in err
    assert "there is nothing to run again" in err
    _, _, err = type_("retry", "birds", "--all")
    assert "1 record runs again" in err

    _, _, err = type_("cancel", "birds")
    assert "the retry is cancelled" in err


def test_cancel_says_that_more_may_get_done(type_: Callable[..., Any], store: Store) -> None:
    two = job_at(3, records=2, shard_size=1, name="cats")
    put_job(store, two, {0: [result(two, 0, "a cat")]}, done=False)
    store.delete(keys.part_key(two.job, "results", 1))
    Progress(Client.redis, two.job).note_rendered(1)  # type: ignore[arg-type]

    _, _, err = type_("cancel", "cats")

    assert "cancelled with 1 of 2 records done" in err, "Redis has lost what the store knows"
    assert "shards that workers have in hand may still finish" in err


def test_counts_agree_in_words(type_: Callable[..., Any], job: Job) -> None:
    _, out, _ = type_("audit")
    assert out.startswith("2 regions asked about in 3 records, 2 failed; ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, err = type_("export", "-o", "x.jsonl")
    assert "3 of 3 records, 2 failed" in err
    assert "written: x.jsonl" in err


def test_jobs_says_that_there_are_more(type_: Callable[..., Any], store: Store, job: Job) -> None:
    _, out, err = type_("jobs", "--limit", "1")
    assert err == ""
    put_job(store, job_at(2, name="cats"), {})

    _, out, err = type_("jobs", "--limit", "1")

    assert ("cats" in out, "birds" in out) == (True, False)
    assert "there are older ones: regioncap jobs --limit 10" in err


def test_a_dash_is_stdout(type_: Callable[..., Any], job: Job, tmp_path: Path) -> None:
    for command in ("results", "export"):
        _, out, err = type_(command, "-o", "-")
        assert [json.loads(line)["index"] for line in out.splitlines()] == [0, 1, 2]
        assert "written" not in err
    with pytest.raises(UsageError, match="sidecars is a folder of files"):
        type_("export", "-o", "-", "-f", "sidecars")
    assert list(tmp_path.iterdir()) == []


def test_results_say_where_they_are(type_: Callable[..., Any], job: Job) -> None:
    code, out, err = type_("results", "-o", "out.jsonl")
    assert (code, out) == (0, "")
    assert err.endswith("written: out.jsonl\n")


def test_audit_says_what_it_saw(type_: Callable[..., Any], job: Job) -> None:
    _, out, _ = type_("audit")
    assert "region 1, of 2 words  a finch" in out


def test_resuming_is_never_tried(type_: Callable[..., Any], client: Client, job: Job) -> None:
    code, _, err = type_("submit", "--resume", job.job, "--dry-run")
    assert (code, "--dry-run" in err, "goes with a FILE" in err) == (2, True, True)


def test_gc_says_what_it_needs_and_what_it_leaves(type_: Callable[..., Any], job: Job) -> None:
    assert "Give either JOB or --older-than." in type_("gc", "--help")[1]
    assert "the pictures that were submitted are not among it" in type_("gc", job.job)[2]

"""What is shown fits a terminal of 80 columns, whatever names people give."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from producer.board import Board
from producer.commands import status, top
from producer.fleet import Fleet, Held, JobView, QueueView, WorkerView, find_twice
from regioncap.job import Job
from regioncap.jobs.status import JobStatus, Waiting
from regioncap.settings import JobSettings

JOB = "20261124-192418-6yylv2"
NAME = "photographs of all the birds of the second expedition"
NOW = datetime.now(UTC)


@pytest.fixture
def large() -> JobStatus:
    return JobStatus(
        job=JOB, name=NAME, state="running", created=NOW, records=12_345_678, done=2_345_678,
        failed=1_234, shards=385_803, shards_rendered=80_000, regions=9_999_999,
        regions_ok=9_876_543, prompt_tokens=10**10,
    )  # fmt: skip


def drawn(renderable: object, width: int) -> str:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("ago", [timedelta(), timedelta(minutes=18), timedelta(days=400)])
def test_status(
    large: JobStatus,
    ago: timedelta,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("producer.tables.on_terminal", lambda: True)

    status.show_jobs([large.model_copy(update={"created": datetime.now(UTC) - ago})])
    head, *lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith(JOB)
    assert "12,345,678  18%" in lines[0]
    name = "".join(line[head.index("NAME") :] for line in lines)
    assert "".join(name.split()) == NAME.replace(" ", "")  # wrapped, not cut
    assert max(map(len, lines)) <= 80


def test_why_a_job_waits(large: JobStatus, capsys: pytest.CaptureFixture[str]) -> None:
    why = "the S3 store at 10.0.0.1:9000 refused 'sources/locked.png': AccessDenied"
    large.waits = [
        Waiting(stage="render", code="store-refused", reason=why, waited_s=40.2, again_in_s=3.0)
    ]

    assert f"render waits: {why}, for 40 s" in status.summary_line(large)
    board = Board(Job(job=JOB, created=NOW, records=9, shards=1, settings=JobSettings()))
    board.see(0.0, large, None)
    assert f"waits {why}, for 40 s" in " ".join(drawn(board.view(), 160).split())
    assert json.loads(large.model_dump_json())["waits"][0]["reason"] == why


@pytest.mark.parametrize("width", [80, 120])
def test_top(large: JobStatus, width: int) -> None:
    worker = WorkerView(
        kind="caption", host="regioncap-caption-7d9f8b6c5d-x2x4z", pid=7, queue="caption.7b",
        up_s=100_000, engine="baseline", room=4, per_s={"shards": 0.22},
        in_hand=[{"job": JOB, "shard": 80_123, "seconds": 12.0}] * 3,
    )  # fmt: skip
    why = "the S3 store at 10.0.0.1:9000 refused 'sources/locked.png': AccessDenied"
    large.waits = [
        Waiting(stage="render", code="store-refused", reason=why, waited_s=40.2, again_in_s=3.0)
    ]
    fleet = Fleet(
        at=0,
        workers=[worker],
        queues=[QueueView(name="caption.7b", queued=10**6, unacked=4, oldest_s=9_999, workers=1)],
        jobs=[JobView(status=large, per_s=1234.5, eta_s=100_000)],
    )

    shown = drawn(top.board(fleet, width), width)

    assert f"{JOB} render waits: {why}, for 40 s" in " ".join(shown.split())
    assert JOB in shown
    assert "regioncap-caption-7d9f" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_top_tells_which_shards_two_workers_have() -> None:
    def worker(pid: int, kind: str, *shards: int) -> WorkerView:
        held = [Held(job=JOB, shard=shard, seconds=80) for shard in shards]
        return WorkerView(kind=kind, host="h", pid=pid, queue=kind, up_s=1, in_hand=held)

    workers = [worker(1, "caption", 3, 4), worker(2, "caption", 4), worker(3, "render", 3)]
    find_twice(workers)
    fleet = Fleet(at=0, workers=workers, queues=[], jobs=[])

    shown = drawn(top.board(fleet, 160), 160)

    assert shown.count(f"{JOB}/4 1 min 20 s, twice") == shown.count("twice") == 2


def test_watch(large: JobStatus) -> None:
    settings = JobSettings()
    job = Job(job=JOB, created=NOW, records=large.records, shards=large.shards, settings=settings)
    board = Board(job)
    for at_s in range(0, 40, 10):
        board.see(at_s, large.model_copy(update={"done": 1000 * at_s}), None)

    shown = drawn(board.view(), 80)

    assert f"{JOB}  running" in shown
    assert "30,000 done · 1,234 failed" in shown
    assert "left" in shown
    assert max(map(len, shown.splitlines())) <= 80

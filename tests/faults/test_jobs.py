"""Jobs under odd circumstances: doubled, cancelled, retried, and clocks that differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.jobs import catalogue, retry
from regioncap.jobs.cancel import cancel
from regioncap.services.progress import Progress
from tests.support.rig import Rig, wait_until, write_input


@pytest.mark.more
def test_two_producers_of_one_job(
    rig: Rig, input_file: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "new_job_id", lambda: "20261124-000000-aaaaaa")
    rig.start("render")
    rig.start("caption")
    first = rig.submit(input_file)
    second = rig.submit(input_file)
    assert first.job == second.job
    rig.check(first, expected)
    wait_until(lambda: not any(rig.redis.llen(queue) for queue in ("render", "caption")))
    wait_until(lambda: not rig.redis.hlen("unacked"))
    rig.check(first, expected)


@pytest.mark.more
def test_clocks_two_minutes_apart(rig: Rig, input_file: Path, expected: bytes) -> None:
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed")
    starts = rig.folder / "starts"
    hurt = {"HURT_STARTS": str(starts), "HURT_SLEEP_S": "0.2"}
    # Far longer than a busy machine holds up a renewal, far shorter than the clocks are apart.
    rig.extra = {"visibility_timeout_s": "30"}
    for offset in ("-120", "+120"):
        fake = {
            "LD_PRELOAD": str(found[0]), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        rig.start_ready("render", "tests.support.hurt_render", **hurt, **fake)
        rig.start("caption", **fake)
    rig.check(rig.submit(input_file), expected)
    # Nobody took another's shard: no record was begun twice.
    begun = starts.read_text().split()
    assert len(begun) == len(set(begun)), _said(rig)


@pytest.mark.more
def test_shard_longer_than_the_visibility_timeout_runs_once(rig: Rig, tmp_path: Path) -> None:
    starts = rig.folder / "starts"
    hurt = {"HURT_STARTS": str(starts), "HURT_SLEEP_S": "4"}
    for _ in range(2):
        rig.start("render", "tests.support.hurt_render", **hurt)
    rig.start("caption")
    rig.check(rig.submit(write_input(tmp_path / "in", 4)))  # one shard, 16 s
    begun = starts.read_text().split()
    assert begun == ["0", "1", "2", "3"]


def test_cancel_takes_running_requests_out(rig: Rig, input_file: Path) -> None:
    starts = rig.folder / "starts"
    hurt = {"HURT_STARTS": str(starts), "HURT_SLEEP_S": "600"}
    rig.start("render")
    caption = rig.start("caption", "tests.support.hurt_caption", **hurt)
    job = rig.submit(input_file)
    wait_until(starts.exists)
    assert cancel(rig.store, Progress(rig.redis, job.job), job) == "cancelled"
    wait_until(lambda: "-" in starts.read_text(), worker=caption)
    wait_until(lambda: not rig.redis.hlen("unacked") and not rig.redis.llen("caption"))
    assert rig.done(job) == 0
    assert not rig.store.exists(keys.open_key(job.job))
    assert catalogue.find_success(rig.store, job.job) is None


def test_retry_runs_failed_records_and_nothing_else(
    rig: Rig, tmp_path: Path, expected: bytes
) -> None:
    file = write_input(tmp_path / "in", 24)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    bucket = rig.settings.s3_bucket
    for index in (0, 9):  # objects that appear only later
        lines[index]["image"] = f"s3://{bucket}/late-{index}.png"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for index in (0, 9):
        rig.store.delete(f"late-{index}.png")
    starts = rig.folder / "starts"
    starts.touch()
    rig.start("render")
    rig.start("caption", "tests.support.hurt_caption", HURT_STARTS=str(starts))
    job = rig.submit(file)
    before = rig.check(job)
    failed = {record["index"] for record in before if record["error"]}
    assert failed == {0, 5, 7, 9, 16, 20}
    for index in (0, 9):
        rig.store.put(f"late-{index}.png", (tmp_path / "in" / f"{index:03d}.png").read_bytes())
    starts.write_text("")
    progress = Progress(rig.redis, job.job)
    again = retry.begin(rig.store, progress, job)
    # 5 and 16 were never uploaded; 7 and 20 would fail once more.
    assert {index for shard in again.values() for index in shard.indices} == {0, 9}
    rig.sender().render(job, sorted(again))
    after = rig.check(job)
    assert sorted(starts.read_text().split()) == ["0", "9"]
    assert {r["index"] for r in after if r["error"]} == {5, 7, 16, 20}
    assert [r for r in after if r["index"] not in (0, 9)] == [
        r for r in before if r["index"] not in (0, 9)
    ]
    assert not list(rig.store.list_keys(keys.prefix(job.job, "retry")))


@pytest.mark.more
def test_retry_survives_kills(rig: Rig, input_file: Path, expected: bytes) -> None:
    rig.start("render")
    caption = rig.start("caption")
    job = rig.submit(input_file)
    rig.check(job, expected)
    caption.end()
    again = retry.begin(rig.store, Progress(rig.redis, job.job), job, as_given=True)
    assert again
    assert catalogue.find_success(rig.store, job.job) is None
    # The producer dies here: nothing is queued, and what Redis knew is gone as well.
    rig.redis.flushall()
    rig.start("janitor")
    for _ in range(2):
        caption = rig.start_ready("caption")
        caption.kill()
    rig.start("caption")
    rig.check(job, expected)


def _said(rig: Rig) -> str:
    """What the workers logged of more than everyday things."""
    lines = [line for worker in rig.workers for line in worker.log.read_text().splitlines()]
    return "\n".join(line for line in lines if '"level": "info"' not in line)

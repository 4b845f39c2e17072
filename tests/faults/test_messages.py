"""Workers whose queues hold what producers may put there: they live, and honest jobs go on."""

from __future__ import annotations

import base64
import gzip
import json
import time
from pathlib import Path

import psutil

from regioncap import keys
from regioncap.job import Job
from regioncap.services import messages
from regioncap.services.messages import RENDER, RENDER_TASK, Message
from tests.support.hostile_messages import HOSTILE, made, naming, text_of
from tests.support.rig import Rig, wait_until, write_input


def _for_jobs(rig: Rig, job: Job) -> list[str]:
    """Messages of the right form, for what is not there or cannot be."""
    broken = keys.new_job_id()
    rig.store.put(keys.job_key(broken), b'{"job": "x"}')
    named = [(keys.new_job_id(), 0), (broken, 0), (job.job, 999_999), (job.job, job.shards)]
    made = (messages.dump(Message(RENDER_TASK, *each), RENDER, "same") for each in named)
    return [json.dumps(message) for message in made]


def _unwanted(rig: Rig) -> list[str]:
    """Keys that a producer may want there, or that would stay of what was dropped."""
    words = ("victim", "attempts", "binding")
    return [key for key in rig.redis.scan_iter("*") if any(word in key for word in words)]


def test_they_are_dropped_and_cost_no_worker_its_life(rig: Rig, tmp_path: Path) -> None:
    workers = [rig.start_ready("render"), rig.start_ready("caption")]
    pids = [worker.pid for worker in workers]
    job = rig.submit(write_input(tmp_path / "in", 8), queue=False)
    packed = base64.b64encode(gzip.compress(b" " * 500_000_000, 1)).decode()
    bomb = json.dumps(made(headers={"task": RENDER_TASK, "id": "x", "compression": "gzip"},
                           body=packed))  # fmt: skip
    hostile = [bomb, *map(text_of, HOSTILE.values()), *_for_jobs(rig, job)]
    hostile += [text_of(naming("../x"))] * 50
    rig.redis.set("caption", "no list")
    rig.redis.lpush(RENDER, *hostile)
    before_bytes = int(rig.redis.info("memory")["used_memory"])

    started = time.monotonic()
    rig.queue(job)
    rig.check(job)

    print(f"an honest job of 8 records behind {len(hostile)} others: "
          f"{time.monotonic() - started:.1f} s")  # fmt: skip
    assert [worker.pid for worker in workers] == pids
    assert all(worker.process.poll() is None for worker in workers)
    assert psutil.Process(pids[0]).memory_info().rss < 400_000_000
    assert int(rig.redis.info("memory")["used_memory"]) < before_bytes + 5_000_000
    wait_until(lambda: not _unwanted(rig))
    wait_until(lambda: rig.logs().count("being no message") == len(HOSTILE) + 1 + 50)
    assert "Traceback" not in rig.logs()

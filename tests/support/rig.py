"""A whole system of real processes that can be hurt, and the check that it did not matter."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from PIL import Image, ImageDraw

from regioncap import keys
from regioncap.inputs.lines import read_lines
from regioncap.job import Job
from regioncap.jobs.submit import submit
from regioncap.local import LocalStack
from regioncap.records import Stage
from regioncap.services.attempts import Attempts
from regioncap.services.backlog import read_backlog
from regioncap.services.broker import connect
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.support import forked
from tests.support.success import load_success

ROOT = Path(__file__).resolve().parents[2]
#: The shortest that is allowed: recovery is to be waited for.
VISIBILITY_TIMEOUT_S = 5
GRACE_S = 2
_COMMON = ["--without-gossip", "--without-mingle", "--loglevel=INFO"]


@dataclass
class Worker:
    """A worker's process, in a session of its own."""

    kind: str
    #: What `Rig.start` was told besides.
    module: str
    changed: dict[str, str]
    process: subprocess.Popen[bytes] | forked.Started
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[psutil.Process]:
        """The pool's processes."""
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self.pid).children())
        return []

    def kill(self) -> None:
        """SIGKILL to the process alone, as a crash of it would."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def go_on(self) -> None:
        """Lets all of it run that `Rig.freeze_at_work` has stopped."""
        os.killpg(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Ends it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Rig:
    """The stack, workers that a test starts, and jobs.

    Args:
        stack: Real servers.
        folder: For inputs and logs.
    """

    stack: LocalStack
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    #: Of the workers that `keep` started again.
    exit_codes: list[int] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _keepers: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = self.make_settings()
        self.store = Store(self.settings)
        self.redis = connect(self.settings)

    def make_settings(self, **changed: Any) -> Settings:
        return Settings(**{
            **self.stack.settings(), "visibility_timeout_s": VISIBILITY_TIMEOUT_S,
            "grace_s": GRACE_S, "shard_size": 4, "concurrency": 2, **self.extra, **changed,
        })  # fmt: skip

    def use_broker(self, url: str) -> None:
        """Takes another Redis than the stack's."""
        self.extra["broker_url"] = url
        self.settings = self.make_settings()
        self.redis = connect(self.settings)

    def environment(self, **changed: str) -> dict[str, str]:
        """The whole environment of a worker; names of settings in lower case."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
        own = {
            **self.stack.settings(), "visibility_timeout_s": str(VISIBILITY_TIMEOUT_S),
            "grace_s": str(GRACE_S), "concurrency": "2", **self.extra,
        }  # fmt: skip
        own |= {k: v for k, v in changed.items() if k.islower()}
        given = {k: v for k, v in changed.items() if not k.islower()}
        named = {f"REGIONCAP_{k.upper()}": v for k, v in own.items()}
        path = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")]))
        return inherited | named | given | {"PYTHONPATH": path}

    def start(self, kind: str, module: str = "", **changed: str) -> Worker:
        """Starts a worker and returns before it is ready."""
        if kind == "janitor":
            program, arguments = "producer", ["worker", "janitor"]
        else:
            queue = ["-Q", "caption", "-P", "threads"] if kind == "caption" else ["-Q", "render"]
            program, arguments = "celery", [
                "-A", module or f"workers.{kind}", "worker", *queue,
                "-n", f"{kind}-{len(self.workers)}@%h", *_COMMON,
            ]  # fmt: skip
        log = self.folder / f"{kind}-{len(self.workers)}.log"
        process = _start(
            program, arguments, env=self.environment(**changed), cwd=self.folder, log=log
        )
        self.workers.append(Worker(kind, module, changed, process, log))
        return self.workers[-1]

    def keep(self, *workers: Worker) -> None:
        """Starts workers again when they end, as a supervisor does, until the rig stops."""

        def watch(worker: Worker) -> None:
            while not self._stopped.wait(0.2):
                if worker.process.poll() is not None:
                    worker.end()
                    self.exit_codes.append(worker.process.wait())
                    worker = self.start(worker.kind, worker.module, **worker.changed)

        for worker in workers:
            thread = threading.Thread(target=watch, args=(worker,), daemon=True)
            thread.start()
            self._keepers.append(thread)

    def start_ready(self, kind: str, module: str = "", **changed: str) -> Worker:
        """Starts a worker and waits until it takes work."""
        worker = self.start(kind, module, **changed)
        wait_until(lambda: b" ready." in worker.log.read_bytes(), worker=worker)
        return worker

    def submit(
        self, file: Path, *, queue: bool = True, store: Store | None = None, **changed: Any
    ) -> Job:
        """Submits a file as the command does."""
        settings = self.make_settings(**changed)
        with file.open("rb") as lines:
            job, _ = submit(
                read_lines(lines), store=store or self.store, settings=settings, root=file.parent
            )
        if queue:
            self.queue(job)
        return job

    def queue(self, job: Job) -> None:
        """Sends a job's shards to the render stage."""
        self.sender().render(job, range(job.shards))

    def sender(self) -> Sender:
        return Sender(self.redis, self.settings)

    def done(self, job: Job) -> int:
        """How many results parts there are."""
        return sum(1 for _ in self.store.list_keys(keys.prefix(job.job, "results")))

    def left(self, job: Job, stage: Stage) -> set[int]:
        """The shards that are with a worker of a stage, or come to one by themselves."""
        return read_backlog(self.redis, {"caption"}, [job.job]).shards(job.job, stage)

    def starts(self, job: Job, stage: Stage) -> Counter[int]:
        """By shard, how many starts have come to no end: those in hand, and those that died."""
        counts = {
            shard: Attempts(self.redis, job.job, stage, shard).deaths()
            for shard in range(job.shards)
        }
        return +Counter(counts)

    def freeze_at_work(
        self, worker: Worker, job: Job, stage: Stage, died: Counter[int]
    ) -> Counter[int]:
        """Stops a worker, children and all, at a moment when it has shards in hand.

        Args:
            worker: The only one of its stage.
            job: Whose shards it has.
            stage: What it does.
            died: The starts that had died before.

        Returns:
            The starts as they are while it is stopped.
        """
        found: Counter[int] = Counter()

        def is_caught() -> bool:
            os.killpg(worker.pid, signal.SIGSTOP)
            found.update(self.starts(job, stage) - found)
            if found - died:
                return True
            found.clear()
            os.killpg(worker.pid, signal.SIGCONT)
            return False

        wait_until(is_caught, worker=worker)
        return found

    def wait_for_parts(self, job: Job, count: int = 1) -> None:
        wait_until(lambda: self.done(job) >= count)

    def wait_finished(self, job: Job, timeout_s: float = 400.0) -> None:
        wait_until(lambda: self.store.exists(keys.success_key(job.job)), timeout_s)

    def results(self, job: Job) -> bytes:
        """All results, with the job's id taken out."""
        part_keys = [keys.part_key(job.job, "results", shard) for shard in range(job.shards)]
        return b"".join(map(self.store.get, part_keys)).replace(job.job.encode(), b"JOB")

    def check(self, job: Job, expected: bytes | None = None) -> list[dict[str, Any]]:
        """Waits for a job's end and checks that nothing is lost, doubled or out of order."""
        self.wait_finished(job)
        text = self.results(job)
        records = [json.loads(line) for line in text.splitlines()]
        assert [record["index"] for record in records] == list(range(job.records))
        self._check_success(job)
        if expected is not None:
            assert text == expected
        return records

    def _check_success(self, job: Job) -> None:
        success, parts = load_success(self.store.get(keys.success_key(job.job)))
        assert success.counts["records"] == job.records
        assert len(parts) == job.shards
        for part in parts:
            assert hashlib.sha256(self.store.get(part["key"])).hexdigest() == part["sha256"]
        wait_until(lambda: not self.store.exists(keys.open_key(job.job)))  # goes after _SUCCESS

    def stop(self) -> None:
        self._stopped.set()
        for keeper in self._keepers:
            keeper.join()
        for worker in self.workers:
            worker.end()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


def _start(
    program: str, arguments: list[str], *, env: dict[str, str], cwd: Path, log: Path
) -> subprocess.Popen[bytes] | forked.Started:
    if forked.is_fit(env):
        return forked.start(program, arguments, env=env, cwd=cwd, log=log)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", program, *arguments],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def wait_until(
    condition: Callable[[], bool], timeout_s: float = 300.0, worker: Worker | None = None
) -> None:
    """Waits; the limit is only there to end a test that hangs."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if worker is not None:
            assert worker.process.poll() is None, worker.log.read_text()
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def write_input(folder: Path, records: int, seed: int = 1) -> Path:
    """An input with small pictures of its own, and some lines that cannot be captioned."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    file = folder / "input.jsonl"
    lines = [json.dumps(line) for line in _lines(folder, records, draw)]
    file.write_text("\n".join(lines) + "\n")
    return file


def _lines(folder: Path, records: int, draw: random.Random) -> Iterator[dict[str, Any]]:
    for index in range(records):
        name = f"{index % 24:03d}.png"
        if index < 24:
            _picture(draw).save(folder / name)
        box = [draw.randrange(40), draw.randrange(30), draw.randrange(8, 50), draw.randrange(8, 30)]
        line = {"image": name, "bbox": [box], "id": f"r{index}", "nth": index}
        if index % 11 == 5:
            line["image"] = "gone.png"
        if index % 13 == 7:
            line["bbox"] = [[500, 500, 10, 10]]
        yield line


def _picture(draw: random.Random) -> Image.Image:
    def colour() -> tuple[int, ...]:
        return tuple(draw.randrange(256) for _ in range(3))

    image = Image.new("RGB", (96, 64), colour())
    for _ in range(4):
        x, y = draw.randrange(80), draw.randrange(50)
        ImageDraw.Draw(image).rectangle((x, y, x + 20, y + 15), fill=colour())
    return image

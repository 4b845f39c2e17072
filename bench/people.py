"""People who submit jobs and change them, by commands that are killed like everything else."""

from __future__ import annotations

import collections
import json
import random
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regioncap import keys
from regioncap.errors import ServiceError
from regioncap.jobs import catalogue
from tests.support.rig import ROOT, Rig

#: What a person does to a job that has ended, one after the other.
PLANS = (
    ("edit",), ("retry", "edit"), ("edit", "retry"), ("edit", "flagged", "edit"),
    ("flagged", "cancel"), ("cancel",),
)  # fmt: skip
_SERVICE_AWAY = 4
_COMMANDS = {"edit": ["import-edits"], "flagged": ["retry", "--flagged"]}
_NAMES = {"submit", "import-edits", "retry", "--flagged", "cancel"}
_PAUSE_S = 0.5


@dataclass
class People:
    """Some persons, each with jobs of their own, until they are told to go.

    Args:
        rig: Where the jobs run.
        file: What each of them submits.
        chance: Chooses what they do.
    """

    rig: Rig
    file: Path
    chance: random.Random
    #: How commands ended: those that did what they were told by their names.
    done: collections.Counter[str] = field(default_factory=collections.Counter)
    #: Words of people that were accepted: by job.
    words: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    _failures: list[BaseException] = field(default_factory=list)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)
    _gone: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def come(self, count: int) -> None:
        """Begins."""
        for nth in range(count):
            chance = random.Random(self.chance.random())
            thread = threading.Thread(target=self._kept, args=(chance, nth), daemon=True)
            thread.start()
            self._threads.append(thread)

    def go(self) -> None:
        """Lets all finish what they are at."""
        self._gone.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def kill_command(self) -> None:
        """Kills a command that runs, if there is one."""
        running = [process for process in self._running if process.poll() is None]
        if running:
            self.chance.choice(running).kill()

    def check(self, expected: bytes) -> int:
        """Checks every job in the store, also of commands that were killed; returns how many.

        Args:
            expected: The results of the file, undisturbed and unchanged.
        """
        undisturbed = [json.loads(line) for line in expected.splitlines()]
        checked = 0
        for folder in list(self.rig.store.list_keys(keys.JOBS, recursive=False)):
            job_id = folder.removeprefix(keys.JOBS).rstrip("/")
            if not self.rig.store.exists(keys.job_key(job_id)):
                continue  # a submission that was killed before there was a job
            job = catalogue.load(self.rig.store, job_id)
            if job.records != len(undisturbed):
                continue
            checked += 1
            if self.rig.store.exists(keys.cancelled_key(job_id)):
                continue
            for line, before in zip(self.rig.check(job), undisturbed, strict=True):
                same = json.loads(json.dumps(line).replace(job_id, "JOB")) == before
                assert same or line["edited"], f"{job_id}: record {line['index']} differs"
            kept = b"".join(
                self.rig.store.get(key)
                for key in self.rig.store.list_keys(keys.prefix(job_id))
                if "/results/" in key or "/versions/" in key
            )
            for words in self.words[job_id]:
                assert words.encode() in kept, f"{job_id}: {words!r} is gone"
        return checked

    def _kept(self, chance: random.Random, nth: int) -> None:
        try:
            self._live(chance, nth)
        except BaseException as error:
            self._failures.append(error)

    def _live(self, chance: random.Random, nth: int) -> None:
        number = 0
        while not self._gone.is_set():
            job_id, plan = self._say("submit", str(self.file)).strip(), chance.choice(PLANS)
            for name in plan:
                if name != "cancel":
                    self._wait_for_end(job_id)
                number += 1
                self._change(name, job_id, f"person {nth} says {number}", chance)
            self._wait_for_end(job_id)

    def _change(self, name: str, job_id: str, words: str, chance: random.Random) -> None:
        command = _COMMANDS.get(name, [name])
        if name != "edit":
            self._say(*command, job_id)
            return
        line = self._some_line(job_id, chance)
        line["regions"][0]["caption"] = words
        file = self.rig.folder / f"{words}.jsonl"
        file.write_text(json.dumps(line) + "\n")
        self._say(*command, job_id, str(file))
        self.words[job_id].append(words)

    def _some_line(self, job_id: str, chance: random.Random) -> dict[str, Any]:
        while True:
            with suppress(ServiceError):
                job = catalogue.load(self.rig.store, job_id)
                key = keys.part_key(job_id, "results", chance.randrange(job.shards))
                lines = [json.loads(line) for line in self.rig.store.get(key).splitlines()]
                if well := [each for each in lines if each["error"] is None and each["regions"]]:
                    return dict(chance.choice(well))
            self._gone.wait(_PAUSE_S)

    def _wait_for_end(self, job_id: str) -> None:
        ends = keys.success_key(job_id), keys.cancelled_key(job_id)
        while True:
            with suppress(ServiceError):
                if any(map(self.rig.store.exists, ends)):
                    return
            threading.Event().wait(_PAUSE_S)

    def _say(self, *command: str) -> str:
        """Says a command until it comes to its end; returns what it tells."""
        for _ in range(100):
            process = subprocess.Popen(
                [sys.executable, "-m", "producer", *command],
                cwd=ROOT,
                env=self.rig.environment(shard_size=str(self.rig.settings.shard_size)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._running.append(process)
            told, complaint = process.communicate()
            self._running.remove(process)
            if process.returncode < 0:
                self.done["killed"] += 1
            elif process.returncode == 0:
                self.done[" ".join(word for word in command[:2] if word in _NAMES)] += 1
                return told
            elif process.returncode == _SERVICE_AWAY:
                self.done["told that a service is away"] += 1
            elif "is not finished" in complaint:  # a retry has opened it again
                self.done["told that it is not finished"] += 1
            else:
                raise AssertionError(f"{command}: {process.returncode}: {complaint}")
            threading.Event().wait(_PAUSE_S)
        raise AssertionError(f"{command} never came to its end")

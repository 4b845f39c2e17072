"""One simulated life of a system: jobs, people who change them, and what goes wrong meanwhile.

All is drawn from a seed. At the end nothing goes wrong any more, and the system is given time; then
everything that is promised must be true.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import redis

from regioncap import keys
from regioncap.errors import RegionCapError, ServiceError
from regioncap.job import Job
from regioncap.jobs import catalogue, retry
from regioncap.jobs.cancel import cancel
from regioncap.jobs.garbage import Search
from regioncap.jobs.submit import submit
from regioncap.outputs import versions
from regioncap.outputs.edits import Edit
from regioncap.services.progress import Progress
from tests.simulation import s3
from tests.simulation.broker import DirectSender
from tests.simulation.faults import Fault
from tests.simulation.gate import Gate
from tests.simulation.threads import Event
from tests.simulation.trouble import Trouble
from tests.simulation.world import T_S, TURNS, Keeper, World, records

#: Until then the last fault is ready to meet a request.
TROUBLE_S = T_S
#: Longest time in which people get done what they want.
LIFE_S = 80 * T_S
#: Time to come to rest in, afterwards.
REST_S = 60 * T_S
#: How long nothing may be left to do until that counts as rest: a message may be in the hands of a
#: worker that has not noted it yet, and what a death left there is the janitor's to find.
STILL_S = 2 * T_S
#: Time between two looks at whether there is anything to do.
LOOK_S = 2.0
#: Faults by which it is forgotten, or cannot be known, who does a shard.
LOSES_CLAIMS = {"paused", "Redis flushed", "last second lost"}
#: Jobs that ended so long ago are removed by who cleans up.
OLDEST_S = T_S
#: How often a person looks at a job of whose end nobody tells.
_PATROL_S = 30.0


class BrokenPromiseError(AssertionError):
    """Something that is promised is not true."""


@dataclass
class Person:
    """Who submits a job and changes it."""

    scenario: Scenario
    first: int
    count: int
    commands: list[str]
    #: Whether this one says a command again whose process died.
    insists: bool
    #: Whose job it is, if not this person's own.
    other: Person | None = None
    job: Job | None = None
    #: Words given to a record that were accepted: (index, caption).
    words: list[tuple[int, str]] = field(default_factory=list)
    #: Records of all edits, also of those whose process died, perhaps in the middle.
    tried: list[int] = field(default_factory=list)
    cancelled: bool = False
    #: Whether there is a record that no engine gets over.
    has_poison: bool = False
    #: Whether this one has the version before, which sends all shards at once.
    sends_directly: bool = False

    def live(self) -> None:
        """All commands, one after the other."""
        world = self.scenario.world
        if self.other is None:
            self._say("submit", self._submit)
        else:
            while (job := self.other.job) is None:
                world.schedule.wait(1.0)
            self.job = job
        assert self.job is not None
        for command in self.commands:
            if command == "cancel":
                world.schedule.wait(world.random.random() * 3)
            else:
                self._await_end()
            self._say(command, getattr(self, f"_{command}"))

    def _await_end(self) -> None:
        scenario = self.scenario
        while not scenario.has_ended(self._job()) and scenario.is_there(self._job()):
            scenario.end_comes.clear()
            scenario.end_comes.wait(_PATROL_S)
        # At once, while workers are about their last requests, or a little later.
        scenario.world.schedule.wait(scenario.random.random() ** 3 * 5)

    def _say(self, name: str, command: Callable[[], object]) -> None:
        """Runs a command in a process of its own; again, if it was in vain, or dies."""
        world = self.scenario.world
        for _ in range(5):
            said: list[str] = []
            process = world.schedule.process(world.name(f"{name}-"))
            world.schedule.start(process, partial(self._run, command, said))
            while process.alive and not said:
                world.schedule.wait(0.5)
            world.tell(f"{process.name}: {said[0] if said else 'died'}")
            if said and said[0] != "again":
                return
            if not said and not self.insists and name != "submit":
                return
            world.schedule.wait(world.random.random() * 10)

    def _run(self, command: Callable[[], object], said: list[str]) -> None:
        try:
            said.append(f"done {command()}")
        except ServiceError:
            said.append("again")
        except RegionCapError as error:
            said.append(f"refused: {error}")
        except redis.RedisError:
            said.append("again")

    def _submit(self) -> str:
        world = self.scenario.world
        if self.job is None:
            job, _ = submit(
                records(self.first, self.count),
                store=world.store(),
                settings=world.settings,
                root=Path(),
                runtime=world.runtime,
            )
            self.job = job
            if self.has_poison:
                world.poison.add(f"{job.job}-{self.count // 2}")
        self._send(world.redis_client(), self.job, range(self.job.shards))
        return self.job.job

    def _send(self, client: redis.Redis, job: Job, shards: Collection[int]) -> None:
        world = self.scenario.world
        if self.sends_directly:
            DirectSender(client, partial(world.name, "tag")).render(job, shards)
        else:
            world.sender(client).render(job, shards)

    def _retry(self) -> str:
        world, job = self.scenario.world, self._loaded()
        client = world.redis_client()
        again = retry.begin(
            world.store(), Progress(client, job.job), job, as_given=True, runtime=world.runtime
        )
        self._send(client, job, sorted(again))
        return f"{sorted(again)}"

    def _flagged(self) -> str:
        world, job = self.scenario.world, self._loaded()
        client = world.redis_client()
        chosen = {world.random.randrange(job.records) for _ in range(2)}
        again = retry.begin(
            world.store(),
            Progress(client, job.job),
            job,
            chosen,
            as_given=True,
            runtime=world.runtime,
        )
        self._send(client, job, sorted(again))
        return f"{sorted(again)}"

    def _edit(self) -> str:
        world, job = self.scenario.world, self._loaded()
        index = world.random.randrange(job.records)
        words = f"a person's words {world.name('w')}"
        self.tried.append(index)
        edits = {index: Edit({1: words}, by="a person")}
        done = versions.apply_edits(
            world.store(), self._progress(), job, edits, runtime=world.runtime
        )
        if done.captions:
            self.words.append((index, words))
        return f"{index}: {words} {done}"

    def _cancel(self) -> str:
        world = self.scenario.world
        before, self.cancelled = self.cancelled, True  # whatever becomes of this process
        done = cancel(world.store(), self._progress(), self._loaded(), runtime=world.runtime)
        self.cancelled = before or done == "cancelled"
        return done

    def _gc(self) -> str:
        world = self.scenario.world
        self.scenario.is_cleaned = True
        age = timedelta(seconds=world.random.random() * OLDEST_S)
        search = Search(world.store(), world.runtime.now(), age)
        return str([(rubbish.name, rubbish.remove()) for rubbish in search.run()])

    def _loaded(self) -> Job:
        """The job as a command finds it."""
        return catalogue.load(self.scenario.world.store(), self._job().job)

    def _progress(self) -> Progress:
        return Progress(self.scenario.world.redis_client(), self._job().job)

    def _job(self) -> Job:
        assert self.job is not None
        return self.job


class Scenario:
    """A seed's life."""

    def __init__(
        self,
        seed: int,
        tell: Callable[[str], None] = lambda _: None,
        conditions: s3.Conditions = "kept",
    ) -> None:
        self.world = World(seed, tell, conditions)
        self.random = self.world.random
        self._kinds = Trouble(self.world).kinds()
        self._read: dict[str, Job] = {}
        self.gone = 0
        #: Whether somebody has removed jobs that had ended.
        self.is_cleaned = False
        self.still_since_s = self.next_look_s = 0.0
        self.plain = self.world.store()
        self.plain._client = s3.Client(self.world.s3, Gate())  # type: ignore[assignment]
        #: Set when a job may have come to its end.
        self.end_comes = Event(self.world.schedule)
        self.world.s3.on_put = self._on_put

    def run(self) -> None:
        """Lives it, and checks what is promised."""
        world = self.world
        with world.running():
            Keeper(world, ["render", "render", "caption", "caption"])
            self.people = [self._new_person(nth * 3, self.random.randint(6, 8)) for nth in range(2)]
            self.people[0].has_poison = self.random.random() < 0.2
            self.people[1].sends_directly = self.random.random() < 0.2
            if self.random.random() < 0.4:
                self.people.append(self._new_person(0, 0, self.people[0]))
            for nth, person in enumerate(self.people):
                process = world.schedule.process(f"person-{nth}")
                world.schedule.start(process, partial(self._person, person))
            world.faults.to_come = [self._fault() for _ in range(self.random.randint(3, 6))]
            world.schedule.run(lambda: self.gone == len(self.people), LIFE_S)
            world.faults.to_come.clear()
            self.still_since_s = world.schedule.now_s
            world.schedule.run(self._is_at_rest, REST_S)
            self._check()

    def _on_put(self, key: str) -> None:
        if key.endswith(("/_SUCCESS", "/_CANCELLED")):
            self.end_comes.set()

    def _person(self, person: Person) -> None:
        person.live()
        self.gone += 1

    def _new_person(self, first: int, count: int, other: Person | None = None) -> Person:
        return Person(self, first, count, self._commands(), self.random.random() < 0.5, other)

    def _commands(self) -> list[str]:
        return self.random.choice([
            ["retry"], ["edit"], ["cancel"], ["gc"], ["edit", "edit"], ["edit", "retry", "edit"],
            ["edit", "flagged"], ["flagged", "edit"], ["flagged", "cancel"], ["edit", "gc"],
            ["gc", "flagged"],
        ])  # fmt: skip

    def _fault(self) -> Fault:
        kind = self.random.choice(self._kinds)
        return Fault(
            *kind,
            not_before_s=self.random.random() ** 2 * TROUBLE_S,
            rate=10 ** self.random.uniform(-1.5, 0.3),
        )

    def _is_at_rest(self) -> bool:
        now_s = self.world.schedule.now_s
        if now_s < self.next_look_s:
            return False
        self.next_look_s = now_s + LOOK_S
        if not self._is_still():
            self.still_since_s = now_s
        return now_s - self.still_since_s >= STILL_S

    def _jobs(self) -> list[Job]:
        """All jobs, also those whose submission died before its person knew of them."""
        there = {key: body for key, body in self._objects.items() if key.endswith("/job.json")}
        for key in there.keys() - self._read.keys():  # it never changes
            self._read[key] = Job.model_validate_json(there[key].data)
        return [self._read[key] for key in there]

    def _is_still(self) -> bool:
        for job in self._jobs():
            if self._is_open(job) or not self.has_ended(job):
                return False
        server = self.world.redis_server
        queues = "render", "caption"
        busy = (*queues, *TURNS, "unacked", *(f"regioncap:later:{queue}" for queue in queues))
        return not any(server.do_exists(key) for key in busy)

    def is_there(self, job: Job) -> bool:
        """Whether it has not been removed."""
        return keys.job_key(job.job) in self._objects

    def has_ended(self, job: Job) -> bool:
        """Whether it is done or cancelled."""
        ends = keys.success_key(job.job), keys.cancelled_key(job.job)
        return any(key in self._objects for key in ends)

    @property
    def _objects(self) -> dict[str, s3.Body]:
        """The store as it is; to ask it in each second of a life takes longer than to live."""
        return self.world.s3.buckets[self.world.settings.s3_bucket]

    def _is_retried(self, job: Job) -> bool:
        prefix = keys.prefix(job.job, "retry")
        return any(key.startswith(prefix) for key in self._objects)

    def _is_open(self, job: Job) -> bool:
        """Whether anything is to be done; the marker of a change whose process died stays."""
        prefix = keys.open_key(job.job)
        return self._is_retried(job) or any(
            key.startswith(prefix) and not body.data for key, body in self._objects.items()
        )

    def _check(self) -> None:
        jobs = self._jobs()
        known = [person._job() for person in self.people]
        gone = {job.job for job in known} - {job.job for job in jobs}
        self._promise(not gone or self.is_cleaned, f"{gone} are gone")
        for job in jobs:
            people = [person for person in self.people if person._job().job == job.job]
            success = self.plain.find(keys.success_key(job.job))
            if success is None:
                cancelled = any(person.cancelled for person in people)
                self._promise(cancelled, f"{job.job} ended though nobody cancelled it")
                continue
            self._check_results(people, job, json.loads(success))
            self._promise(not self._is_retried(job), f"{job.job}: a retry was dropped")
        met = {fault for fault, _, _ in self.world.faults.met}
        twice = self.world.asked_twice
        self._promise(not twice or bool(met & LOSES_CLAIMS), f"{twice} were asked twice at once")

    def _check_results(self, people: list[Person], job: Job, success: dict[str, Any]) -> None:
        lines = []
        for part in success["parts"]:
            text = self.plain.get(part["key"])
            self._promise(
                hashlib.sha256(text).hexdigest() == part["sha256"],
                f"{part['key']}: _SUCCESS names other bytes",
            )
            lines += [json.loads(line) for line in text.splitlines()]
        self._promise(
            [line["index"] for line in lines] == list(range(job.records)),
            f"{job.job}: lines {[line['index'] for line in lines]}",
        )
        for line in lines:
            if self._is_poison(job, line):
                continue
            self._promise(line["error"] is None, f"{job.job}: {line['index']} {line['error']}")
            text = line["regions"][0]["caption"]
            self._promise(
                line["edited"] is not None or f"about {job.job}-{line['index']}-" in text,
                f"{job.job}: {line['index']} says {text}",
            )
        tried = [each for person in people for each in person.tried]
        for index, words in (each for person in people for each in person.words):
            self._promise(self._is_kept(job, words), f"{job.job}: {index} {words!r} is gone")
            stands = lines[index]["regions"][0]["caption"] == words
            self._promise(
                stands or tried.count(index) > 1, f"{job.job}: {index} {words!r} was replaced"
            )

    def _is_poison(self, job: Job, line: dict[str, Any]) -> bool:
        code = line["error"] and line["error"]["code"]
        return code == "poison" and f"{job.job}-{line['index']}" in self.world.poison

    def _is_kept(self, job: Job, words: str) -> bool:
        prefix = keys.prefix(job.job)
        places = [
            key for key in self.plain.list_keys(prefix) if "/results/" in key or "/versions/" in key
        ]
        return any(words.encode() in self.plain.get(key) for key in places)

    def _promise(self, holds: bool, what: str) -> None:
        if not holds:
            raise BrokenPromiseError(what)

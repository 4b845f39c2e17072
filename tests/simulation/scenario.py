"""One simulated life of a system: jobs, people who change them, and what goes wrong meanwhile.

All is drawn from a seed. At the end nothing goes wrong any more, and the system is given time; then
everything that is promised must be true.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import redis

from regioncap import keys
from regioncap.errors import EngineDeadError, RegionCapError, ServiceError
from regioncap.job import Job
from regioncap.jobs import retry
from regioncap.jobs.cancel import cancel
from regioncap.jobs.garbage import Search
from regioncap.jobs.submit import submit
from regioncap.outputs import versions
from regioncap.outputs.edits import Edit
from regioncap.services.progress import Progress
from tests.simulation import s3, valkey
from tests.simulation.faults import Fault
from tests.simulation.gate import Gate
from tests.simulation.schedule import Process
from tests.simulation.world import T_S, EngineThread, Keeper, World, records

#: Sources that are refused for no longer than this are nobody's error.
REFUSED_S = 2.0
#: Until then the last fault is ready to meet a request.
TROUBLE_S = T_S
#: Longest time in which people get done what they want.
LIFE_S = 80 * T_S
#: Time to come to rest in, afterwards.
REST_S = 60 * T_S
#: How long nothing may be left to do until that counts as rest: a message may be in the hands of a
#: worker that has not noted it yet, and what a death left there is the janitor's to find.
STILL_S = 2 * T_S
#: Time between two looks at whether there is anything to do: a look asks the store a lot.
LOOK_S = 1.0


class BrokenPromiseError(AssertionError):
    """Something that is promised is not true."""


@dataclass
class Person:
    """Who submits a job and changes it; says a command again if its process died."""

    scenario: Scenario
    first: int
    count: int
    commands: list[str]
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
        assert self.job is not None
        store = self.scenario.plain
        while not any(
            store.exists(key)
            for key in (keys.success_key(self.job.job), keys.cancelled_key(self.job.job))
        ):
            self.scenario.world.schedule.wait(1.0)

    def _say(self, name: str, command: Callable[[], object]) -> None:
        """Runs a command in a process of its own, again until it comes to an end."""
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
        world.sender(world.redis_client()).render(self.job, range(self.job.shards))
        return self.job.job

    def _retry(self) -> str:
        world, job = self.scenario.world, self._job()
        client = world.redis_client()
        again = retry.begin(world.store(), Progress(client, job.job), job, runtime=world.runtime)
        world.sender(client).render(job, sorted(again))
        return f"{sorted(again)}"

    def _flagged(self) -> str:
        world, job = self.scenario.world, self._job()
        client = world.redis_client()
        chosen = {world.random.randrange(job.records) for _ in range(2)}
        again = retry.begin(
            world.store(), Progress(client, job.job), job, chosen, runtime=world.runtime
        )
        world.sender(client).render(job, sorted(again))
        return f"{sorted(again)}"

    def _edit(self) -> str:
        world, job = self.scenario.world, self._job()
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
        done = cancel(world.store(), self._progress(), self._job(), runtime=world.runtime)
        self.cancelled = self.cancelled or done == "cancelled"
        return done

    def _gc(self) -> str:
        world = self.scenario.world
        search = Search(world.store(), world.runtime.now(), timedelta(days=30))
        return str([rubbish.remove() for rubbish in search.run()])

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
        self.gone = 0
        self.still_since_s = self.next_look_s = 0.0
        self.plain = self.world.store()
        self.plain._client = s3.Client(self.world.s3, Gate())  # type: ignore[assignment]

    def run(self) -> None:
        """Lives it, and checks what is promised."""
        world = self.world
        with world.running():
            keeper = Keeper(world, ["render", "render", "caption", "caption"])
            self.people = [
                Person(self, nth * 3, self.random.randint(6, 8), self._commands())
                for nth in range(2)
            ]
            self.people[0].has_poison = self.random.random() < 0.2
            if self.random.random() < 0.4:
                self.people.append(Person(self, 0, 0, self._commands(), self.people[0]))
            for nth, person in enumerate(self.people):
                process = world.schedule.process(f"person-{nth}")
                world.schedule.start(process, partial(self._person, person))
            world.faults.to_come = [self._fault(keeper) for _ in range(self.random.randint(3, 6))]
            world.schedule.run(lambda: self.gone == len(self.people), LIFE_S)
            world.faults.to_come.clear()
            self.still_since_s = world.schedule.now_s
            world.schedule.run(self._is_at_rest, REST_S)
            self._check()

    def _person(self, person: Person) -> None:
        person.live()
        self.gone += 1

    def _commands(self) -> list[str]:
        return self.random.choice([
            ["retry"], ["edit"], ["cancel"], ["gc"], ["edit", "edit"], ["edit", "retry", "edit"],
            ["edit", "flagged"], ["flagged", "edit"], ["flagged", "cancel"],
        ])  # fmt: skip

    def _fault(self, keeper: Keeper) -> Fault:
        world, draw = self.world, self.random
        schedule = world.schedule

        def victim() -> Process:
            assert schedule.current is not None
            return schedule.current.process

        def kill() -> None:
            if not victim().name.startswith(("person", "keeper")):
                schedule.kill(victim())

        def pause(seconds: float) -> Callable[[], None]:
            return lambda: schedule.pause(victim(), seconds)

        def fail(error: Callable[[], Exception]) -> Callable[[], None]:
            def strike() -> None:
                raise error()

            return strike

        def silence(service: str, seconds: float) -> Callable[[], None]:
            def strike() -> None:
                world.tell(f"{service} is silent for {seconds:.0f} s")
                world.gate.silent_until_s[service] = schedule.now_s + seconds

            return strike

        def hang() -> None:
            thread = schedule.current
            while thread not in EngineThread.cancelled:
                schedule.wait(5.0)

        def break_engine(way: str) -> Callable[[], None]:
            return lambda: world.broken.update({victim(): way})

        def engine_away() -> None:
            world.engine_away_until_s = schedule.now_s + 60.0

        def refuse_sources() -> None:
            sources = f"{world.settings.s3_bucket}/images/"

            def allow() -> None:
                schedule.wait(REFUSED_S)
                world.s3.denied.discard(sources)

            world.s3.denied.add(sources)
            schedule.start(schedule.process("policy"), allow)

        def lose_a_second() -> None:
            then = server.snapshot()

            def crash() -> None:
                schedule.wait(1.0)
                world.tell("Redis comes back as it was a second ago")
                server.restore(then)

            schedule.start(schedule.process("redis"), crash)

        def double() -> None:
            for queue in ("render", "caption"):
                for message in server.do_lrange(queue, "0", "0"):
                    server.do_lpush(queue, message)

        server = world.redis_server
        kinds: list[tuple[str, str, Any, str]] = [
            ("killed", "before", kill, ""),
            ("killed", "after", kill, ""),
            ("killed", "after", kill, "s3"),
            ("paused", "before", pause(3 * T_S), "s3"),
            ("paused", "after", pause(3 * T_S), "s3"),
            ("paused", "before", pause(3 * T_S), "redis"),
            ("paused", "before", pause(3 * T_S), "s3 replace"),
            ("paused", "before", pause(3 * T_S), "s3 create"),
            ("paused", "before", pause(3 * T_S), "s3 put results"),
            ("paused", "before", pause(3 * T_S), "s3 delete"),
            ("killed", "after", kill, "s3 replace"),
            ("killed", "after", kill, "s3 create"),
            ("answer lost", "after", fail(s3.lost), "s3"),
            ("busy", "before", fail(lambda: s3.error(503)), "s3"),
            ("others write", "before", fail(lambda: s3.error(409)), "s3 create"),
            ("others write", "before", fail(lambda: s3.error(409)), "s3 replace"),
            ("answer lost", "after", fail(valkey.lost), "redis"),
            ("connection lost", "before", fail(valkey.lost), "redis"),
            ("Redis flushed", "before", server.do_flushdb, ""),
            ("Redis away", "before", silence("redis", 20.0), ""),
            ("Redis silent", "before", silence("redis", 3 * T_S), ""),
            ("store away", "before", silence("s3", 20.0), ""),
            ("last second lost", "before", lose_a_second, "redis"),
            ("messages doubled", "before", double, "redis"),
            ("engine died", "before", fail(lambda: EngineDeadError("gone")), "engine"),
            ("engine hung", "before", hang, "engine"),
            *(
                ("engine broken", "before", break_engine(way), "engine")
                for way in ("raises", "refuses", "says !!!!")
            ),
            ("engine away", "before", engine_away, "engine"),
            ("sources refused", "before", refuse_sources, "s3 get images"),
        ]
        if world.s3.conditions != "kept":
            # Who sleeps between a look and the write that rests on it does harm there, as
            # docs/stores.md says.
            kinds = [kind for kind in kinds if kind[0] != "paused" or kind[3] == "redis"]
        name, when, strike, prefix = draw.choice(kinds)
        return Fault(
            name, when, strike, prefix,  # type: ignore[arg-type]
            not_before_s=draw.random() ** 2 * TROUBLE_S,
            rate=10 ** draw.uniform(-1.5, 0.3),
        )  # fmt: skip

    def _is_at_rest(self) -> bool:
        now_s = self.world.schedule.now_s
        if now_s < self.next_look_s:
            return False
        self.next_look_s = now_s + LOOK_S
        if not self._is_still():
            self.still_since_s = now_s
        return now_s - self.still_since_s >= STILL_S

    def _is_still(self) -> bool:
        store = self.plain
        for person in self.people:
            job = person._job()
            ends = keys.success_key(job.job), keys.cancelled_key(job.job)
            if self._is_open(job) or not any(map(store.exists, ends)):
                return False
        server = self.world.redis_server
        queues = "render", "caption"
        busy = (*queues, "unacked", *(f"regioncap:later:{queue}" for queue in queues))
        return not any(server.do_exists(key) for key in busy)

    def _is_retried(self, job: Job) -> bool:
        return any(True for _ in self.plain.list_keys(keys.prefix(job.job, "retry")))

    def _is_open(self, job: Job) -> bool:
        """Whether anything is to be done; the marker of a change whose process died stays."""
        marked = self.plain.list_stored(keys.open_key(job.job))
        return self._is_retried(job) or any(not m.size_bytes for m in marked)

    def _check(self) -> None:
        for person in self.people:
            job = person._job()
            success = self.plain.find(keys.success_key(job.job))
            if success is None:
                cancelled = any(each.cancelled for each in self.people if each._job() == job)
                self._promise(cancelled, f"{job.job} ended though nobody cancelled it")
                continue
            self._check_results(person, job, json.loads(success))
            self._promise(not self._is_retried(job), f"{job.job}: a retry was dropped")

    def _check_results(self, person: Person, job: Job, success: dict[str, Any]) -> None:
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
        tried = [each for other in self.people if other._job() == job for each in other.tried]
        for index, words in person.words:
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

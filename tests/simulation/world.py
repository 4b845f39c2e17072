"""A whole system in one process: servers, workers, janitors and people, run by a schedule.

The stages, `Shards`, leases, janitors and all that commands call are the product's own. What stands
in for something is: Celery's loop around a message (`Worker`), the engine, and the servers.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import redis
import structlog
from kombu.transport import redis as kombu_redis
from PIL import Image

import regioncap.jobs.render
import regioncap.services.leases
from regioncap import keys
from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import EngineAwayError, RequestError, ServiceError
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.render import RenderStage
from regioncap.records import InputRecord
from regioncap.services.claims import UNACKED
from regioncap.services.feeder import Feeder
from regioncap.services.leases import Leases
from regioncap.services.progress import Progress
from regioncap.services.queue import RENDER
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.services.waits import put_back
from regioncap.settings import Settings
from regioncap.views.render import render_record
from regioncap.views.view import ViewSettings
from tests.simulation import broker as queue
from tests.simulation import s3, valkey
from tests.simulation.broker import Channel
from tests.simulation.faults import Faults
from tests.simulation.gate import Gate
from tests.simulation.schedule import Process, Schedule, Thread
from tests.simulation.threads import EPOCH_S, Event, InlineExecutor, SimulatedRuntime
from workers.drain import Drain
from workers.shards import Delivery, GoesBack, Shards

#: Silent for this long, a worker loses its shards.
T_S = 30.0
RECORDS_A_SHARD = 2
#: A shard that gets nothing done for this long makes no progress.
STALLED_S = 4 * T_S
#: Longest that a client waits for an answer, seconds.
PATIENCE_S = 10.0
HANDS = 2
#: Of shards of a job on their way: fewer than it has.
WINDOW_SHARDS = 3
#: Where it stands whose turn it is.
TURNS = tuple(f"regioncap:turns:{queue}" for queue in ("render", "caption"))
#: How often a worker looks whether it is told to stop while it waits for a message.
_PATROL_S = 30.0


class WorldGate(Gate):
    """Lets other threads go first, and faults happen."""

    def __init__(self, schedule: Schedule, faults: Faults) -> None:
        self._schedule = schedule
        self._faults = faults
        #: Until when `redis` and `s3` answer nobody.
        self.silent_until_s: dict[str, float] = {}

    def now_s(self) -> float:
        return EPOCH_S + self._schedule.now_s

    def enter(self, request: str) -> None:
        if self._schedule.current is not None:
            self._schedule.step()
            self._faults.meet(request, "before")
            self._wait_for_service(request)

    def _wait_for_service(self, request: str) -> None:
        """Raises what a client raises whose service does not answer."""
        silent_s = self.silent_until_s.get(request.partition(" ")[0], 0.0) - self._schedule.now_s
        if silent_s > 0:
            self._schedule.wait(min(silent_s, PATIENCE_S))
            raise valkey.lost() if request.startswith("redis") else s3.lost()

    def leave(self, request: str) -> None:
        if self._schedule.current is not None:
            self._faults.meet(request, "after")

    def sleep(self, seconds: float) -> None:
        self._schedule.wait(seconds)


class World:
    """All of it.

    Args:
        seed: Chooses what happens.
        tell: Is given what happens, in words.
        conditions: What the store does with conditions of writes.
    """

    def __init__(
        self,
        seed: int,
        tell: Callable[[str], None] = lambda _: None,
        conditions: s3.Conditions = "kept",
    ) -> None:
        self.schedule = Schedule(seed)
        self.runtime = SimulatedRuntime(self.schedule)
        self.random = random.Random(f"{seed} world")
        self.faults = Faults(self.schedule)
        self.gate = WorldGate(self.schedule, self.faults)
        self.settings = Settings(
            visibility_timeout_s=T_S,
            shard_size=RECORDS_A_SHARD,
            grace_s=5,
            keep_captions=True,
            window_shards=WINDOW_SHARDS,
        )
        self.s3 = s3.S3Server(conditions)
        self.s3.buckets[self.settings.s3_bucket] = {}
        self.redis_server = valkey.Server(self.gate.now_s)
        self.redis_server.on_push = self._on_push
        self._waiting: dict[str, list[Event]] = {}
        self._names = 0
        self._tell = tell
        self.faults.tell = self.tell
        #: Until when the server that the engine asks does not serve.
        self.engine_away_until_s = 0.0
        #: How long a worker's engine takes over an answer, seconds.
        self.answer_s: Callable[[Process], float] = lambda _: 0.0
        #: Workers whose engines are broken until they end, and how.
        self.broken: dict[Process, str] = {}
        #: Records, as `JOB-INDEX`, that no engine gets over.
        self.poison: set[str] = set()
        self.workers: dict[Process, Worker] = {}
        #: Answers of the engine.
        self.calls = 0
        #: Shards that engines are asked about, and by which of their threads.
        self.asking: dict[tuple[str, int], set[Thread]] = {}
        #: Shards that two engines were asked about at the same time.
        self.asked_twice: list[tuple[str, int]] = []
        #: Coroutines given to the engine; those of processes that were killed never end.
        self.asked: list[Coroutine[Any, Any, Any]] = []

    def tell(self, what: str) -> None:
        """Notes what happens."""
        thread = self.schedule.current
        who = f"{thread.process.name}/{thread.name}" if thread else "-"
        self._tell(f"{self.schedule.now_s:9.3f}  {who:<24} {what}")

    def name(self, prefix: str) -> str:
        """A name that is used once."""
        self._names += 1
        return f"{prefix}{self._names}"

    def store(self) -> Store:
        """A client of the store."""
        store = _store(self.settings)
        store._client = s3.Client(self.s3, self.gate)  # type: ignore[assignment]
        store._sleep = self.gate.sleep
        return store

    def redis_client(self) -> valkey.Client:
        """A client of Redis."""
        return valkey.Client(self.redis_server, self.gate)

    def sender(self, client: redis.Redis) -> Sender:
        """What puts shards into the queue."""
        return Sender(client, self.settings, self.runtime.monotonic)

    def await_message(self, stopping: Event, *keys: str) -> None:
        """Returns when something lies in a queue, or the worker stops; asks nobody meanwhile."""
        while not self.redis_server.do_exists(*keys) and not stopping.is_set():
            event = Event(self.schedule)
            for key in keys:
                self._waiting.setdefault(key, []).append(event)
            event.wait(_PATROL_S)
            for key in keys:
                self._waiting[key].remove(event)

    def _on_push(self, queue: str) -> None:
        for event in self._waiting.get(queue, []):
            event.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """What takes no runtime is in this world for as long as the block runs.

        Names are drawn from the seed; kombu goes by the schedule's clock, as does what we put into
        it; and what was drawn in an earlier simulation is drawn already.
        """
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keys, "new_job_id", self._job_id)
            patch.setattr(kombu_redis, "time", self.gate.now_s)
            patch.setattr(regioncap.services.leases, "time", SimpleNamespace(time=self.gate.now_s))
            patch.setattr(regioncap.jobs.render, "render_record", _rendered)
            structlog.configure(
                processors=[structlog.contextvars.merge_contextvars, self._log],
                cache_logger_on_first_use=False,
            )
            try:
                yield
            finally:
                self.schedule.close()
                for work in self.asked:
                    work.close()
                structlog.reset_defaults()

    def _log(self, _: Any, method: str, event: Any) -> str:
        words = " ".join(f"{k}={v}" for k, v in event.items() if k != "event")
        self.tell(f"log {event['event']} {words}")
        raise structlog.DropEvent

    def _job_id(self) -> str:
        self._names += 1
        stamp = self.runtime.now().strftime("%Y%m%d-%H%M%S")
        return f"{stamp}-" + "".join("abcdefghij"[int(d)] for d in f"{self._names:06d}")


@cache
def _template_store(bucket: str) -> Store:
    return Store(Settings(s3_bucket=bucket))


def _store(settings: Settings) -> Store:
    store = Store.__new__(Store)
    vars(store).update(vars(_template_store(settings.s3_bucket)))
    return store


@cache
def picture(nth: int) -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (nth * 7 % 256, nth * 31 % 256, 128)).save(out, "PNG")
    return out.getvalue()


def records(first: int, count: int) -> list[InputRecord]:
    """Records with a picture and a box each."""
    return [
        InputRecord(
            index=index,
            line=index + 1,
            id=f"r{first + index}",
            image=f"{first + index}.png",
            bbox=[[4, 4, 20, 20]],
            picture=picture(first + index),
        )
        for index in range(count)
    ]


_memory: dict[Any, Any] = {}


def _rendered(record: Any, source: bytes, how: ViewSettings) -> Any:
    """`render_record`, which is pure: what was made in an earlier simulation is made already."""
    key = (record.model_dump_json(), hashlib.sha256(source).digest(), how.name)
    if key not in _memory:
        _memory[key] = render_record(record, source, how)
    done, pictures = _memory[key]
    return done.model_copy(deep=True), pictures


class Engine:
    """An engine whose answers say what they are about, and which answer they are."""

    name = "simulated"
    model = "simulated"
    model_revision = ""
    grid = None

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    async def start(self) -> None: ...

    async def health(self) -> None: ...

    async def close(self) -> None: ...

    def stats(self) -> None: ...

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        return [await self._answer(request) for request in requests]

    async def _answer(self, request: CaptionRequest) -> Answer | RequestError:
        world = self._world
        world.gate.enter("engine caption")
        if world.schedule.now_s < world.engine_away_until_s:
            raise EngineAwayError("the server does not serve")
        if world.schedule.current in EngineThread.cancelled:
            raise asyncio.CancelledError
        world.calls += 1
        self._note(request)
        if seconds := world.answer_s(self._process):
            world.schedule.wait(seconds)
            if world.schedule.current in EngineThread.cancelled:
                raise asyncio.CancelledError
        if self._process in world.broken:
            return self._broken(world.broken[self._process])
        if request.request_id.rpartition("-")[0] in world.poison:
            raise RuntimeError("something is wrong with this picture")
        text = "\n".join(
            f"In <region{region.number}>, answer {world.calls} about {request.request_id}."
            for region in request.regions
        )
        world.gate.leave("engine caption")
        return Answer(text)

    def _note(self, request: CaptionRequest) -> None:
        """Notes that this thread asks about a shard, until it ends."""
        world = self._world
        job, index, _ = request.request_id.rsplit("-", 2)
        shard = job, int(index) // RECORDS_A_SHARD
        threads = world.asking.setdefault(shard, set())
        others = threads - EngineThread.cancelled - {world.schedule.current}
        if any(other.process.alive and not other.ended for other in others):
            world.tell(f"two ask about {shard}")
            world.asked_twice.append(shard)
        assert world.schedule.current is not None
        threads.add(world.schedule.current)

    @staticmethod
    def _broken(way: str) -> Answer | RequestError:
        if way == "raises":
            raise RuntimeError("something is wrong with this worker")
        return RequestError("refused") if way == "refuses" else Answer("!!!!!!!!", "length")


class EngineThread:
    """The product's class of this name on the schedule: a thread for each piece of work."""

    #: Threads whose work was cancelled.
    cancelled: ClassVar[set[Thread | None]] = set()

    def __init__(self, world: World, engine: Engine) -> None:
        self._world = world
        self.engine = engine

    def run(self, work: Coroutine[Any, Any, Any]) -> Pending:
        return Pending(self._world, work)

    def check(self, timeout_s: float | None = None) -> None: ...


class Pending:
    """As the future of a coroutine on another thread's loop."""

    def __init__(self, world: World, work: Coroutine[Any, Any, Any]) -> None:
        self._done = Event(world.schedule)
        self._result: Any = None
        self._error: BaseException | None = None
        current = world.schedule.current
        assert current is not None
        self._work = work
        world.asked.append(work)
        self._thread = world.schedule.start(current.process, self._run, "engine")

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(InlineExecutor())
        try:
            self._result = loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            self._error = CancelledError()
        except Exception as error:
            self._error = error
        finally:
            EngineThread.cancelled.discard(self._thread)
            loop.close()
        self._done.set()

    def cancel(self) -> None:
        EngineThread.cancelled.add(self._thread)

    def done(self) -> bool:
        return self._done.is_set()

    def result(self, timeout: float | None = None) -> Any:
        if not self._done.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result


class Worker:
    """A worker process: Celery's part around the product's `Shards`.

    Args:
        world: Where it runs.
        stage: `render` or `caption`.
    """

    def __init__(self, world: World, stage: Any) -> None:
        self.world = world
        self.stage = stage
        self.work: Any = None
        self.process = world.schedule.process(world.name(f"{stage}-"))
        world.workers[self.process] = self
        self._start(self._main, "main")

    def _start(self, target: Callable[[], None], name: str) -> None:
        self.world.schedule.start(self.process, target, name)

    def _main(self) -> None:
        world = self.world
        self.redis = world.redis_client()
        self.channel = Channel(self.redis, world.settings, partial(world.name, "delivery"))
        self.queue = RENDER if self.stage == "render" else world.settings.queue
        self.stopping = world.runtime.event()
        store, sender = world.store(), world.sender(self.redis)
        progress = partial(Progress, self.redis)
        stage: Any
        if self.stage == "render":
            stage = RenderStage(store, world.settings, sender, progress, runtime=world.runtime)
            own: dict[str, Any] = {"try_out": lambda _: stage.check()}
        else:
            engine: Any = EngineThread(world, Engine(world, self.process))
            stage = CaptionStage(
                store,
                engine,
                progress,
                world.settings,
                sender,
                gpus=1,
                runtime=world.runtime,
            )
            own = {"check": stage.check, "try_out": stage.try_out}
        self.work = stage.run
        self.drain = Drain(
            self,
            world.settings.grace_s,
            on_stop=self.stopping.set,
            on_grace_over=getattr(stage, "stop", lambda: None),
            now=world.runtime.event(),
            start=world.runtime.start,
            sleep=world.runtime.sleep,
        )
        self.shards = Shards(
            self.stage,
            self.redis,
            Leases(self.redis, T_S, stalled_s=STALLED_S, runtime=world.runtime),
            on_engine_death=self.drain.die,
            stopping=self.stopping,
            runtime=world.runtime,
            **own,
        )
        self.feeder = Feeder(self.redis, world.runtime.monotonic)
        stands_by = self.stage == "caption"
        janitor = Janitor(
            store, self.redis, sender, T_S, stands_by=stands_by, runtime=world.runtime
        )
        self._start(janitor.run, "janitor")
        for hand in range(HANDS):
            self._start(self._hand, f"hand-{hand}")
        self._start(self._sweep, "sweep")
        self._start(self._recall, "recall")

    def _hand(self) -> None:
        while not self.stopping.is_set():
            self.world.await_message(self.stopping, self.queue)
            try:
                if (delivery := self.channel.take(self.queue)) is not None:
                    self._do(delivery)
            except redis.RedisError:  # Celery connects anew
                self.world.schedule.wait(1.0)

    def _do(self, message: queue.Delivery) -> None:
        delivery = Delivery(
            message.job,
            message.shard,
            message.tag,
            message.redelivered,
            message.queue,
        )
        with suppress(ServiceError):
            self.feeder.after_taking(message.queue)
        try:
            self.shards.run(delivery, self.work)
        except GoesBack:
            message.give_back()
        else:
            message.ack()

    def _recall(self) -> None:
        """As `workers.recall` does, which asks every second also where nothing waits."""
        while True:
            self.world.await_message(self.stopping, f"regioncap:later:{self.queue}", *TURNS)
            self.world.schedule.wait(1.0)
            with suppress(ServiceError):
                put_back(self.redis, self.queue)
                self.feeder.feed_all()

    def _sweep(self) -> None:
        while True:
            self.world.schedule.wait(self.channel.restore_every_s)
            if not self.world.redis_server.do_exists(UNACKED):
                continue  # most of a life is rest, and a sweep of nothing is five requests
            try:
                self.channel.sweep()
            except redis.RedisError:
                continue

    # As `workers.drain` sees the process.

    def in_hand(self) -> int:
        return len(self.channel.qos._delivered)

    def take_no_more(self, code: int) -> None:
        self.stopping.set()

    def give_back(self) -> int:
        tags = list(self.channel.qos._delivered)
        for tag in tags:
            try:
                self.channel.qos.restore_by_tag(tag)
            except redis.RedisError:
                break
        return len(tags)

    def end(self, code: int) -> None:
        self.world.schedule.kill(self.process)


class Keeper:
    """Starts workers again when they have ended, as a supervisor does."""

    def __init__(self, world: World, stages: Sequence[str]) -> None:
        self.world = world
        self.workers = [Worker(world, stage) for stage in stages]
        process = world.schedule.process("keeper")
        world.schedule.start(process, self._watch)

    def _watch(self) -> None:
        while True:
            self.world.schedule.wait(2.0)
            for at, worker in enumerate(self.workers):
                if not worker.process.alive:
                    self.workers[at] = Worker(self.world, worker.stage)

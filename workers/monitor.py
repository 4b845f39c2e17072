"""What a worker tells about itself: metrics and health over HTTP, presence in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from celery import signals
from celery.worker import WorkController, state

from regioncap import metrics
from regioncap.engines.base import is_remote
from regioncap.engines.thread import EngineThread
from regioncap.errors import EngineDeadError, QueueError, ServiceError, UsageError
from regioncap.jobs.rate import Rate
from regioncap.records import Stage
from regioncap.services.backlog import Depth, shared_depths
from regioncap.services.broker import check_server, connect, memory_ratio
from regioncap.services.presence import Presence, check_timeout
from regioncap.services.queue import RENDER
from regioncap.settings import Settings
from workers.exporter import Exporter, Foreign, Gauges
from workers.health import Health, Liveness

#: A worker with a shard in hand that is silent for this many times its limit is stuck: the shard
#: should have been given up by then.
_STALLED = 1.5
#: A worker with free hands takes a shard at once; this long only if it takes none at all.
_IDLE_S = 120.0
#: Both together are less than a probe waits, else it takes a service that is silent for a worker
#: that is.
_ENGINE_TIMEOUT_S, _REDIS_TIMEOUT_S = 5.0, 2.0
_FOREIGN = ("vllm:", "vllm_")
_log = structlog.get_logger("regioncap")

_RATED = ("shards", "records", "regions", "tokens")


class Monitor:
    """Watches one worker process and tells what it sees.

    Args:
        settings: Where Redis is, and where to serve metrics.
        stage: What the worker does.
        engine: Gives the engine, once it is started; None for a worker whose pool forks.
        silent_s: For how long the shard in hand that is silent longest has been so; by default
            since when it is in hand.
    """

    def __init__(
        self,
        settings: Settings,
        stage: Stage,
        engine: Callable[[], EngineThread] | None = None,
        silent_s: Callable[[], float | None] | None = None,
    ) -> None:
        self._settings = settings
        self._stage = stage
        self._engine = engine
        self._queue = settings.queue if engine else RENDER
        #: For looks that somebody waits for.
        self._redis = connect(settings, patient=False, timeout_s=_REDIS_TIMEOUT_S)
        self._funnel = None if engine else metrics.Funnel()
        #: How many shards the worker can have at present.
        self.room: Callable[[], int] = lambda: 0
        #: How long the worker took over shards lately, by job.
        self.shard_s: Callable[[], dict[str, float]] = dict
        self._rates = {name: Rate(window_s=60.0) for name in _RATED}
        self.exporter = Exporter(stage)
        self.health = Health()
        self._liveness = Liveness(
            silent_s or _in_hand_s,
            self._queued,
            stalled_s=_STALLED * settings.shard_timeout_s,
            idle_s=_IDLE_S,
        )

    def connect(self) -> None:
        """Connects the monitor to Celery's signals."""
        signals.worker_init.connect(self._begin, weak=False)
        signals.worker_process_init.connect(self._forked, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)

    def _begin(self, sender: WorkController, **_: Any) -> None:
        self._check_redis()
        self.room = lambda: sender.concurrency
        self.exporter.registry.register(
            Gauges(self._in_hand, self._depths, self._memory, self._requests)
        )
        if self._engine:
            self.exporter.registry.register(Foreign(_FOREIGN))
        metrics.install(self._count)
        if self._funnel:
            self._funnel.pour(self._count)
        settings = self._settings
        if settings.metrics_port is not None:
            self.exporter.serve(settings.metrics_host, settings.metrics_port, self.health)

    def _check_redis(self) -> None:
        client = connect(self._settings)
        try:
            check_server(client)
            check_timeout(client, self._settings.visibility_timeout_s)
        except (QueueError, UsageError) as error:
            if isinstance(error, QueueError) and error.code != "queue-cluster":
                return  # the worker waits for Redis, as others do that are up
            _log.error("the worker does not start", code=error.code, error=str(error))
            raise SystemExit(error.exit_code) from error

    def _forked(self, **_: Any) -> None:
        if self._funnel:
            self.exporter.forked()
            metrics.install(self._funnel.send)

    def _ready(self, **_: Any) -> None:
        details: dict[str, Any] = {
            "queue": self._queue,
            "visibility_timeout_s": self._settings.visibility_timeout_s,
        }
        if self._engine:
            engine = self._engine().engine
            details |= {"engine": engine.name, "model": engine.model}
            self.health.require("engine", self._check_engine)
        presence = Presence(connect(self._settings), self._stage, self._doing, **details)

        def stop(**_: Any) -> None:
            self.health.stopping()
            presence.stop()

        signals.worker_shutting_down.connect(stop, weak=False)
        self.health.require("heartbeat", presence.check)
        self.health.require("progress", self._liveness.check)
        self._liveness.took()
        presence.start()
        self.health.ready()

    def _count(self, name: str, value: float, labels: dict[str, str]) -> None:
        self.exporter.add(name, value, labels)
        if name == "shards":
            self._liveness.took()

    def _doing(self) -> dict[str, Any]:
        """What the worker is at, for whoever looks at the fleet."""
        totals = {name: self.exporter.total(name) for name in _RATED}
        for name, total in totals.items():
            self._rates[name].see(time.monotonic(), total)
        held = [request.info() for request in list(state.active_requests)]
        return {
            "in_hand": [
                {**request["kwargs"], "seconds": round(time.time() - (request["time_start"] or 0))}
                for request in held
            ],
            "room": self.room(),
            "shard_s": self.shard_s(),
            "totals": {name: int(total) for name, total in totals.items()},
            "per_s": {name: round(rate.per_s, 3) for name, rate in self._rates.items()},
        }

    def _in_hand(self) -> tuple[int, int]:
        return len(state.active_requests), self.room()

    def _depths(self) -> dict[str, Depth]:
        try:
            return shared_depths(self._redis, [RENDER, self._settings.queue])
        except QueueError:
            return {}

    def _memory(self) -> float | None:
        with suppress(QueueError):
            return memory_ratio(self._redis)
        return None

    def _queued(self) -> int | None:
        depth = self._depths().get(self._queue)
        return None if depth is None else depth.queued

    def _requests(self) -> tuple[int, int, int] | None:
        if self._engine is None or self.health.readiness():
            return None
        now = self._engine().engine.stats()
        return None if now is None else (now.running, now.waiting, now.batch)

    def _check_engine(self) -> str:
        assert self._engine is not None  # noqa: S101 - only asked of workers that have one
        thread = self._engine()
        try:
            thread.check(_ENGINE_TIMEOUT_S)
        except EngineDeadError as error:
            return str(error)
        except ServiceError:
            return ""  # it is elsewhere: a new worker would not find it either
        except TimeoutError:
            if is_remote(thread.engine):
                return ""  # likewise: a client may try for longer than that before it says so
            return f"the engine has not answered for {_ENGINE_TIMEOUT_S:.0f} s"
        return ""


def _in_hand_s() -> float | None:
    """For how long the worker has had the oldest shard in hand; None if it has none."""
    now = time.time()
    starts = [request.time_start or now for request in list(state.active_requests)]
    return now - min(starts) if starts else None

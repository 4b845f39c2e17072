"""Metrics and health of a worker over HTTP: `/metrics`, `/healthz` and `/readyz`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import prometheus_client
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

import regioncap
from regioncap.metrics import COUNTERS, HISTOGRAMS
from regioncap.parallel import start_thread
from regioncap.services.backlog import Depth
from workers.health import Health

_PREFIX = "regioncap"
#: A shard takes from a fraction of a second (drawing) to minutes (a large model).
_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class Exporter:
    """Keeps the metrics of a worker and serves them.

    Args:
        stage: `render` or `caption`.
    """

    def __init__(self, stage: str) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._counters = {
            name: prometheus_client.Counter(
                f"{_PREFIX}_{name}", metric.help, metric.labels, registry=self.registry
            )
            for name, metric in COUNTERS.items()
        }
        self._histograms = {
            name: prometheus_client.Histogram(
                f"{_PREFIX}_{name}",
                metric.help,
                metric.labels,
                buckets=_BUCKETS_S,
                registry=self.registry,
            )
            for name, metric in HISTOGRAMS.items()
        }
        self._server: ThreadingHTTPServer | None = None
        build = prometheus_client.Info(_PREFIX, "The worker's version.", registry=self.registry)
        build.info({"version": regioncap.__version__, "stage": stage})
        prometheus_client.ProcessCollector(registry=self.registry)

    def add(self, name: str, value: float, labels: dict[str, str]) -> None:
        """The sink for counts; see regioncap/metrics.py."""
        if name in self._histograms:
            self._histograms[name].labels(**labels).observe(value)
        else:
            counter = self._counters[name]
            (counter.labels(**labels) if labels else counter).inc(value)

    def total(self, name: str) -> float:
        """The sum of a counter over all its labels."""
        return sum(
            sample.value
            for metric in self._counters[name].collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )

    def serve(self, host: str, port: int, health: Health) -> int:
        """Serves from a thread of its own; returns the port, a free one if 0 was asked for."""
        self._server = ThreadingHTTPServer((host, port), _handler(self.registry, health))
        self._server.daemon_threads = True
        start_thread("exporter", self._server.serve_forever)
        return int(self._server.server_address[1])

    def forked(self) -> None:
        """Gives the port up in a forked process, which would keep it from a new worker."""
        if self._server is not None:
            self._server.socket.close()


@dataclass(frozen=True)
class Gauges(Collector):
    """What is looked up when somebody asks.

    Args:
        in_hand: Shards in this worker's hands, and how many it can have.
        depths: Work that waits, by queue; empty if that cannot be told.
        memory: Share of Redis's memory that is used; None if that cannot be told.
        engine: Requests that run in the engine and wait there, and its greatest batch.
    """

    in_hand: Callable[[], tuple[int, int]]
    depths: Callable[[], dict[str, Depth]]
    memory: Callable[[], float | None]
    engine: Callable[[], tuple[int, int, int] | None]

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        held, room = self.in_hand()
        yield _gauge("shards_in_hand", "Shards that this worker has.", value=held)
        yield _gauge("shards_in_hand_max", "Shards that this worker can have.", value=room)
        yield from self._of_queues(self.depths())
        if (used := self.memory()) is not None:
            yield _gauge("redis_memory_used_ratio", "Share of Redis's memory in use.", value=used)
        if (requests := self.engine()) is not None:
            yield from self._of_engine(*requests)

    @staticmethod
    def _of_queues(depths: dict[str, Depth]) -> Iterator[Metric]:
        text = (
            "Shards in the queue (queued), with a worker (unacked), held back for a time "
            "(waiting), to follow when the queue has room (due) or later (paused), or to be "
            "drawn first (undrawn), of all workers."
        )
        backlog = _gauge("backlog_shards", text, labels=["queue", "state"])
        text = "Age of the job that the next shard belongs to; 0 if none waits."
        oldest = _gauge("backlog_oldest_seconds", text, labels=["queue"])
        for queue, depth in depths.items():
            backlog.add_metric([queue, "queued"], depth.queued)
            backlog.add_metric([queue, "unacked"], depth.unacked)
            backlog.add_metric([queue, "waiting"], depth.waiting)
            backlog.add_metric([queue, "due"], depth.due)
            backlog.add_metric([queue, "paused"], depth.paused)
            backlog.add_metric([queue, "undrawn"], depth.undrawn)
            oldest.add_metric([queue], depth.oldest_s)
        yield backlog
        yield oldest

    @staticmethod
    def _of_engine(running: int, waiting: int, most: int) -> Iterator[Metric]:
        requests = _gauge("engine_requests", "Requests in the engine.", labels=["state"])
        requests.add_metric(["running"], running)
        requests.add_metric(["waiting"], waiting)
        yield requests
        if most:
            share = running / most
            yield _gauge("batch_occupancy_ratio", "Share of the batch in use.", value=share)


@dataclass(frozen=True)
class Foreign(Collector):
    """Passes on what a library counts in the process-wide registry, such as vLLM."""

    prefixes: tuple[str, ...]

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        found = prometheus_client.REGISTRY.collect()
        return [metric for metric in found if metric.name.startswith(self.prefixes)]


def _gauge(name: str, text: str, **options: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, **options)


def _handler(
    registry: prometheus_client.CollectorRegistry, health: Health
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path in {"/healthz", "/readyz"}:
                wrong = health.live() if self.path == "/healthz" else health.readiness()
                text = json.dumps({"ok": not wrong, "wrong": wrong}) + "\n"
                self._answer(503 if wrong else 200, text.encode(), "application/json")
            else:
                self._answer(404, b"/metrics, /healthz, /readyz\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return  # a probe every few seconds is no news

    return Handler

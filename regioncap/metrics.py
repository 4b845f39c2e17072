"""Metrics: what is counted while work is done; names follow the Prometheus conventions.

The library counts into whatever sink the process has installed: a worker exports what arrives
(workers/exporter.py), any other program has no sink and pays nothing. Labels take few values,
all from this code: never a job, a file or a text.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from regioncap.parallel import start_thread

Sink = Callable[[str, float, dict[str, str]], None]


class Metric(NamedTuple):
    """What a metric means."""

    help: str
    labels: tuple[str, ...] = ()


COUNTERS = {
    "shards": Metric("Shards that left a worker, by what became of them.", ("stage", "outcome")),
    "shard_waits": Metric("Shards that were made to wait, by the cause's code.", ("stage", "code")),
    "attempts": Metric("Starts of shards, also those that came to no end.", ("stage",)),
    "shards_redelivered": Metric("Shards that came after having been with a worker.", ("stage",)),
    "records": Metric("Records that got their result: ok or failed.", ("outcome",)),
    "record_errors": Metric("Records that failed, by the error's code.", ("stage", "code")),
    "regions": Metric("Regions that got their result, by its status.", ("status",)),
    "tokens": Metric("Tokens that went through the engine: prompt or completion.", ("kind",)),
    "store_errors": Metric("Requests to the store that failed for good, by code.", ("code",)),
    "store_retries": Metric("Requests to the store that were tried again."),
    "notices": Metric(
        "Tries to tell that a job has ended: told, failed or given-up.", ("outcome",)
    ),
    "second_claims": Metric("Shards that were begun while in hand elsewhere.", ("stage",)),
    "gpu_seconds": Metric("Time of GPUs that requests took, seconds."),
    "gpu_seconds_lost": Metric("That of results which came after another worker's, seconds."),
    "leases_lost": Metric("Shards that were given to another worker while in hand here."),
}
HISTOGRAMS = {
    "shard_seconds": Metric("Time that a shard was in hand, seconds.", ("stage",)),
}

_sink: Sink | None = None


def install(sink: Sink | None) -> None:
    """Sends all counts of this process to a sink; None drops them."""
    global _sink  # noqa: PLW0603 - one process, one sink
    _sink = sink


def add(name: str, value: float = 1.0, **labels: str) -> None:
    """Counts something, or notes one value of a histogram."""
    if _sink is not None and value:
        _sink(name, value, labels)


def add_record(record: dict[str, Any]) -> None:
    """Counts a line of the results."""
    if _sink is None:
        return
    error = record["error"]
    add("records", outcome="ok" if error is None else "failed")
    if error is not None:
        add("record_errors", stage=error["stage"], code=error["code"])
    for region in record["regions"]:
        add("regions", status=region["status"])
    for kind in ("prompt", "completion"):
        add("tokens", record["usage"][f"{kind}_tokens"], kind=kind)


class Funnel:
    """Brings counts from forked processes to the one that exports them.

    Made before the fork. A count that finds the pipe full is lost: work is never held up.
    """

    def __init__(self) -> None:
        self._inlet, self._outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inlet.setblocking(False)

    def send(self, name: str, value: float, labels: dict[str, str]) -> None:
        """The sink of a forked process."""
        try:
            self._inlet.send(json.dumps([name, value, labels]).encode())
        except (BlockingIOError, ConnectionError):
            return

    def close(self) -> None:
        """Closes both ends; `pour` must have ended."""
        self._inlet.close()
        self._outlet.close()

    def pour(self, sink: Sink) -> None:
        """Passes on what arrives, from a thread of its own."""

        def run() -> None:
            while True:
                name, value, labels = json.loads(self._outlet.recv(65536))
                sink(name, value, labels)

        start_thread("metrics", run)

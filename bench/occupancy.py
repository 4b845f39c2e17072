"""How full an engine's batch is while a caption worker works."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import redis
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from regioncap.services import backlog

SAMPLE_S = 0.25
#: The batch counts as full from the first sample on that reaches this part of the fullest.
FULL = 0.9


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a worker."""

    #: Requests in the engine's batch.
    running: int
    #: The same as a share of the requests that the engine takes at most, 0 to 1.
    share: float
    #: Shards that no worker has taken yet.
    queued: int


class Occupancy(threading.Thread):
    """Reads a worker's metrics at intervals.

    Args:
        port: Where the worker serves its metrics.
        queued: Tells how many shards no worker has taken.
    """

    def __init__(self, port: int, queued: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._queued = queued
        self._ended = threading.Event()
        self._samples: list[Sample] = []

    def run(self) -> None:
        """Reads until told to end."""
        while not self._ended.wait(SAMPLE_S):
            found = self._read()
            self._samples.append(
                Sample(
                    int(_total(found, "regioncap_engine_requests", state="running")),
                    _total(found, "regioncap_batch_occupancy_ratio"),
                    self._queued(),
                )
            )

    def end(self) -> list[Sample]:
        """Ends the thread and returns what it saw."""
        self._ended.set()
        self.join()
        return self._samples

    def read(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples now, of those with these labels."""
        return _total(self._read(), name, **labels)

    def _read(self) -> list[Metric]:
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            return list(text_string_to_metric_families(answer.read().decode()))


def untaken(client: redis.Redis, *queues: str) -> int:
    """Shards that no worker has taken, of these queues: in a list, or to follow into it."""
    depths = backlog.read_depths(client, queues).values()
    return sum(depth.queued + depth.due + depth.paused for depth in depths)


def _total(families: Sequence[Metric], name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def steady(samples: Sequence[Sample]) -> list[Sample]:
    """The samples from the first full one to the last with a shard that waits.

    Before, the batch fills; after, nothing is left to fill it with.
    """
    fullest = max((sample.running for sample in samples), default=0)
    first = next((i for i, s in enumerate(samples) if s.running >= FULL * fullest > 0), 0)
    last = next((i for i in range(len(samples), 0, -1) if samples[i - 1].queued), 0)
    return list(samples[first:last]) if fullest else []


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """The requests in the batch at each sample, and the steady ones as a share of what it takes.

    `median` and `p5` (the 5th percentile) are None for a run that was never steady.
    """
    kept = [sample.share for sample in steady(samples)]
    most = next((s.running / s.share for s in samples if s.running and s.share), 0.0)
    return {
        "running": [sample.running for sample in samples],
        "takes": round(most),
        "steady_samples": len(kept),
        "median": float(np.median(kept)) if kept else None,
        "p5": float(np.percentile(kept, 5)) if kept else None,
    }


def told(found: dict[str, Any]) -> str:
    """A summary in words."""
    if found["median"] is None:
        return f"batch of {found['takes']}: never full while shards waited"
    return (
        f"batch of {found['takes']}: {found['median']:.2f} full, 5th percentile {found['p5']:.2f}, "
        f"{found['steady_samples']} samples"
    )

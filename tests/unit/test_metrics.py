"""Counts reach the exporter, from forked processes too, and hold no work up."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from regioncap import metrics
from regioncap.metrics import Funnel
from workers.exporter import Exporter, Gauges


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    exporter = Exporter("caption")
    metrics.install(exporter.add)
    yield exporter
    metrics.install(None)


def _value(exporter: Exporter, name: str, **labels: str) -> float | None:
    return exporter.registry.get_sample_value(name, labels)


def _record(error: dict[str, str] | None, *statuses: str) -> dict[str, Any]:
    return {
        "error": error,
        "regions": [{"status": status} for status in statuses],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def test_records_are_counted_by_outcome_code_and_status(exporter: Exporter) -> None:
    metrics.add_record(_record(None, "ok", "missing"))
    metrics.add_record(_record({"stage": "render", "code": "image-missing"}, "skipped"))
    assert _value(exporter, "regioncap_records_total", outcome="ok") == 1
    assert _value(exporter, "regioncap_records_total", outcome="failed") == 1
    errors = {"stage": "render", "code": "image-missing"}
    assert _value(exporter, "regioncap_record_errors_total", **errors) == 1
    for status in ("ok", "missing", "skipped"):
        assert _value(exporter, "regioncap_regions_total", status=status) == 1
    assert _value(exporter, "regioncap_tokens_total", kind="prompt") == 14
    assert exporter.total("tokens") == 20


def test_without_a_sink_nothing_is_counted(exporter: Exporter) -> None:
    metrics.add("store_retries")
    metrics.add_record(_record(None, "ok"))
    metrics.install(None)
    metrics.add("store_retries")
    metrics.add_record(_record(None, "ok"))
    assert _value(exporter, "regioncap_store_retries_total") == 1
    assert _value(exporter, "regioncap_records_total", outcome="ok") == 1


def test_every_metric_can_be_counted(exporter: Exporter) -> None:
    for name, metric in (metrics.COUNTERS | metrics.HISTOGRAMS).items():
        metrics.add(name, 2.0, **dict.fromkeys(metric.labels, "x"))
    for name, metric in metrics.COUNTERS.items():
        labels = dict.fromkeys(metric.labels, "x")
        assert _value(exporter, f"regioncap_{name}_total", **labels) == 2
    for name, metric in metrics.HISTOGRAMS.items():
        labels = dict.fromkeys(metric.labels, "x")
        assert _value(exporter, f"regioncap_{name}_sum", **labels) == 2


def test_counts_of_a_forked_process_arrive() -> None:
    funnel = Funnel()
    child = os.fork()
    if child == 0:
        funnel.send("shards", 1.0, {"stage": "render", "outcome": "done"})
        os._exit(0)
    os.waitpid(child, 0)
    arrived: list[tuple[str, float, dict[str, str]]] = []
    done = threading.Event()

    def sink(name: str, value: float, labels: dict[str, str]) -> None:
        arrived.append((name, value, labels))
        done.set()

    funnel.pour(sink)
    assert done.wait(30)
    assert arrived == [("shards", 1.0, {"stage": "render", "outcome": "done"})]


def test_a_full_pipe_holds_nobody_up() -> None:
    funnel = Funnel()
    arrived: list[float] = []
    last = threading.Event()

    def sink(name: str, value: float, labels: dict[str, str]) -> None:
        arrived.append(value)
        if value < 0:
            last.set()

    for number in range(10_000):  # nobody reads meanwhile
        funnel.send("shards", float(number), {"stage": "render", "outcome": "done"})
    funnel.pour(sink)
    while not last.is_set():
        funnel.send("shards", -1.0, {})
        last.wait(0.1)

    whole = [value for value in arrived if value >= 0]
    assert whole == list(range(len(whole)))
    assert 0 < len(whole) < 10_000


def test_the_batch_is_told_of_an_engine_that_has_one(exporter: Exporter) -> None:
    exporter.registry.register(Gauges(lambda: (2, 4), dict, lambda: 0.5, lambda: (16, 3, 64)))
    assert _value(exporter, "regioncap_shards_in_hand") == 2
    assert _value(exporter, "regioncap_engine_requests", state="waiting") == 3
    assert _value(exporter, "regioncap_redis_memory_used_ratio") == 0.5
    assert _value(exporter, "regioncap_batch_occupancy_ratio") == 0.25

"""Processor time of the steps that everything is made of: of marking a picture, and of requests.

    python -m bench.steps [--images 100] [--requests 300] [--json FILE]

Steps of marking overlap: `marked_view` holds `layout`, `draw` and `encode_jpeg`. The best of five
rounds is told. Of a request, the client's time and that of the embedded store.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import psutil

from bench import as_command, report
from bench.pipeline import timed
from bench.render import make_pictures, ours
from regioncap.client import Client
from regioncap.local import LocalStack
from regioncap.services.store import Store
from regioncap.settings import load_settings
from regioncap.views import render, view
from regioncap.views.marks.v1 import V1Style

_STEPS: tuple[tuple[Any, str], ...] = (
    (render, "decode"),
    (render, "fit"),
    (render, "marked_view"),
    (V1Style, "layout"),
    (V1Style, "draw"),
    (view, "encode_jpeg"),
)


def marking_ms(count: int) -> dict[str, float]:
    """Milliseconds of each step of marking a picture, and of the whole."""
    cv2.setNumThreads(1)
    pictures, boxes = make_pictures(count)
    best: dict[str, float] = {}
    for _ in range(5):
        spent: Counter[str] = Counter()
        with ExitStack() as stack:
            for owner, name in _STEPS:
                stack.enter_context(timed(spent, name, owner, name, time.thread_time))
            started = time.thread_time()
            ours(pictures, boxes)
            spent["whole"] = time.thread_time() - started  # type: ignore[assignment]
        for name, seconds in spent.items():
            best[name] = min(best.get(name, seconds), seconds)
    return {name: 1000 * seconds / count for name, seconds in best.items()}


def request_ms(count: int) -> dict[str, dict[str, float]]:
    """Milliseconds of processor time of each kind of request, of both sides."""
    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder)) as stack:
        store = Client(load_settings(**stack.settings())).store
        server = psutil.Process(stack.child("seaweed").pid)
        return {
            name: _request(server, request, count) for name, request in _requests(store).items()
        }


def _requests(store: Store) -> dict[str, Callable[[int], object]]:
    large, small = os.urandom(80_000), os.urandom(1_000)
    return {
        "put 80 kB": lambda i: store.put(f"large/{i}", large),
        "put 1 kB": lambda i: store.put(f"small/{i}", small),
        "get 80 kB": lambda i: store.get(f"large/{i}"),
        "get 1 kB": lambda i: store.get(f"small/{i}"),
        "head": lambda i: store.exists(f"small/{i}"),
    }


def _request(
    server: psutil.Process, request: Callable[[int], object], count: int
) -> dict[str, float]:
    before_s, started = _processor_s(server), time.process_time()
    for i in range(count):
        request(i)
    return {
        "client": 1000 * (time.process_time() - started) / count,
        "store": 1000 * (_processor_s(server) - before_s) / count,
    }


def _processor_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def main() -> None:
    """Prints the figures."""
    options = report.parser(__doc__, images=100, requests=300).parse_args()
    marking, requests = marking_ms(options.images), request_ms(options.requests)
    print("ms of marking a picture:")
    for name, value in marking.items():
        print(f"  {name:12} {value:6.2f}")
    print("ms of a request:        client   store")
    for name, sides in requests.items():
        print(f"  {name:20} {sides['client']:7.2f} {sides['store']:7.2f}")
    report.save(options, "steps", {"marking_ms": marking, "request_ms": requests})


if __name__ == "__main__":
    as_command(main)

"""Health: a worker is stalled, ready or wrong as its probe says."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from workers.health import Health, Liveness, probe


@dataclass
class Worker:
    """A worker whose state the test sets."""

    silent_s: float | None = None
    queued: int | None = 0
    now_s: float = 0.0

    def liveness(self) -> Liveness:
        return Liveness(
            lambda: self.silent_s,
            lambda: self.queued,
            stalled_s=900,
            idle_s=120,
            clock=lambda: self.now_s,
        )


@pytest.mark.parametrize(
    ("silent_s", "queued", "after_s", "well"),
    [
        (None, 0, 10_000, True),  # nothing to do
        (None, None, 10_000, True),  # Redis is away: nobody can tell
        (None, 5, 100, True),
        (None, 5, 121, False),  # does not take what waits
        (899.0, 0, 10_000, True),  # a long shard that makes progress
        (901.0, 5, 901, False),
    ],
)
def test_progress(silent_s: float | None, queued: int | None, after_s: float, well: bool) -> None:
    worker = Worker(silent_s, queued)
    liveness = worker.liveness()
    liveness.check()
    worker.now_s = after_s
    assert (liveness.check() == "") is well


def test_a_shard_that_hangs_is_seen_however_many_end_beside_it() -> None:
    worker = Worker(silent_s=901.0)
    liveness = worker.liveness()
    liveness.took()
    assert liveness.check() == "a shard has made no progress for 901 s"


def test_taking_a_shard_starts_the_clock_of_an_idle_worker_again() -> None:
    worker = Worker(queued=5)
    liveness = worker.liveness()
    worker.now_s = 100
    worker.silent_s = 0.0
    assert liveness.check() == ""
    worker.silent_s = None
    worker.now_s = 200
    assert liveness.check() == ""
    worker.now_s = 221
    assert liveness.check() == "takes no shard, though some have been waiting for 121 s"


def test_ready_only_while_it_takes_shards() -> None:
    health, wrong = Health(), ""
    health.require("engine", lambda: wrong)
    assert health.readiness() == {"worker": "is starting"}
    assert health.live() == {}
    health.ready()
    assert health.readiness() == {}
    wrong = "is gone"
    assert health.readiness() == health.live() == {"engine": "is gone"}
    wrong = ""
    health.stopping()
    assert health.readiness() == {"worker": "is stopping"}
    assert health.live() == {}  # nobody is to kill a worker that gives its shards back


def test_the_probe_says_what_is_wrong() -> None:
    class Unwell(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"the engine is gone")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Unwell) as server:
        url = f"http://127.0.0.1:{server.server_port}/healthz"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert probe(url) == (False, "the engine is gone")
        thread.join()
    well, text = probe(url)
    assert not well
    assert url in text

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

    held: int = 0
    queued: int | None = 0
    now_s: float = 0.0

    def liveness(self) -> Liveness:
        return Liveness(
            lambda: self.held,
            lambda: self.queued,
            stalled_s=900,
            idle_s=120,
            clock=lambda: self.now_s,
        )


@pytest.mark.parametrize(
    ("held", "queued", "after_s", "well"),
    [
        (0, 0, 10_000, True),  # nothing to do
        (0, None, 10_000, True),  # Redis is away: nobody can tell
        (0, 5, 100, True),
        (0, 5, 121, False),  # does not take what waits
        (1, 0, 899, True),
        (1, 5, 901, False),  # nothing comes to an end
    ],
)
def test_progress(held: int, queued: int | None, after_s: float, well: bool) -> None:
    worker = Worker(held, queued)
    liveness = worker.liveness()
    liveness.check()
    worker.now_s = after_s
    assert (liveness.check() == "") is well


def test_an_end_starts_the_clock_again() -> None:
    worker = Worker(held=1)
    liveness = worker.liveness()
    liveness.check()
    worker.now_s = 800
    liveness.ended()
    worker.now_s = 1600
    assert liveness.check() == ""
    worker.now_s = 1701
    assert liveness.check() == "no shard has come to an end for 901 s"


def test_work_after_a_long_rest_is_no_stall() -> None:
    worker = Worker()
    liveness = worker.liveness()
    worker.now_s = 10_000
    worker.held = 1
    assert liveness.check() == ""


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

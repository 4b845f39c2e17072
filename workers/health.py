"""Whether a worker is well, and a probe that asks it: `python -m workers.health PORT`.

That a process runs says little: what is asked is whether the engine answers, the heartbeat beats,
and shards come to an end while there are any. A service that is away makes no worker unwell, since
a new process would not find it either.

The probe needs the standard library only, so that a container can run it every few seconds.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

#: Returns what is wrong; empty if nothing is.
HealthCheck = Callable[[], str]

_PROBE_TIMEOUT_S = 8.0


class Health:
    """The state of one worker process."""

    def __init__(self) -> None:
        self._checks: dict[str, HealthCheck] = {}
        self._ready = threading.Event()
        self._stopping = threading.Event()

    def require(self, name: str, check: HealthCheck) -> None:
        """Adds something that must be well."""
        self._checks[name] = check

    def ready(self) -> None:
        """Notes that the worker takes shards."""
        self._ready.set()

    def stopping(self) -> None:
        """Notes that the worker takes no more shards."""
        self._stopping.set()

    def live(self) -> dict[str, str]:
        """What is wrong, by name; empty if a new process would do no better."""
        wrong = {name: check() for name, check in self._checks.items()}
        return {name: text for name, text in wrong.items() if text}

    def readiness(self) -> dict[str, str]:
        """What keeps the worker from taking shards, by name."""
        if self._stopping.is_set():
            return {"worker": "is stopping"}
        if not self._ready.is_set():
            return {"worker": "is starting"}
        return self.live()


@dataclass
class Liveness:
    """Finds a worker that has work and gets nothing done of it.

    Args:
        silent_s: For how long the shard in hand that is silent longest has been so; None if the
            worker has none. That others come to an end beside it says nothing of that one.
        queued: How many wait in its queue; None if that cannot be told.
        stalled_s: Longest time that a shard may be in hand without progress.
        idle_s: Longest time that shards may wait while the worker has none.
    """

    silent_s: Callable[[], float | None]
    queued: Callable[[], int | None]
    stalled_s: float
    idle_s: float
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.took()

    def took(self) -> None:
        """Notes that the worker takes shards."""
        self._since = self.clock()

    def check(self) -> str:
        """What is wrong; empty if nothing is."""
        silent_s = self.silent_s()
        if silent_s is not None:
            self.took()
            stalled = silent_s > self.stalled_s
            return f"a shard has made no progress for {silent_s:.0f} s" if stalled else ""
        if not self.queued():
            self.took()
        waited_s = self.clock() - self._since
        if waited_s > self.idle_s:
            return f"takes no shard, though some have been waiting for {waited_s:.0f} s"
        return ""


def probe(url: str) -> tuple[bool, str]:
    """Asks a worker; returns whether it is well, and what it says."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S) as answer:  # noqa: S310
            return True, answer.read().decode()
    except urllib.error.HTTPError as error:
        return False, error.read().decode()
    except OSError as error:
        return False, f"{url}: {error}\n"


def main() -> None:
    """Exits with 0 if the worker on this machine is well."""
    port, path = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "healthz"
    well, text = probe(f"http://127.0.0.1:{port}/{path}")
    sys.stdout.write(text)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()

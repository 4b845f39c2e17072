"""Several workers as one command: with its output, until it is told to stop."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from regioncap.errors import ServiceError
from regioncap.local.process import Child, Command, Supervisor
from regioncap.services.broker import connect
from regioncap.services.presence import workers
from regioncap.settings import Settings

_LOOK_S = 0.5


def run_side_by_side(
    settings: Settings,
    commands: Sequence[Command],
    locks: Sequence[int],
    tell: Callable[[str], None],
) -> int:
    """Runs workers until SIGTERM or Ctrl-C, or until the last has ended by itself.

    One that has served and ends is started again; one that never did stays down, and the others
    go on.

    Args:
        settings: How to reach Redis, where workers tell that they serve.
        commands: The workers.
        locks: Descriptors to hold until all have ended.
        tell: Says what becomes of them, to people.

    Returns:
        The exit status: 0 after a stop, else that of a worker that did not start.
    """

    def restarted(child: Child, pause_s: float) -> None:
        name, how = child.command.name, child.how_it_ended
        tell(f"{name} ended with {how} and is started again in {pause_s:g} s")

    down: list[Child] = []
    with _told_to_stop() as stop, Supervisor(None, on_restart=restarted) as supervisor:
        supervisor.hold(locks)
        children = [supervisor.start(command) for command in commands]
        while len(down) < len(children) and not stop.wait(_LOOK_S):
            for child in _now_ready(settings, children):
                child.was_ready = True
                tell(f"{child.command.name} serves")
            for child in supervisor.ended():
                if child not in down:
                    down.append(child)
                    tell(f"{child.command.name} does not start: {child.how_it_ended}")
        if stop.is_set():
            return 0
    return max(code if (code := child.returncode or 0) > 0 else 1 for child in down)


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _now_ready(settings: Settings, children: Sequence[Child]) -> list[Child]:
    """Which workers serve for the first time; without Redis none can tell."""
    starting = [child for child in children if not child.was_ready]
    if not starting:
        return []
    try:
        client = connect(settings, patient=False)
        try:
            told = workers(client)
        finally:
            client.close()
    except ServiceError:
        return []
    here = {worker["pid"] for worker in told if worker["host"] == socket.gethostname()}
    return [child for child in starting if child.pid in here]

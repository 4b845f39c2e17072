"""Workers as children of the embedded stack, started as anyone would start them: with Celery."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence

from regioncap.errors import ServiceError
from regioncap.local.process import Child, Command
from regioncap.local.stack import LocalStack
from regioncap.services.broker import connect
from regioncap.services.presence import workers
from regioncap.settings import Settings, as_environment

#: A model of tens of gigabytes loads in minutes.
READY_TIMEOUT_S = 600.0

_COMMON = ("--without-gossip", "--without-mingle", "--loglevel=INFO")


def celery_command(kind: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a worker: `render` or `caption`."""
    return [sys.executable, "-m", "celery", "-A", f"workers.{kind}", "worker", *arguments, *_COMMON]


def start_workers(stack: LocalStack, settings: Settings, render: int = 1, caption: int = 1) -> None:
    """Starts workers and waits until they serve.

    Args:
        stack: A started stack.
        settings: The settings to run with.
        render: How many render workers.
        caption: How many caption workers.

    Raises:
        ServiceError: One ends or is not ready in time (`stack-start`); the message holds its last
            words.
    """
    if stack.supervisor is None:
        raise ServiceError("the stack is down", code="stack-start")
    children = []
    kinds = [("render", ["-Q", "render"])] * render
    kinds += [("caption", ["-Q", settings.queue, "-P", "threads"])] * caption
    for number, (kind, arguments) in enumerate(kinds, start=1):
        command = Command(
            name=f"{kind}-{number}",
            argv=tuple(celery_command(kind, [*arguments, "-n", f"{kind}-{number}@%h"])),
            env=_environment(stack, settings),
            stop_timeout_s=settings.grace_s + 10,
        )
        children.append(stack.supervisor.start(command))
    _wait(stack, settings, children)


def _environment(stack: LocalStack, settings: Settings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return as_environment(given | stack.settings())


def _wait(stack: LocalStack, settings: Settings, children: list[Child]) -> None:
    client = connect(settings)
    deadline = time.monotonic() + READY_TIMEOUT_S
    host = socket.gethostname()
    while starting := [child for child in children if not child.was_ready]:
        complain_of_ended(stack)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the workers are not ready after {READY_TIMEOUT_S:.0f} s",
                code="stack-start",
                hint=f"see the logs in {stack.folder / 'logs'}",
            )
        # By their numbers: a worker of an earlier stack, which was killed, is told of for a while.
        serving = {told["pid"] for told in workers(client) if told["host"] == host}
        for child in starting:
            child.was_ready = child.pid in serving
        time.sleep(0.1)
    client.close()


def complain_of_ended(stack: LocalStack) -> None:
    """Returns if every child of a stack runs, or is about to be started again.

    Raises:
        ServiceError: One has ended for good (`stack-start`).
    """
    for child in stack.supervisor.ended() if stack.supervisor else []:
        raise ServiceError(
            f"{child.command.name} does not start: {child.last_words()}",
            code="stack-start",
            hint=f"its log: {child.log_path}",
        )

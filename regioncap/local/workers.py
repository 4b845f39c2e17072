"""Workers as children of the embedded stack, started as anyone would start them: with Celery."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Mapping, Sequence

from regioncap.engines.gpu_groups import Choice, GpuGroup, for_workers
from regioncap.errors import EngineStartError, ServiceError
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


def start_workers(
    stack: LocalStack,
    settings: Settings,
    render: int = 1,
    caption: int | None = 1,
    gpus: str | None = None,
) -> list[str]:
    """Starts workers and waits until they serve.

    Args:
        stack: A started stack.
        settings: The settings to run with.
        render: How many render workers.
        caption: How many caption workers; None for one on each GPU (or group of GPUs), and for one
            where none is used.
        gpus: Which GPUs, as `gpu_groups.Wish` has it; by default all that are visible.

    Returns:
        Which worker has which GPUs, and which GPU is left out and why: a line each.

    Raises:
        ServiceError: One ends or is not ready in time (`stack-start`); the message holds its last
            words.
        UsageError, EngineStartError: As `gpu_groups.for_workers`.
    """
    if stack.supervisor is None:
        raise ServiceError("the stack is down", code="stack-start")
    choice = for_workers(settings, gpus, caption) if caption != 0 else None
    if choice is not None:
        stack.supervisor.hold(lock for group in choice.groups for lock in group.locks)
        _require_all(caption, choice)
    groups: list[GpuGroup | None] = [None] * (1 if caption is None else caption)
    if choice is not None:
        groups = [*choice.groups]
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    environment = as_environment(given | stack.settings())
    kinds: list[tuple[str, GpuGroup | None]] = [("render", None)] * render
    kinds += [("caption", group) for group in groups]
    commands = [
        worker_command(f"{kind}-{place + 1}", kind, settings, environment, group=group, place=place)
        for place, (kind, group) in enumerate(kinds)
    ]
    told = say_which(commands[render:], groups, choice)
    with stack.starting([*["render"][:render], *[settings.queue][: len(groups)]]):
        _wait(stack, settings, [stack.supervisor.start(command) for command in commands])
    return told


def worker_command(
    name: str,
    kind: str,
    settings: Settings,
    environment: Mapping[str, str],
    *,
    group: GpuGroup | None,
    place: int,
) -> Command:
    """One of several workers on this machine.

    Args:
        name: Names it among them.
        kind: `render` or `caption`.
        settings: The settings that the environment holds.
        environment: All of it.
        group: The GPUs that it is bound to.
        place: Its place among the workers, from 0: each has a port of its own for metrics.
    """
    queue = ["-Q", settings.queue, "-P", "threads"] if kind == "caption" else ["-Q", "render"]
    env = dict(environment)
    if settings.metrics_port:
        env["REGIONCAP_METRICS_PORT"] = str(settings.metrics_port + place)
    return Command(
        name=name,
        argv=tuple(celery_command(kind, [*queue, "-n", f"{name}@%h"])),
        env=env | (group.environment if group else {}),
        stop_timeout_s=settings.grace_s + 10,
        keep_fds=group.locks if group else (),
        stop_together=True,
    )


def say_which(
    commands: Sequence[Command], groups: Sequence[GpuGroup | None], choice: Choice | None
) -> list[str]:
    """Which worker has which GPUs, and what is left out: a line each."""
    pairs = zip(commands, groups, strict=True)
    return [
        *(f"{command.name} has {group}" for command, group in pairs if group),
        *(f"left out: {reason}" for reason in (choice.left_out if choice else [])),
    ]


def _require_all(wanted: int | None, choice: Choice | None) -> None:
    if choice is None or wanted is None or len(choice.groups) == wanted:
        return
    left_out = "; ".join(choice.left_out) or "there are no more"
    raise EngineStartError(
        f"{wanted} caption workers are wanted, and there are GPUs for {len(choice.groups)}: "
        f"{left_out}",
        code="gpu-taken",
        hint="ask for fewer caption workers, or leave their number out for one on each GPU",
    )


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

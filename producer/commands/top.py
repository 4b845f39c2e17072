"""`regioncap top`: the fleet, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from producer.context import client_of, emit_model
from producer.terminal import SafeConsole
from producer.words import span, waits
from regioncap.errors import ServiceError
from regioncap.plurals import counted

if TYPE_CHECKING:
    from producer.fleet import Fleet, WorkerView

#: Characters in a line that goes to a file or a pipe.
_WIDE = 160
#: Narrower terminals are shown fewer columns.
_ROOMY = 100


def top_command(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each look.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds from look to look.", min=0.2)] = 2.0,
) -> None:
    """Show the workers, the queues and the jobs under way, until Ctrl-C."""
    from producer.fleet import look

    client = client_of(context)
    if as_json:
        emit_model(look(client.store, client.redis))
        while not once:
            time.sleep(interval)
            emit_model(look(client.store, client.redis))
        return
    # Without a terminal there is no width to keep to.
    console = SafeConsole(width=None if sys.stdout.isatty() else _WIDE)

    def see() -> RenderableType:
        return board(look(client.store, client.redis), console.width)

    if once or not sys.stdout.isatty():
        console.print(see())
    else:
        _live(console, see, interval)


def _live(console: Console, see: Callable[[], RenderableType], interval: float) -> None:
    shown = see()
    with Live(shown, console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            try:
                shown = see()
            except ServiceError as error:
                # What was seen last stays, with a word on why it is old.
                said = Text(f"{error.message}; trying again", style="bold red")
                live.update(Group(said, shown), refresh=True)
            else:
                live.update(shown, refresh=True)


def board(fleet: Fleet, width: int) -> RenderableType:
    """What `top` shows of a fleet in a line of so many characters."""
    captions = [worker for worker in fleet.workers if worker.kind == "caption"]
    speed = {
        name: sum(worker.per_s.get(name, 0) for worker in captions)
        for name in ("records", "regions", "tokens")
    }
    head = (
        f"RegionCap   {counted(len(fleet.workers), 'worker')}   "
        f"{speed['records']:,.1f} records/s   "
        f"{speed['regions']:,.1f} regions/s   {speed['tokens']:,.0f} tokens/s"
    )
    roomy = width >= _ROOMY
    tables = (_queues(fleet), _workers(fleet, roomy=roomy), _jobs(fleet, roomy=roomy))
    return Group(Text(head, style="bold"), *tables, *_waits(fleet))


def _waits(fleet: Fleet) -> Iterator[Text]:
    """Why jobs wait, a line for each cause."""
    found = [(view.status.job, line) for view in fleet.jobs for line in waits(view.status.waits)]
    if found:
        yield Text("\nWhy they wait", style="italic")
    yield from (Text(f"{job}  {line}", style="yellow") for job, line in found)


def _table(title: str, *columns: str, wraps: str = "") -> Table:
    """An empty table; the column that wraps gives way where the terminal is narrow."""
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    for name in columns:
        plain = name.removeprefix(">")
        table.add_column(
            plain,
            justify="left" if plain == name else "right",
            no_wrap=plain != wraps,
            overflow="fold",
        )
    return table


def _queues(fleet: Fleet) -> Table:
    columns = (">queued", ">to follow", ">in hand", ">held back", ">oldest", ">workers")
    table = _table("Queues", "queue", *columns)
    for queue in fleet.queues:
        missing = queue.queued > 0 and queue.workers == 0
        table.add_row(
            queue.name,
            f"{queue.queued:,}",
            f"{queue.due + queue.paused:,}",
            f"{queue.unacked:,}",
            f"{queue.waiting:,}",
            span(queue.oldest_s) if queue.queued else "-",
            str(queue.workers),
            style="red" if missing else None,
        )
    return table


def _workers(fleet: Fleet, *, roomy: bool) -> Table:
    columns = ("worker", "queue", "engine", ">up", ">hands", ">shards/s", *["at"] * roomy)
    table = _table("Workers", *columns, wraps="at" if roomy else "worker")
    for worker in fleet.workers:
        table.add_row(
            f"{worker.kind} {worker.host}:{worker.pid}",
            worker.queue,
            worker.engine or "-",
            span(worker.up_s),
            f"{len(worker.in_hand)}/{worker.room}",
            f"{worker.per_s.get('shards', 0):.2f}",
            *[_at(worker)] * roomy,
        )
    return table


def _at(worker: WorkerView) -> str:
    shards = sorted(worker.in_hand, key=lambda held: -held.seconds)
    told = [
        f"{held.job}/{held.shard} {span(held.seconds)}" + ", twice" * held.is_twice
        for held in shards[:2]
    ]
    more = f" and {len(shards) - 2} more" if len(shards) > 2 else ""
    return ", ".join(told) + more or "idle"


def _jobs(fleet: Fleet, *, roomy: bool) -> Table:
    columns = ("job", "state", ">records", ">done", ">failed", ">per s", ">left", *["name"] * roomy)
    table = _table("Jobs", *columns, wraps="name")
    for view in fleet.jobs:
        status = view.status
        table.add_row(
            status.job,
            status.state,
            f"{status.records:,}",
            f"{status.done / max(1, status.records):.0%}",
            f"{status.failed:,}",
            f"{view.per_s:,.1f}",
            "?" if view.eta_s is None else span(view.eta_s),
            *[status.name] * roomy,
        )
    return table

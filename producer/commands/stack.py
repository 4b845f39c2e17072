"""`regioncap up`, `down` and `demo`: the embedded stack with its workers."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.context import client_of, emit, say, settings_of
from producer.meter import doing
from producer.options import GpusOption, setting_options
from regioncap.errors import ServiceError
from regioncap.files import make_folder
from regioncap.plurals import agree

if TYPE_CHECKING:
    from regioncap.local.process import Child
    from regioncap.local.stack import LocalStack
    from regioncap.settings import Settings


@setting_options("engine", "model", openai_base_url="--base-url")
def up_command(
    context: typer.Context,
    render_workers: Annotated[int, typer.Option(help="Render workers.", min=0)] = 1,
    caption_workers: Annotated[
        int | None, typer.Option(help="Caption workers [one, or one on each GPU].", min=0)
    ] = None,
    gpus: GpusOption = None,
    **flags: Any,
) -> None:
    """Run Redis, the S3 store and workers here, until Ctrl-C."""
    from regioncap.engines import preflight
    from regioncap.local.workers import complain_of_ended
    from regioncap.running_stack import folder_above, noted
    from regioncap.settings import STACK_FOLDER

    above = folder_above(Path(), STACK_FOLDER)
    if above not in {None, Path.cwd()}:
        say(f"one is up in {above} already, which commands here would find; this is another")
    settings = settings_of(context, **flags)
    captions = preflight.check(settings)
    place = {"bucket": settings.s3_bucket, "prefix": settings.s3_prefix}
    with _stack(STACK_FOLDER, **place) as stack, noted(Path.cwd()):
        _tell_of_others(context, stack)
        settings = settings_of(context, **flags, **stack.settings())
        start_workers(stack, settings, render_workers, caption_workers, gpus)
        say(captions)
        say(f"up; data and logs in {STACK_FOLDER}/; in another terminal, here or below:")
        say("  regioncap submit my.jsonl")
        with suppress(KeyboardInterrupt):
            while True:
                complain_of_ended(stack)
                time.sleep(0.5)
    say("down")


def _tell_of_others(context: typer.Context, stack: LocalStack) -> None:
    """Tells which settings lead commands elsewhere than to the stack that has just been started."""
    from producer.origins import named_services

    if named := named_services(stack.settings(), **context.obj):
        differ, them = agree(len(named), "differs", "differ"), agree(len(named), "it", "them")
        say(
            f"up runs servers of its own; {' and '.join(named)} {differ} from theirs: leave {them}"
            " out, or commands in other terminals go elsewhere"
        )


def down_command() -> None:
    """Stop what `regioncap up` runs in this folder, or the nearest above it."""
    from regioncap.running_stack import find_stack, folder_above
    from regioncap.settings import STACK_FOLDER, where_one_runs

    folder = (folder_above(Path(), STACK_FOLDER) or Path.cwd()) / STACK_FOLDER
    stack = find_stack(folder)
    if stack is None:
        elsewhere = where_one_runs()
        say(f"nothing is up in {folder}" + (f"; {elsewhere}" if elsewhere else ""))
        return
    say(f"stopping the stack in {folder.parent}")
    with suppress(ProcessLookupError):  # killed, and its servers are about to end
        os.kill(stack.pid, signal.SIGTERM)
    with doing("stopping"):
        # Another may be started there meanwhile.
        while (left := find_stack(folder)) is not None and left.pid == stack.pid:
            time.sleep(0.2)
    say("down")


@setting_options("engine", "model", openai_base_url="--base-url")
def demo_command(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path(
        "demo-out"
    ),
    **flags: Any,
) -> None:
    """Caption the example photographs with a stack of its own, and leave what comes out."""
    from producer.commands.results import fetch_images, fetch_results
    from producer.commands.submit import submit_file
    from producer.commands.view import write_page
    from producer.commands.watch import exit_code, follow_job
    from regioncap.engines import preflight
    from regioncap.inputs import examples

    started = time.monotonic()
    captions = preflight.check(settings_of(context, **flags))
    make_folder(output)
    with _scratch() as folder, _stack(folder) as stack:
        client = client_of(context, **flags, **stack.settings())
        start_workers(stack, client.settings, render_workers=1, caption_workers=1)
        job = submit_file(client, examples.photos_jsonl(), name="demo")
        status = follow_job(client, job)
        fetch_results(client, job, output / "results.jsonl")
        fetch_images(client, job, output / "marked")
        write_page(client, job, output / "gallery.html", replace=True)
    say(captions)
    say(f"done in {time.monotonic() - started:.0f} s; open {output / 'gallery.html'} in a browser:")
    for name in ("gallery.html", "results.jsonl", "marked"):
        emit(str(output / name))
    _say_next()
    raise typer.Exit(exit_code(status))


def _say_next() -> None:
    say("next, with pictures of your own:")
    if shutil.which("regioncap") is None:
        say(f"  source {Path(sys.executable).parent / 'activate'}")
    say("  regioncap up                  in this terminal")
    say("  regioncap submit my.jsonl     in a second one, in the same folder")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone in the end, unless a service failed: its logs tell why."""
    folder = Path(tempfile.mkdtemp(prefix="regioncap-demo-"))
    try:
        yield folder
    finally:
        if not isinstance(sys.exception(), ServiceError):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stack(folder: Path, **place: str) -> Iterator[LocalStack]:
    """The embedded stack, stopped in the end however that comes."""
    from regioncap.local.stack import LocalStack

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    stack = LocalStack(folder, _tell_restart, **place)
    try:
        with doing("starting Valkey and SeaweedFS"):
            stack.start()
        yield stack
    finally:
        # A second signal must not leave servers behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with doing("stopping"):
            stack.stop()
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def start_workers(
    stack: LocalStack,
    settings: Settings,
    render_workers: int,
    caption_workers: int | None,
    gpus: str | None = None,
) -> None:
    """Starts workers as children of the stack, waits until they serve and says who has what."""
    from regioncap.local import workers

    with doing("starting workers"):
        told = workers.start_workers(stack, settings, render_workers, caption_workers, gpus)
    for line in told:
        say(line)


def _tell_restart(child: Child, pause_s: float) -> None:
    say(
        f"{child.command.name} ended with {child.how_it_ended} and is started again in "
        f"{pause_s:g} s; its last words: {child.last_words()}"
    )

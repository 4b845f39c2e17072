"""The `regioncap` command: global options, the commands, and what errors look like."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import regioncap
from producer.commands import (
    audit,
    config,
    doctor,
    evaluate,
    export,
    gc,
    init,
    marks,
    prompts,
    repair,
    results,
    setup,
    stack,
    status,
    submit,
    top,
    validate,
    view,
    watch,
    worker,
)
from producer.complaints import complain, complain_of_bug
from producer.context import Services

app = typer.Typer(
    name="regioncap",
    help="Captions for the marked regions of images, at any scale.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (
    init, stack, validate, submit, status, watch, results, view, audit, export, repair, marks,
    prompts, evaluate, doctor, config, setup, top, gc, worker,
):  # fmt: skip
    module.register(app)

#: Under which heading `--help` lists a command.
PANELS = {
    "Start": ("init", "demo", "up", "down", "doctor"),
    "Jobs": ("validate", "submit", "status", "watch", "cancel", "retry"),
    "Results": ("results", "view", "export", "import-edits", "audit"),
    "Marks and prompts": ("marks", "prompts", "eval"),
    "Operation": ("worker", "top", "config", "setup", "reconcile", "gc"),
}
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}

for command in app.registered_commands:
    command.rich_help_panel = _PANEL_OF[str(command.name)]
for group in app.registered_groups:
    group.rich_help_panel = _PANEL_OF[str(group.name)]


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"regioncap {regioncap.__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    broker_url: Annotated[str | None, typer.Option(help="Redis, as a URL.")] = None,
    s3_endpoint: Annotated[str | None, typer.Option(help="S3 store, as host:port.")] = None,
    s3_bucket: Annotated[str | None, typer.Option(help="Bucket that holds everything.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    given = {"broker_url": broker_url, "s3_endpoint": s3_endpoint, "s3_bucket": s3_bucket}
    context.ensure_object(Services).flags.update(given)
    if debug:
        os.environ["REGIONCAP_DEBUG"] = "1"


def main() -> None:
    """Runs the command and turns every error into a message and an exit code."""
    from regioncap.errors import RegionCapError

    services = Services()
    try:
        code: Any = app(prog_name="regioncap", standalone_mode=False, obj=services)
        sys.stdout.flush()
    except RegionCapError as error:
        code = complain(error, services)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        code = _reader_gone()
    except SystemExit as end:  # typer's own answer to a broken pipe is to end with code 1
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = _reader_gone()
    except Exception as error:
        code = complain_of_bug(error)
    sys.exit(code if isinstance(code, int) else 0)


def _reader_gone() -> int:
    """The exit code for a reader that wants no more, as in `| head`."""
    # Python would flush once more at exit, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141

"""The `regioncap` command: global options, the commands, and what errors look like."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import regioncap
from producer.commands import doctor, jobs, results, setup, stack, submit, view, worker
from producer.context import Services, say, talk

app = typer.Typer(
    name="regioncap",
    help="Captions for the marked regions of images, at any scale.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (stack, submit, jobs, results, view, doctor, setup, worker):
    module.register(app)


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
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = Services(broker_url=broker_url, s3_endpoint=s3_endpoint, s3_bucket=s3_bucket)
    if debug:
        os.environ["REGIONCAP_DEBUG"] = "1"


def main() -> None:
    """Runs the command and turns every error into a message and an exit code."""
    from regioncap.errors import RegionCapError

    try:
        code: Any = app(standalone_mode=False)
    except RegionCapError as error:
        _complain(error)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # The reader has gone, as in `| head`; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _usage_or_bug(error)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: Any) -> None:
    if os.environ.get("REGIONCAP_DEBUG"):
        talk.print_exception()
    say(f"error: {error.message} [{error.code}]")
    if error.hint:
        say(f"  hint: {error.hint}")


def _usage_or_bug(error: Exception) -> int:
    show = getattr(error, "show", None)  # what typer raises for a command line it cannot read
    if show is not None:
        show()
        return int(getattr(error, "exit_code", 2))
    if os.environ.get("REGIONCAP_DEBUG"):
        talk.print_exception()
    say(f"error: {type(error).__name__}: {error} [internal]")
    say("  hint: this is a bug; run again with --debug for the traceback")
    return 1

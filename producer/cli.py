"""The `regioncap` command: global options, the commands, and what errors look like."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import regioncap
from producer import pipes
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
    resume,
    serve,
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
from producer.metavars import put_into
from producer.options import setting_options
from regioncap.errors import RegionCapError

app = typer.Typer(
    name="regioncap",
    help="Captions for the marked regions of images, at any scale.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The commands under the headings at which `--help` lists them.
COMMANDS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Start": {
        "init": init.init_command,
        "demo": stack.demo_command,
        "up": stack.up_command,
        "down": stack.down_command,
        "doctor": doctor.doctor_command,
    },
    "Jobs": {
        "validate": validate.validate_command,
        "submit": submit.submit_command,
        "jobs": status.jobs_command,
        "status": status.status_command,
        "watch": watch.watch_command,
        "resume": resume.resume_command,
        "cancel": repair.cancel_command,
        "retry": repair.retry_command,
        "verify": repair.verify_command,
    },
    "Results": {
        "results": results.results_command,
        "view": view.view_command,
        "serve": serve.serve_command,
        "audit": audit.audit_command,
        "export": export.export_command,
        "import-edits": export.import_edits_command,
    },
    "Operation": {
        "reconcile": repair.reconcile_command,
        "setup": setup.setup_command,
        "top": top.top_command,
        "gc": gc.gc_command,
        "config": config.config,
        "worker": worker.worker,
    },
    "Marks and prompts": {
        "marks": marks.marks_command,
        "eval": evaluate.eval_command,
        "prompts": prompts.prompts,
    },
}

for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"regioncap {regioncap.__version__}\n")
        raise typer.Exit


@app.callback()
@setting_options("broker_url", "s3_endpoint", "s3_bucket")
def _main(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    **flags: Any,
) -> None:
    context.obj.update(flags)
    if debug:
        os.environ["REGIONCAP_DEBUG"] = "1"


#: Options of `submit` whose value may be left out: what it is then, and what it may be.
_OPTIONAL_VALUES = {"--verify": ("mark", {"no", "mark", "retry"})}


def with_values(arguments: Sequence[str]) -> list[str]:
    """The command line with the values that may be left out; typer knows no such options."""
    names = {name for commands in COMMANDS.values() for name in commands}
    called = next((each for each in arguments if each in names), "")
    whole = []
    for place, argument in enumerate(arguments):
        whole.append(argument)
        default, values = _OPTIONAL_VALUES.get(argument, ("", set[str]()))
        if called == "submit" and values and {*arguments[place + 1 : place + 2]}.isdisjoint(values):
            whole.append(default)
    return whole


def whole_command() -> Any:
    """The whole command, as help, completion and the page of commands show it."""
    return put_into(typer.main.get_command(app))


def main() -> None:
    """Runs the command and turns every error into a message and an exit code."""
    flags: dict[str, Any] = {}
    try:
        arguments = with_values(sys.argv[1:])
        code: Any = whole_command()(
            arguments, prog_name="regioncap", standalone_mode=False, obj=flags
        )
        sys.stdout.flush()
    except RegionCapError as error:
        code = complain(error, flags)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        code = pipes.let_go()
    except SystemExit as end:  # typer's own answer to a broken pipe is to end with code 1
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = pipes.let_go()
    except Exception as error:
        code = complain_of_bug(error)
    sys.exit(code if isinstance(code, int) else 0)

"""Error messages: what is wrong and what to do, in three lines at most."""

from __future__ import annotations

import os
from typing import Any

from producer.context import say, talk
from regioncap.errors import RegionCapError

#: Errors of services that may just not have been named, and the setting that names them.
_UNREACHABLE = {"store-unavailable": "s3_endpoint", "queue-unavailable": "broker_url"}

#: Where a command that changes a job finds its name.
_JOBS = "`regioncap jobs` lists the recent ones with their names"


def complain(error: RegionCapError, flags: dict[str, Any]) -> int:
    """Tells of an error; returns the exit code."""
    _trace()
    say(f"error: {error.message} [{error.code}]")
    setting = _UNREACHABLE.get(error.code)
    hint = (setting and unconfigured(setting, flags)) or error.hint
    if hint:
        say(f"  hint: {hint}")
    return error.exit_code


def complain_of_bug(error: Exception) -> int:
    """Tells of an error that nobody foresaw, or of a command line that cannot be read."""
    if hasattr(error, "format_message"):  # what typer raises for the latter; it has no public class
        return _complain_of_command_line(error)
    _trace()
    say(f"error: {type(error).__name__}: {error} [internal]")
    say("  hint: this is a bug; run again with --debug for the traceback")
    return 1


def _complain_of_command_line(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        said = error.format_message().removesuffix(".").removeprefix("Invalid value: ")
        say(f"error: {said.replace('Input should be', 'must be')} [usage]")
        jobs = f"{_JOBS}; " if said == "Missing argument 'JOB'" else ""
        say(f"  hint: {jobs}see {context.command_path if context else 'regioncap'} --help")
    return int(error.exit_code)


def _trace() -> None:
    if os.environ.get("REGIONCAP_DEBUG"):
        talk.print_exception()


def unconfigured(setting: str, flags: dict[str, Any]) -> str:
    """The hint for a service that was never named, as most likely nothing runs yet; or nothing."""
    from producer.origins import DEFAULT, origin_of
    from regioncap.settings import where_one_runs

    try:
        if origin_of(setting, **flags) != DEFAULT:
            return ""
    except RegionCapError:
        return ""
    if elsewhere := where_one_runs():
        return f"nothing is configured here; {elsewhere}"
    return (
        "nothing is configured here; `regioncap up` runs all that is needed in this folder, "
        f"or name yours with REGIONCAP_{setting.upper()}"
    )

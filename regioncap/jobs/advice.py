"""Advice: what can be done next about a job, by its state; each state has its lines here.

Commands, `Client` and errors say the same by asking here.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from regioncap.errors import QueueError, UsageError
from regioncap.job import Job
from regioncap.jobs.status import JobStatus, State
from regioncap.plurals import agree, counted

#: Where a job's records came from if from no file that could be named again.
_NO_FILE = {"", "stdin", "records"}
_PICTURES = re.compile(r"[0-9,]+ pictures?")


def advice(status: JobStatus, job: Job) -> list[str]:
    """What to do next, a line each, the most urgent first."""
    return _BY_STATE[status.state](status, job)


def hint(status: JobStatus, job: Job) -> str:
    """The same in one line, for the hint of an error."""
    return "; ".join(advice(status, job))


def not_finished(status: JobStatus, job: Job) -> UsageError:
    """Says that something needs a finished job, and how this one becomes one."""
    if status.state == "cancelled":
        return UsageError(
            f"job {job.job} was cancelled with {_so_far(status)}",
            code="cancelled",
            hint=_begun_again(status, job),
        )
    return UsageError(
        f"job {job.job} is not finished: {_so_far(status)}",
        code="not-finished",
        hint=hint(status, job),
    )


@contextmanager
def queueing(job: Job) -> Iterator[None]:
    """Names the job where nothing is queued: whoever does not know it would submit it once more.

    Raises:
        QueueError: Redis is away or refuses, by the same code.
    """
    try:
        yield
    except QueueError as error:
        raise QueueError(
            f"job {job.job} is safe in the store but not queued: {error.message}",
            code=error.code,
            hint="workers find it when Redis is back; to queue it at once:"
            f" regioncap submit --resume {job.job}",
        ) from error


def again(job: Job) -> str:
    """How the rest of an input is captioned without paying twice for what is done."""
    return (
        f"{_submit(job)} --reuse, with {_options(job)}, captions the rest and takes over what is"
        " done"
    )


def _options(job: Job) -> str:
    """The options of another submission: under its key a job is found again, ended as it is."""
    return "the options of the first time" + (" but for another --key" if job.key else "")


def of_failures(status: JobStatus, job: Job) -> list[str]:
    """What to do about records that failed."""
    given = min(job.rejected + status.failed_as_given, status.failed)
    rest = status.failed - given
    lines = []
    if given:
        cannot = f"{counted(given, 'line')} of {_source(job)} cannot be used"
        lines.append(f"{cannot}: {_mended(given)}")
    if rest:
        runs = agree(rest, "runs it", "runs them")
        lines.append(
            f"{counted(rest, 'record')} failed in a worker: regioncap retry {job.job} {runs} again"
        )
    if lines:
        lines.append(f"each, with its reason: regioncap results {job.job} --failed")
    return lines


def _mended(number: int) -> str:
    """How lines that were mended come into one job with what is captioned already."""
    return (
        f"mend {agree(number, 'it', 'them')} and submit the whole input, regioncap submit"
        " fixed.jsonl --reuse, which takes over what is captioned"
    )


def of_retry(unread: int, same: Mapping[str, int], job: Job) -> list[str]:
    """What to know before failed records run again.

    Args:
        unread: Records that failed at submission, of which workers have nothing.
        same: Records whose picture or boxes are at fault, by the error's code.
        job: The job.
    """
    lines = []
    if unread:
        lines.append(
            f"{counted(unread, 'failed record')} cannot be run again, as"
            f" {agree(unread, 'its line', 'their lines')} of {_source(job)} cannot be used:"
            f" {_mended(unread)}"
        )
    if total := sum(same.values()):
        codes = ", ".join(f"{number:,} {code}" for code, number in Counter(same).most_common())
        lines.append(
            f"{counted(total, 'record')} failed for what {agree(total, 'it holds', 'they hold')}"
            f" ({codes}), would with the same settings fail again and {agree(total, 'is', 'are')}"
            f" left out (--all runs {agree(total, 'it', 'them')}, too): {_mended(total)}, or take"
            " other settings there, such as --box-format"
        )
    return lines


def _so_far(status: JobStatus) -> str:
    return f"{status.done:,} of {counted(status.records, 'record')} done"


def _source(job: Job) -> str:
    return job.source if _names_a_file(job) else "the input"


def _names_a_file(job: Job) -> bool:
    """Whether a job's records came from what could be named again."""
    return job.source not in _NO_FILE and not _PICTURES.fullmatch(job.source)


def _submit(job: Job, file: str = "") -> str:
    named = shlex.quote(job.source) if _names_a_file(job) else "FILE"
    return f"regioncap submit {file or named}"


def _of_waiting(status: JobStatus, job: Job) -> list[str]:
    if status.waits:
        return _of_running(status, job)
    return [
        f"no worker has begun it; `regioncap doctor` tells whether any serves queue"
        f" {job.settings.queue}",
        f"watch it: regioncap watch {job.job}",
    ]


def _of_running(status: JobStatus, job: Job) -> list[str]:
    lines = [
        f"{wait.stage} waits: {wait.reason}; it is tried again by itself in {wait.again_in_s:.0f} s"
        for wait in status.waits[:1]
    ]
    return [*lines, f"watch it: regioncap watch {job.job}"]


def _of_paused(status: JobStatus, job: Job) -> list[str]:
    return [
        f"paused with {_so_far(status)}; go on with: regioncap resume {job.job}"
        " --max-gpu-seconds N, counted from its beginning",
        f"what is done stays: regioncap results {job.job} brings {counted(status.done, 'record')}",
    ]


def _of_done(status: JobStatus, job: Job) -> list[str]:
    return [
        *of_failures(status, job),
        f"results: regioncap results {job.job} -o results.jsonl",
        f"gallery: regioncap view {job.job} --open",
    ]


def _begun_again(status: JobStatus, job: Job) -> str:
    """How a cancelled job is gone on with: where nothing is done, there is nothing to take over."""
    return again(job) if status.done else f"{_submit(job)}, with {_options(job)}, begins anew"


def _of_cancelled(status: JobStatus, job: Job) -> list[str]:
    how = _begun_again(status, job)
    if not status.done:
        return [f"cancelled before a record was done: {how}"]
    done = counted(status.done, "record")
    return [
        f"cancelled with {_so_far(status)}: {how}",
        f"what is done stays: regioncap results {job.job} brings {done}",
    ]


_BY_STATE: dict[State, Callable[[JobStatus, Job], list[str]]] = {
    "waiting": _of_waiting,
    "running": _of_running,
    "paused": _of_paused,
    "done": _of_done,
    "cancelled": _of_cancelled,
}

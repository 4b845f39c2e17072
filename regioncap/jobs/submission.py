"""A submission as users ask for it: opened, judged and stored as a job; nothing is queued."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, cast

from regioncap.inputs.boxes import settle
from regioncap.inputs.judgement import judged
from regioncap.inputs.objects import read_objects
from regioncap.inputs.reading import Reading
from regioncap.inputs.report import Report
from regioncap.inputs.source import STDIN, Source, open_source
from regioncap.job import Job
from regioncap.jobs import grids
from regioncap.jobs.submit import Tally, submit, words_of
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views import marks

#: Records to submit: a file or folder, or some pictures; or fields as on an input line, a
#: DataFrame, a data set of Hugging Face's, records made by hand.
Records = str | Path | Sequence[str | Path] | Iterable[Mapping[str, Any] | InputRecord]

_OBJECTS = "records"
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked of one submission; see `Client.submit`."""

    records: Records
    image_root: Path | None = None
    #: That of the input by default.
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    force: bool = False
    #: The user's key, under which there is to be one job; empty for none.
    key: str = ""
    #: Settings of the job by name.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that is stored, and not yet queued."""

    job: Job
    #: What was done for it.
    tally: Tally
    #: What was found of its input.
    report: Report


def upload(
    store: Store,
    settings: Settings,
    submission: Submission,
    *,
    on_ready: Callable[[], None],
    on_progress: Callable[[Tally, float | None], None],
) -> Submitted:
    """Stores a job with its pictures; see `Client.upload`."""
    words = words_of(settings.for_job(submission.settings))
    settings = words.settings
    marks.get(settings.mark_style)
    with _opened(submission, settings) as source:
        taken = source.records if submission.force else judged(source, settings)
        store.ensure_bucket()
        on_ready()
        choice = grids.choose(store, settings)
        job, tally = submit(
            taken,
            store=store,
            settings=settings,
            root=source.root,
            image_root=source.image_root,
            source=source.name,
            name=submission.name or name_of(submission.records, source.name),
            labels=dict(submission.labels),
            prompt_template=words.template,
            region_schema=words.schema,
            grid=choice.grid,
            key=submission.key,
            on_progress=lambda tally: on_progress(tally, source.fraction()),
        )
    report = Report.of(tally.totals, source.reading, settings).also(
        choice.lines(), is_unexpected=choice.grid.resizes
    )
    return Submitted(job, tally, report)


def name_of(records: Records, source: str) -> str:
    """The name that a job has from its input: of a file without its ending, of a folder whole.

    Args:
        records: The input.
        source: What it is called.
    """
    if _are_pictures(records):
        return _cut(Path(records[0]).absolute().parent.name)
    if source in {_OBJECTS, STDIN}:
        return ""
    if "://" in source or source.startswith("hf:"):
        name = source.rstrip("/").rpartition("/")[2].partition("@")[0].removeprefix("hf:")
        is_file = not source.endswith("/") and not source.startswith("hf:")
        return _cut(Path(name).stem if is_file else name)
    path = Path(source).resolve()
    return _cut(path.name if path.is_dir() else path.stem)


def _cut(name: str) -> str:
    return name[:_LONGEST_NAME]


def _are_pictures(records: Records) -> TypeGuard[Sequence[str | Path]]:
    """Whether records are the names of some pictures."""
    return (
        isinstance(records, list | tuple)
        and bool(records)
        and all(isinstance(each, str | Path) for each in records)
    )


def _opened(submission: Submission, settings: Settings) -> AbstractContextManager[Source]:
    records, root = submission.records, submission.image_root
    if _are_pictures(records):
        return open_source([Path(each) for each in records], sys.stdin.buffer, root, settings)
    if isinstance(records, str | Path):
        return open_source(str(records), sys.stdin.buffer, root, settings)
    reading = Reading(_OBJECTS)
    given = cast("Iterable[Mapping[str, Any] | InputRecord]", records)
    settled = (settle(record, settings) for record in read_objects(given, reading))
    return nullcontext(Source(_OBJECTS, Path(), settled, lambda: None, reading, root))

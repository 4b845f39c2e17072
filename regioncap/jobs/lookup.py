"""Looking up the job that is meant: by its id, the beginning of one, or its name; else the latest.

Names are no keys in the store: to find one, job.json of the newest jobs are read until it is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from regioncap import keys
from regioncap.errors import NotFoundError, RegionCapError, ServiceError, UsageError
from regioncap.job import Job, now
from regioncap.jobs import catalogue
from regioncap.parallel import map_ahead
from regioncap.plurals import counted
from regioncap.services.store import Store

#: Jobs that are looked at behind the newest of a name, to tell whether there are more of it.
_BEHIND = 200
#: Recent jobs among whose names the one is looked for that may be meant.
_ALIKE = 50
#: Ids that an error names.
_NAMED = 5
_BEGINNING = re.compile(r"[0-9]{1,8}|[0-9]{8}-[0-9]{0,6}|[0-9]{8}-[0-9]{6}-[a-z2-7]{0,6}")
_HINT = "`regioncap jobs` lists the recent ones with their names"


class Found(NamedTuple):
    """A job that was looked up."""

    job: Job
    #: How it was found, for people; empty where its whole id was given.
    said: str = ""
    #: Whether others have the same name.
    has_namesakes: bool = False


def find(store: Store, wanted: str | None = None, *, to_change: bool = False) -> Found:
    """The job that is meant.

    Args:
        store: Where jobs lie.
        wanted: An id, the beginning of one that no other has, or a name; None for the latest.
        to_change: Whether the job is to be changed: of several jobs of one name none is then taken.

    Raises:
        NotFoundError: There is none (`no-such-job`).
        UsageError: Several may be meant (`ambiguous-job`).
        ServiceError: The store is away.
    """
    if not wanted:
        return _latest(store)
    if keys.is_job_id(wanted):
        return Found(catalogue.load(store, wanted))
    begun = catalogue.find_ids(store, wanted) if _BEGINNING.fullmatch(wanted) else []
    named = _named(store, wanted)
    if len(begun) == 1:
        # A name may be all digits: files of a day have its date.
        so_named = [job.job for job in named if job is not None] if to_change else []
        if set(so_named) - set(begun):
            what = f"{wanted} is the beginning of an id, and a name of another job"
            raise _several(store, what, list(dict.fromkeys([*begun, *so_named])))
        return _said(catalogue.load(store, begun[0]), "")
    first = next(named, None)
    if first is None:
        raise (
            _several(store, f"{len(begun):,} jobs begin with {wanted}", begun)
            if begun
            else _none(wanted, [job.name for job in catalogue.recent(store, _ALIKE)])
        )
    others = list(named if to_change else islice(named, _BEHIND))
    same = [first, *(job for job in others if job is not None)]
    if len(same) > 1 and to_change:
        raise _several(store, f"{len(same):,} jobs are named {wanted!r}", [job.job for job in same])
    if len(same) > 1:
        return _said(first, f"the newest of {len(same):,} with this name", has_namesakes=True)
    return _said(first, "")


def _latest(store: Store) -> Found:
    newest = catalogue.recent(store, 1)
    if not newest:
        raise NotFoundError(
            "there are no jobs yet",
            code="no-such-job",
            hint="submit one: regioncap submit my.jsonl",
        )
    return _said(newest[0], "the latest")


def _said(job: Job, how: str, *, has_namesakes: bool = False) -> Found:
    name = f" ({job.name})" if job.name else ""
    return Found(job, f"job {job.job}{name}" + (f", {how}" if how else ""), has_namesakes)


def _named(store: Store, name: str) -> Iterator[Job | None]:
    """The newest job of a name; behind it, for each older job, it if it has the name, too."""

    def load(job_id: str) -> Job | None:
        job = _load(store, job_id)
        return job if job is not None and job.name == name else None

    is_found = False
    for job in map_ahead(load, catalogue.find_ids(store)):
        is_found = is_found or job is not None
        if is_found:
            yield job


def _load(store: Store, job_id: str) -> Job | None:
    """A job; None if it is being submitted, or not ours to read."""
    try:
        return catalogue.load(store, job_id)
    except ServiceError:
        raise
    except RegionCapError:
        return None


def _none(wanted: str, names: list[str]) -> NotFoundError:
    """There is none; a name that a recent job has may be meant: `birds` by `birds.jsonl`."""
    alike = get_close_matches(wanted, names, 1) or get_close_matches(Path(wanted).stem, names, 1)
    return NotFoundError(
        f"there is no job {wanted!r}: it is no id, beginning of an id, or name of one",
        code="no-such-job",
        hint=f"did you mean {alike[0]}? {_HINT}" if alike else _HINT,
    )


def _several(store: Store, what: str, ids: list[str]) -> UsageError:
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    named = ", ".join(_described(store, each) for each in ids[:_NAMED])
    return UsageError(what, code="ambiguous-job", hint=f"give the id of one: {named}{more}")


def _described(store: Store, job_id: str) -> str:
    """An id with what tells the job from others of its name: its age and its records."""
    job = _load(store, job_id)
    if job is None:
        return job_id
    return f"{job_id} ({_age(now() - job.created)} old, {counted(job.records, 'record')})"


def _age(passed: timedelta) -> str:
    minutes = max(0, passed // timedelta(minutes=1))
    if minutes < 120:
        return counted(minutes, "minute")
    return counted(minutes // 60, "hour") if minutes < 48 * 60 else f"{passed.days:,} days"

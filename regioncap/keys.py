"""Where everything lies in the bucket; no I/O.

    images/<sha256>.<ext>                    sources, content-addressed, shared by jobs
    captions/<2 digits>/<fingerprint>.json   captions of a record, for `submit --reuse`
    keys/<sha256>.json                       which job was submitted under a key
    queues/<queue>.json                      what serves a queue, and how it takes pictures
    open/<job>                               empty; there while the job is unfinished
    open/<job>.<token>                       as this, of a finished job that is being changed
    ends/<job>.<token>                       empty; a job ends, and nobody has been told yet
    jobs/<job>/job.json                      options, counts, number of shards
    jobs/<job>/input/part-00000.jsonl
    jobs/<job>/marked/00000000.jpg           by record number; further pictures of the same
                                             record as 00000000-r2.jpg
    jobs/<job>/rendered/part-00000.jsonl
    jobs/<job>/grid.json                     what pictures are made for, if not what job.json says
    jobs/<job>/budget.json                   its limit of GPU time, if it paused or was resumed
    jobs/<job>/results/part-00000.jsonl      what users poll
    jobs/<job>/partial/part-00000.<token>.jsonl  answers about a shard that came to no end
    jobs/<job>/retry/part-00000.<token>.json records of the part that are to be done again
    jobs/<job>/_SUCCESS                      written last
    jobs/<job>/audit.json                    what `regioncap audit` said of these results
    jobs/<job>/_CANCELLED
    jobs/<job>/versions/0001/                what the first change replaced: part-*.jsonl, _SUCCESS

Names are fixed in advance, so that readers never need to list, and doing a shard twice writes the
same object again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Literal

from regioncap.errors import UsageError

#: Most shards of a job; what is known of a shard takes memory, of workers and of Redis.
MAX_SHARDS = 1_000_000

#: A submission takes a picture that is younger than this as it is.
FRESH = timedelta(days=3)

JOBS = "jobs/"
OPEN = "open/"
ENDS = "ends/"
IMAGES = "images/"
QUEUES = "queues/"
SUBMISSIONS = "keys/"
CAPTIONS = "captions/"

#: What a job has a part of for each shard; the names of the folders that they lie in.
PartKind = Literal["input", "rendered", "results"]
Parts = Literal[PartKind, "retry"]

#: A part, or a wish that a part be done again, which has a token.
#: Wishes of a version before tokens have none.
_PART = re.compile(r"part-([0-9]{5,6})\.(?:jsonl|(?:[0-9a-f]+\.)?json)")
_JOB_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z2-7]{6}")


def new_job_id() -> str:
    """A fresh job id: sorts by time of creation (UTC) and is safe in a path."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    suffix = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(6))
    return f"{stamp}-{suffix}"


def check_job_id(text: str) -> str:
    """Returns a job id that has the form of one.

    Raises:
        UsageError: It has not; nothing that a user types reaches a key unchecked.
    """
    if not is_job_id(text):
        raise UsageError(
            f"{text!r} is not a job id",
            code="bad-job-id",
            hint="ids look like 20261124-031522-k3v7qa; `regioncap jobs` lists the recent ones",
        )
    return text


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job id, which begins with a time."""
    if not _JOB_ID.fullmatch(text):
        return False
    try:
        submitted_at(text)
    except ValueError:
        return False
    return True


def submitted_at(job: str) -> datetime:
    """When the submission of a job began, by its id."""
    return datetime.strptime(job[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def image_key(sha256: str, extension: str) -> str:
    """Key of a source image, from the hash of its bytes and its file extension."""
    return f"{IMAGES}{sha256}.{extension}"


def captions_key(fingerprint: str) -> str:
    """Captions of a record, by what they were made from."""
    return f"{CAPTIONS}{fingerprint[:2]}/{fingerprint}.json"


def submission_key(key: str) -> str:
    """Which job was submitted under a user's key."""
    return f"{SUBMISSIONS}{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.json"


def queue_key(queue: str) -> str:
    """What the caption workers of a queue tell about themselves."""
    return f"{QUEUES}{queue}.json"


def grid_key(job: str) -> str:
    """What a job's pictures are made for since a caption worker found that they do not fit."""
    return f"{JOBS}{job}/grid.json"


def budget_key(job: str) -> str:
    """A job's limit of GPU time, since it was reached or changed."""
    return f"{JOBS}{job}/budget.json"


def new_token() -> str:
    """Random token: tells apart objects of one purpose, since one may be removed late."""
    return secrets.token_hex(6)


def open_key(job: str, token: str = "") -> str:
    """Marker of an unfinished job, or of one change of a finished one."""
    return f"{OPEN}{job}.{token}" if token else f"{OPEN}{job}"


def opened(key: str) -> str:
    """The job of a marker."""
    return key.removeprefix(OPEN).partition(".")[0]


def end_key(job: str, token: str = "") -> str:
    """Marker of one end of a job that is to be told; without a token what all of its begin with."""
    return f"{ENDS}{job}.{token}"


def ending(key: str) -> str:
    """The job of such a marker."""
    return key.removeprefix(ENDS).partition(".")[0]


def job_key(job: str) -> str:
    """Options and counts of a job."""
    return f"{JOBS}{job}/job.json"


def prefix(job: str, kind: Parts | Literal["marked", "partial"] | None = None) -> str:
    """Prefix of all objects of a job, or of all of one kind."""
    return f"{JOBS}{job}/{kind}/" if kind else f"{JOBS}{job}/"


def part_name(shard: int, extension: str = "jsonl") -> str:
    """Name of a part in its folder."""
    return f"part-{shard:05d}.{extension}"


def part_key(job: str, kind: PartKind, shard: int) -> str:
    """The shard's part of one kind."""
    return prefix(job, kind) + part_name(shard)


def part_number(key: str, job: str, kind: Parts) -> int | None:
    """The shard of a part's key; None if it is not the key of a part of this kind of this job."""
    folder = prefix(job, kind)
    found = _PART.fullmatch(key.removeprefix(folder)) if key.startswith(folder) else None
    if found is None or part_name(int(found[1]), "") != f"part-{found[1]}.":
        return None
    return int(found[1])


def retry_key(job: str, shard: int, token: str) -> str:
    """Request that records of a shard are done again."""
    return prefix(job, "retry") + part_name(shard, f"{token}.json")


def partial_key(job: str, shard: int, token: str) -> str:
    """Answers that one turn at a shard got."""
    return prefix(job, "partial") + part_name(shard, f"{token}.jsonl")


def marked_key(job: str, index: int, suffix: str = "") -> str:
    """A marked picture of record `index`; `suffix` tells apart several of one record."""
    return f"{prefix(job, 'marked')}{index:08d}{suffix}.jpg"


def success_key(job: str) -> str:
    """Marker of complete results."""
    return f"{JOBS}{job}/_SUCCESS"


def audit_key(job: str) -> str:
    """What an audit said of a job's results."""
    return f"{JOBS}{job}/audit.json"


def cancelled_key(job: str) -> str:
    """Marker of a cancelled job."""
    return f"{JOBS}{job}/_CANCELLED"


def version_prefix(job: str, version: int) -> str:
    """Prefix of an earlier version of the results."""
    return f"{JOBS}{job}/versions/{version:04d}/"

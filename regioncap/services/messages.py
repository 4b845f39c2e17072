"""Messages of the queue: exactly a job and a shard; anything else is refused.

Whoever may put into a queue can put anything there, and Celery obeys what a message says: it sends
callbacks and errbacks, unpacks what is compressed, waits for a time, and gives back to any list
that a message names. So of a message only the job and the shard are taken, and what a worker sees
is made anew from them. Everything else is no message.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any, NamedTuple

import redis

from regioncap.errors import UsageError
from regioncap.keys import MAX_SHARDS, check_job_id
from regioncap.settings import CAPTION_QUEUE

#: The queue of the render workers; the caption workers' begin with the other.
RENDER = "render"
CAPTION = "caption"

RENDER_TASK = "regioncap.render"
CAPTION_TASK = "regioncap.caption"

#: What Celery writes after the arguments: nothing is to follow.
_NO_MORE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

#: Ours take less than one kilobyte.
MAX_MESSAGE_BYTES = 8_192


class Message(NamedTuple):
    """What one of our messages says."""

    task: str
    job: str
    shard: int
    #: Whether a worker has had it before.
    is_redelivered: bool = False


class NoMessageError(ValueError):
    """What lies in a queue is no message of ours."""


def is_ours(queue: str) -> bool:
    """Whether a queue carries our messages, and not those of Celery's remote control."""
    return queue == RENDER or re.fullmatch(CAPTION_QUEUE, queue) is not None


def is_no_list(error: redis.exceptions.ResponseError) -> bool:
    """Whether Redis refuses since a queue's key holds something else than a list."""
    return str(error).startswith("WRONGTYPE")


def parse(text: str | bytes, queue: str) -> Message:
    """Reads what lies in a queue.

    Args:
        text: The element of the list.
        queue: The queue; a message of the other stage is none here.

    Raises:
        NoMessageError: It is not exactly one of our messages; says why, and repeats nothing of it.
    """
    if len(text) > MAX_MESSAGE_BYTES:
        raise NoMessageError(f"{len(text):,} characters (at most {MAX_MESSAGE_BYTES:,})")
    try:
        return _read(json.loads(text), queue)
    except NoMessageError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, UsageError):
        raise NoMessageError("not of the form of a message") from None


def _read(fields: dict[str, Any], queue: str) -> Message:
    headers, properties = fields["headers"], fields["properties"]
    if headers.get("compression") is not None:
        raise NoMessageError("compressed")
    task = headers["task"]
    if task != (RENDER_TASK if queue == RENDER else CAPTION_TASK):
        raise NoMessageError("for another queue")
    route = properties["delivery_info"]
    if (route["exchange"], route["routing_key"]) != ("", queue):
        raise NoMessageError("with a route of its own")
    args, kwargs, more = json.loads(base64.b64decode(fields["body"], validate=True))
    if any(value is not None for value in more.values()):
        raise NoMessageError("with callbacks")
    if args != [] or kwargs.keys() != {"job", "shard"}:
        raise NoMessageError("not with exactly a job and a shard")
    job, shard = kwargs["job"], kwargs["shard"]
    if type(shard) is not int or not 0 <= shard < MAX_SHARDS:
        raise NoMessageError("with a shard that is none")
    return Message(task, check_job_id(job), shard, headers.get("redelivered") is True)


def new_text(message: Message, queue: str) -> str:
    """A new message as it lies in a queue, under a tag of its own."""
    return json.dumps(dump(message, queue, str(uuid.uuid4())))


def dump(message: Message, queue: str, tag: str) -> dict[str, Any]:
    """A message as Celery and kombu take it.

    Args:
        message: What it says.
        queue: Where it lies, and where it goes when it is given back.
        tag: What the delivery is known by; no two in hand may have the same.
    """
    body = json.dumps([[], {"job": message.job, "shard": message.shard}, _NO_MORE])
    redelivered = {"redelivered": True} if message.is_redelivered else {}
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": message.task, "id": tag, **redelivered},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue, **redelivered},
            "delivery_tag": tag,
            "delivery_mode": 2,
            "priority": 0,
        },
    }

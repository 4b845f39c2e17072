"""What a producer may put into a queue beside our messages."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from regioncap.services import messages
from regioncap.services.messages import Message
from regioncap.services.queue import RENDER, RENDER_TASK

JOB = "20260101-000000-eeeeee"
EVIL: dict[str, Any] = {
    "task": "evil", "args": [], "kwargs": {}, "options": {"queue": "regioncap:victim"},
    "subtask_type": None, "immutable": True,
}  # fmt: skip


def made(**parts: Any) -> dict[str, Any]:
    """A good message with a part of it exchanged."""
    message = messages.dump(Message(RENDER_TASK, JOB, 3), RENDER, "tag")
    return message | parts


def with_body(*body: Any, **parts: Any) -> dict[str, Any]:
    return made(body=base64.b64encode(json.dumps(body).encode()).decode(), **parts)


def naming(job: Any = JOB, shard: Any = 0, **more: Any) -> dict[str, Any]:
    return with_body([], {"job": job, "shard": shard} | more, {})


def routed(**route: Any) -> dict[str, Any]:
    properties = made()["properties"]
    return made(properties=properties | {"delivery_info": properties["delivery_info"] | route})


HOSTILE: dict[str, Any] = {
    "text": "garbage",
    "nothing": "",
    "list": [],
    "empty": {},
    "number": 1e999,
    "deep": "[" * 4000,
    "large": made(padding="x" * messages.MAX_MESSAGE_BYTES),
    "no body": made(body=None),
    "no base64": made(body="!!"),
    "no json": made(body=base64.b64encode(b"{").decode()),
    "compressed": made(
        headers=made()["headers"] | {"compression": "application/x-gzip"},
        body=base64.b64encode(gzip.compress(b" " * 1_000_000)).decode(),
    ),
    "pickle": made(body=base64.b64encode(b"\x80\x04N.").decode()),
    "errbacks": with_body([], {"job": JOB, "shard": 0}, {"errbacks": [EVIL]}),
    "callbacks": with_body([], {"job": JOB, "shard": 0}, {"callbacks": [EVIL]}),
    "chord": with_body([], {"job": JOB, "shard": 0}, {"chord": EVIL}),
    "chain": with_body([], {"job": JOB, "shard": 0}, {"chain": [EVIL]}),
    "positional": with_body([["../x", 0], {}], {}, {}),
    "another route": routed(routing_key="regioncap:victim"),
    "an exchange": routed(exchange="victim"),
    "another task": made(headers={"task": "regioncap.caption", "id": "x"}),
    "no task": made(headers={}),
    "further arguments": naming(queue="x"),
    "job of a path": naming("../../etc"),
    "job of two parts": naming("a/b"),
    "job of no time": naming("99999999-999999-aaaaaa"),
    "job in other digits": naming("２０２６０１０１-000000-eeeeee"),
    "job with a line end": naming(f"{JOB}\n"),
    "job of an object": naming({"a": 1}),
    "shard of a text": naming(shard="0"),
    "shard that is true": naming(shard=True),
    "shard below": naming(shard=-1),
    "shard of a fraction": naming(shard=0.5),
    "shard far out": naming(shard=4_294_967_295),
    "shard of a size": naming(shard=10**30),
}


def text_of(message: Any) -> str:
    return message if isinstance(message, str) else json.dumps(message)

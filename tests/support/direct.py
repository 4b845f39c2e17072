"""A worker of the version before jobs took turns: it sends straight into queues, and feeds none.

DIRECT_KIND names the kind: render or caption.
"""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import Collection
from typing import Any

from regioncap.job import Job
from regioncap.jobs import janitor
from regioncap.services import backlog
from regioncap.services.feeder import Feeder
from regioncap.services.sender import Sender
from tests.simulation.broker import DirectSender


def _send(self: Sender, stage: str, _: str, job: Job, shards: Collection[int]) -> None:
    direct = DirectSender(self._redis, lambda: str(uuid.uuid4()))
    getattr(direct, stage)(job, shards)


def _read_backlog(client: Any, queues: set[str], _: object) -> backlog.Backlog:
    return backlog.read_backlog(client, queues)


kind = os.environ["DIRECT_KIND"]
vars_of: Any = janitor
vars_of.read_backlog = _read_backlog
vars_of.due.jobs = lambda _: set()
for owner, name, method in (
    (Sender, "_send", _send),
    (Feeder, "feed", lambda *_: 0),
    (janitor.Janitor, "_awaits_its_turn", lambda *_: False),
    *([(janitor.Janitor, "start", lambda _: None)] if kind == "render" else []),
):
    setattr(owner, name, method)

app = importlib.import_module(f"workers.{kind}").app

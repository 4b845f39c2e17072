"""Keys in Redis that hold another type of value than ours do, and so stop whoever uses them.

No program of ours leaves such a key. Whoever could once write there may have, and nobody else would
ever remove it.
"""

from __future__ import annotations

import logging
import re

import redis

from regioncap.services.broker import queue_errors
from regioncap.services.claims import UNACKED
from regioncap.services.leases import UNACKED_INDEX
from regioncap.services.lives import LIVES
from regioncap.services.messages import is_ours
from regioncap.services.silence import BEAT

#: The types of keys by their names.
_TYPES = {
    r"regioncap:janitor(:kept)?": "string",
    r"regioncap:janitor:seen": "hash",
    r"regioncap:ends(:.*)?": "string",
    BEAT: "hash",
    LIVES: "zset",
    r"regioncap:(worker|depths|mark|claim):.*": "string",
    r"regioncap:turns": "set",
    r"regioncap:turns:.*": "zset",
    r"regioncap:later:.*": "zset",
    r"regioncap:[^:]+:(rendered|due:.*)": "string",
    r"regioncap:[^:]+:due": "hash",
    r"regioncap:[^:]+:(parts|counts|spent)": "hash",
    r"regioncap:[^:]+:(attempts|waits):.*": "hash",
    UNACKED: "hash",
    UNACKED_INDEX: "zset",
}
_AT_A_TIME = 1000

_log = logging.getLogger(__name__)


def type_of(key: str) -> str | None:
    """The type that a key of a name has; None if it is none of ours."""
    for pattern, kind in _TYPES.items():
        if re.fullmatch(pattern, key):
            return kind
    return "list" if is_ours(key) else None


def remove_wrong(client: redis.Redis) -> list[str]:
    """Removes keys of ours that hold another type of value; returns their names.

    Raises:
        QueueError: Redis is away.
    """
    removed = []
    with queue_errors():
        named = [key for key in client.scan_iter(count=_AT_A_TIME) if type_of(key)]
        for start in range(0, len(named), _AT_A_TIME):
            some = named[start : start + _AT_A_TIME]
            with client.pipeline(transaction=False) as pipe:
                for key in some:
                    pipe.type(key)
                found = pipe.execute()
            for key, kind in zip(some, found, strict=True):
                if kind not in (type_of(key), "none"):
                    client.delete(key)
                    removed.append(key)
                    _log.warning("removed key %s: it was a %s, not a %s", key, kind, type_of(key))
    return removed

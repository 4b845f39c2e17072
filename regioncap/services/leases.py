"""Leases: shards in hand are kept from being given to another worker.

kombu gives a message that is not acknowledged within the visibility timeout to another worker. That
timeout is short, so that a killed worker's shards run elsewhere soon; a worker that lives renews
its messages here, each for as long as its shard makes progress: that this thread runs says little
of the one that works. The renewal touches a private key of kombu, and a contract test pins it.

All times are those of Redis: kombu takes each worker's own clock, and a worker whose clock is two
minutes ahead would take all others' shards from them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from regioncap import metrics
from regioncap.parallel import REAL, Runtime
from regioncap.services.broker import server_time
from regioncap.services.claims import Claim
from regioncap.services.lives import Lives
from regioncap.services.rounds import Rounds
from regioncap.services.silence import may_give_away

#: kombu's sorted set of unacknowledged messages: delivery tag -> time of delivery.
UNACKED_INDEX = "unacked_index"

#: Pause before another try where Redis is away: when it is back, leases are renewed first.
_AGAIN_S = 1.0


class ServerTimeQoS(kombu_redis.QoS):  # type: ignore[misc]  # kombu carries no types
    """kombu's bookkeeping of unacknowledged messages, by the clock of Redis."""

    #: How far this machine's clock is ahead of that of Redis, seconds.
    _ahead_s = 0.0

    def append(self, message: Any, delivery_tag: str) -> None:
        """Notes a delivery, at the time that it is for all workers."""
        if not self._ahead_s:
            super().append(message, delivery_tag)
            return
        # As kombu does it, but for the time. Noted by this machine's clock first and then set
        # right, a delivery could look abandoned in between, and be given to another worker.
        where = message.delivery_info
        noted = dumps([message._raw, where["exchange"], where["routing_key"]])
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: time.time() - self._ahead_s})
            pipe.hset(self.unacked_key, delivery_tag, noted)
            pipe.execute()
            virtual.QoS.append(self, message, delivery_tag)

    def can_consume(self) -> bool:
        """Whether the next message is to be taken."""
        return bool(super().can_consume()) and self.channel.has_room()

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Gives abandoned messages back to the queue."""
        with self.channel.conn_or_acquire() as client:
            ahead_s = time.time() - server_time(client)
            is_sure = may_give_away(client, float(self.channel.visibility_timeout))
        # Less than this is the way there and back.
        self._ahead_s = ahead_s if abs(ahead_s) > 0.5 else 0.0
        if is_sure:
            super().restore_visible(start, num, interval)

    # kombu asks a connection that was lost where Redis is, and the error would end the worker. What
    # was in hand then is given back by its lease, or comes again and is found done already.

    def restore_unacked(self, client: Any = None) -> None:
        """Gives back what is in hand."""
        if not self._is_lost:
            super().restore_unacked(client)

    def ack(self, delivery_tag: str) -> None:
        """Takes a message out of those in hand: it is dealt with."""
        if not self._is_lost:
            with self._let_go(delivery_tag):
                super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Takes a message out of those in hand, and puts it back into its queue."""
        if not self._is_lost:
            with self._let_go(delivery_tag):
                super().reject(delivery_tag, requeue)

    @contextmanager
    def _let_go(self, delivery_tag: str) -> Iterator[None]:
        """Counts a message as out of hand also if Redis could not be told.

        kombu goes on counting it, and a worker that counts as many as it may hold takes no more.
        """
        try:
            yield
        finally:
            self._dirty.add(delivery_tag)

    @property
    def _is_lost(self) -> bool:
        return getattr(self.channel.connection, "client", None) is None

    @property
    def visibility_timeout(self) -> float:
        """Kombu subtracts it from this machine's clock; so the difference goes into it."""
        return float(self.channel.visibility_timeout) + self._ahead_s


class Pulse:
    """Tells whether a shard in hand makes progress.

    Args:
        limit_s: One that gets nothing done for this long makes none.
        clock: Seconds, never going back.
    """

    def __init__(
        self, limit_s: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._beat_s = clock()
        #: Time that it is given beyond the limit, seconds.
        self.extra_s = 0.0

    def allow(self, seconds: float) -> None:
        """Lets the shard be silent for so long, where that is longer than the limit."""
        self.extra_s = max(0.0, seconds - self._limit_s)

    def beat(self) -> None:
        """Notes that something of the shard is done: a record, or an answer about one."""
        self._beat_s = self._clock()

    @property
    def silent_s(self) -> float:
        """For how long nothing has been done, seconds."""
        return self._clock() - self._beat_s

    @property
    def left_s(self) -> float:
        """For how long nothing need be done yet, seconds; 0 if it makes no progress."""
        return max(0.0, self._limit_s + self.extra_s - self.silent_s)


class _Held(NamedTuple):
    """A message in hand."""

    pulse: Pulse
    claim: Claim | None


class Leases:
    """Renews the messages in hand, beside the work, three times per timeout.

    Args:
        client: The Redis that carries the queue.
        timeout_s: The visibility timeout.
        stalled_s: A shard that makes no progress for this long is not renewed any more.
        runtime: The clock and the thread by which it renews.
    """

    def __init__(
        self,
        client: redis.Redis,
        timeout_s: float,
        *,
        stalled_s: float = math.inf,
        runtime: Runtime = REAL,
    ) -> None:
        self._redis = client
        #: That of this process, while it has something in hand.
        self.lives = Lives(client, timeout_s)
        self.timeout_s = timeout_s
        self.period_s = timeout_s / 3
        self._stalled_s = stalled_s
        self._runtime = runtime
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._rounds = Rounds(
            "leases",
            self.renew,
            self.period_s,
            "leases could not be renewed",
            again_s=_AGAIN_S,
            runtime=runtime,
        )
        self._is_started = False

    @contextmanager
    def hold(self, tag: str, claim: Claim | None = None) -> Iterator[Pulse]:
        """Keeps one message for as long as the block runs, and its shard makes progress.

        Args:
            tag: What the queue knows its delivery by.
            claim: The claim on its shard; kept as long, if it is taken, and released at the end.
        """
        pulse = Pulse(self._stalled_s, self._runtime.monotonic)
        with self._lock:
            self._held[tag] = _Held(pulse, claim)
            if not self._is_started:
                self._is_started = True
                self._rounds.start()
        try:
            yield pulse
        finally:
            with self._lock:
                self._held.pop(tag, None)
                is_idle = not self._held
            if claim is not None:
                claim.release()
            if is_idle:
                self.lives.leave()

    def silent_s(self) -> float | None:
        """For how long the shard in hand that is silent longest has been so; None if none is.

        What a shard is allowed beyond the limit does not count.
        """
        with self._lock:
            times = [each.pulse.silent_s - each.pulse.extra_s for each in self._held.values()]
        return max(0.0, *times) if times else None

    def renew(self) -> None:
        """Renews all messages in hand whose shards make progress, once."""
        with self._lock:
            held = {tag: each for tag, each in sorted(self._held.items()) if each.pulse.left_s}
        if not held:
            return
        self.lives.touch()
        now = server_time(self._redis)
        # XX: a message that was acknowledged meanwhile must not come back.
        kept = self._redis.zadd(UNACKED_INDEX, dict.fromkeys(held, now), xx=True, ch=True)
        lost = len(held) - int(kept or 0)
        metrics.add("leases_lost", lost)
        if lost:
            for each in held.values():
                if each.claim is not None:
                    each.claim.keep()

"""Due: shards that are to be put into a queue and are not there yet, and whose turn it is.

    regioncap:<job>:due:<stage>   bitmap by shard number: those of a job that are due
    regioncap:<job>:due           hash: what feeding needs to know of the job
    regioncap:turns:<queue>       sorted set of jobs with shards due for a queue; the next first
    regioncap:turns               set of the queues that ever had one

The score of a job is that of its priority, and a number that grows with each turn: jobs of one
priority take turns shard by shard, and a higher one goes first. `regioncap.services.feeder` says
when a shard is put into its queue, and which.

A bit that is set twice counts once, and what is lost with Redis, reconciling sets again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import redis
from redis.client import NEVER_DECODE

from regioncap.job import Job
from regioncap.keys import is_job_id
from regioncap.records import Stage
from regioncap.services.broker import answers_of, queue_errors
from regioncap.services.messages import RENDER, is_ours
from regioncap.services.progress import parts_key

_QUEUES = "regioncap:turns"
#: Turns of one priority: more than are ever taken, and exact as a score.
BAND = 10**12
_BANDS = {"high": 0, "normal": 1, "low": 2}
#: The highest score of any.
LAST = len(_BANDS) * BAND - 1
#: The bit of a shard from this one on is set by itself, not in a bitmap of as many bits.
_LARGE = 4096
#: Bytes of a bitmap that are read at a time: 4,096 shards.
_CHUNK_BYTES = 512

# What is sent is due no more, in the same step: whoever dies here, and however many do this at
# once, each shard is sent once. KEYS: turns, queue, and for each job its bitmap, the one of its
# other stage, and its hash. ARGV: the mark, how many jobs, each one's id and priority's first
# score, and for each message its job's place, its shard and its text.
_FEED = """
local function last(turns, base)
  local found = redis.call('ZRANGE', turns, base + BAND - 1, base, 'BYSCORE', 'REV',
    'LIMIT', 0, 1, 'WITHSCORES')
  return found[2] and found[2] + 1 or base
end
local mark, jobs, fed = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local length = redis.call('LLEN', KEYS[2])
for at = 3 + 2 * jobs, #ARGV, 3 do
  if length >= mark then break end
  local nth = tonumber(ARGV[at])
  local bits = KEYS[3 * nth]
  if redis.call('GETBIT', bits, ARGV[at + 1]) == 1 then
    redis.call('SETBIT', bits, ARGV[at + 1], 0)
    length = redis.call('LPUSH', KEYS[2], ARGV[at + 2])
    local base = tonumber(ARGV[2 + 2 * nth])
    redis.call('ZADD', KEYS[1], 'XX', last(KEYS[1], base), ARGV[1 + 2 * nth])
    fed = fed + 1
  end
end
for nth = 1, jobs do
  if redis.call('BITPOS', KEYS[3 * nth], 1) == -1 then
    redis.call('DEL', KEYS[3 * nth])
    redis.call('ZREM', KEYS[1], ARGV[1 + 2 * nth])
    if redis.call('EXISTS', KEYS[3 * nth + 1]) == 0 then redis.call('DEL', KEYS[3 * nth + 2]) end
  end
end
return fed
""".replace("BAND", str(BAND))


def bits_key(job: str, stage: Stage) -> str:
    """The bitmap of a job's shards that are due for a stage."""
    return f"regioncap:{job}:due:{stage}"


def job_key(job: str) -> str:
    """What feeding needs to know of a job."""
    return f"regioncap:{job}:due"


def turns_key(queue: str) -> str:
    """The jobs that have shards due for a queue."""
    return f"{_QUEUES}:{queue}"


def note(
    client: redis.Redis, job: Job, stage: Stage, shards: Collection[int], window_shards: int
) -> None:
    """Notes that shards are due, all in one step, and has their job take its turns.

    Args:
        client: The Redis that carries the queue.
        job: Their job.
        stage: `render` or `caption`.
        shards: The shards; with none, a job that has some due has its turn again if it was lost.
        window_shards: How many of the job's shards may be on their way at a time.

    Raises:
        QueueError: Redis is away.
    """
    bits, queue = bits_key(job.job, stage), RENDER if stage == "render" else job.settings.queue
    with queue_errors():
        if not shards and not client.exists(bits):
            return
        score = _next_score(client, turns_key(queue), job)
        told: dict[Any, Any] = {
            "queue": job.settings.queue,
            "shards": job.shards,
            "window": window_shards,
        }

        def write(*, bit_by_itself: bool) -> None:
            # No script: whoever submits is to have no right to run any.
            with client.pipeline() as pipe:
                _set_bits(pipe, bits, shards, bit_by_itself=bit_by_itself)
                pipe.hset(job_key(job.job), mapping=told)
                pipe.sadd(_QUEUES, queue)
                pipe.zadd(turns_key(queue), {job.job: score}, nx=True)
                pipe.execute()

        is_far = len(shards) == 1 and max(shards) >= _LARGE
        try:
            write(bit_by_itself=is_far)
        except redis.exceptions.NoPermissionError:
            if not is_far:
                raise
            # Nor to set a bit anywhere, which takes memory up to there.
            write(bit_by_itself=False)


def _next_score(client: redis.Redis, turns: str, job: Job) -> int:
    """The score of a job that joins those that take turns.

    One without results goes first. One that has some goes to the end: else jobs whose shards become
    due one by one would have the first turns each time, and one with a backlog none.
    """
    base = _BANDS[job.settings.priority] * BAND
    with client.pipeline(transaction=False) as pipe:
        pipe.exists(parts_key(job.job))
        pipe.zrange(
            turns, base + BAND - 1, base, desc=True, byscore=True, offset=0, num=1, withscores=True
        )
        has_results, last = pipe.execute()
    return int(last[0][1]) + 1 if has_results and last else base


def _set_bits(pipe: Any, bits: str, shards: Collection[int], *, bit_by_itself: bool) -> None:
    if bit_by_itself:
        pipe.setbit(bits, max(shards), 1)
    elif shards:
        pipe.set(f"{bits}:more", _bitmap(shards))
        pipe.bitop("OR", bits, bits, f"{bits}:more")
        pipe.delete(f"{bits}:more")


def put(
    client: redis.Redis,
    queue: str,
    mark: int,
    turns: Sequence[tuple[str, float]],
    messages: Iterable[tuple[str, int, str]],
) -> int:
    """Puts messages of shards that are still due into their queue; returns how many there were.

    Args:
        client: The Redis that carries the queue.
        queue: The queue.
        mark: It is filled up to this length.
        turns: The jobs with their scores; one that has nothing due any more takes no more turns.
        messages: Job, shard and text of each, in order.
    """
    stage, other = ("render", "caption") if queue == RENDER else ("caption", "render")
    place = {job: nth for nth, (job, _) in enumerate(turns, 1)}
    keys, words = [turns_key(queue), queue], [str(mark), str(len(turns))]
    for job, score in turns:
        keys += [bits_key(job, stage), bits_key(job, other), job_key(job)]  # type: ignore[arg-type]
        words += [job, str(int(score) // BAND * BAND)]
    for job, shard, text in messages:
        words += [str(place[job]), str(shard), text]
    return int(client.eval(_FEED, len(keys), *keys, *words))


def drop(client: redis.Redis, job: str) -> None:
    """Has nothing of a job follow any more: it has ended."""
    with queue_errors():
        queue = client.hget(job_key(job), "queue")
        with client.pipeline() as pipe:
            pipe.delete(bits_key(job, "render"), bits_key(job, "caption"), job_key(job))
            for name in (RENDER, *([queue] if queue else [])):
                pipe.zrem(turns_key(str(name)), job)
            pipe.execute()


def queues(client: redis.Redis) -> set[str]:
    """The queues that jobs take turns at, or once did; whoever submits may write there."""
    with queue_errors():
        return {queue for queue in map(str, client.smembers(_QUEUES)) if is_ours(queue)}


def jobs(client: redis.Redis) -> set[str]:
    """The jobs that have shards due."""
    with queue_errors(), client.pipeline(transaction=False) as pipe:
        for queue in queues(client):
            pipe.zrange(turns_key(queue), 0, -1)
        answers = answers_of(pipe)
    return {job for turns in answers for job in filter(is_job_id, turns or [])}


def count(client: redis.Redis, job: str) -> int:
    """How many shards of a job are due, for either stage."""
    with queue_errors(), client.pipeline(transaction=False) as pipe:
        for stage in ("render", "caption"):
            pipe.bitcount(bits_key(job, stage))
        return sum(pipe.execute())


def bitmap(client: redis.Redis, job: str, stage: Stage) -> bytes:
    """The shards of a job that are due for a stage, a bit each."""
    with queue_errors():
        return _bytes(client, "GET", bits_key(job, stage))


def first_shards(client: redis.Redis, job: str, stage: Stage, most: int) -> list[int]:
    """The first shards of a job that are due for a stage."""
    key, found, start = bits_key(job, stage), list[int](), 0
    while len(found) < most:
        at: Any = client.bitpos(key, 1, start)
        if at < 0:
            break
        start = at // 8
        chunk = _bytes(client, "GETRANGE", key, start, start + _CHUNK_BYTES - 1)
        found += numbers(chunk, 8 * start)
        start += _CHUNK_BYTES
    return found[:most]


def _bytes(client: Any, *command: str | int) -> bytes:
    """The answer to a command; a bitmap is no text."""
    return client.execute_command(*command, **{NEVER_DECODE: True}) or b""


def _bitmap(shards: Collection[int]) -> bytes:
    bits = bytearray(max(shards) // 8 + 1)
    for shard in shards:
        bits[shard >> 3] |= 0x80 >> (shard & 7)
    return bytes(bits)


def numbers(bits: bytes, first: int = 0) -> list[int]:
    """The numbers of the bits that are set, where the leftmost has the number `first`."""
    return [
        first + 8 * at + place
        for at, byte in enumerate(bits)
        if byte
        for place in range(8)
        if byte & 0x80 >> place
    ]

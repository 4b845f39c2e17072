"""Ends: a command or an address of the operator's is told that a job has ended or paused.

A marker `ends/<job>.<token>` stands before the job ends (`markers.note_end`), and goes when it was
told; whoever dies between, it is told once more. What could not be told is tried again, ever more
rarely, and given up after a day. Several markers of a job are told as one: what counts is what
became of it.

What is told comes from a job, whose name may be anything: it is data on standard input or in a
body, never a word of the command or a part of the address.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import unquote

import redis
import structlog
import urllib3
from pydantic import BaseModel

from regioncap import keys, metrics
from regioncap.errors import NotFoundError, RegionCapError, ServiceError, StoreDeniedError
from regioncap.job import Job
from regioncap.jobs import catalogue
from regioncap.jobs.markers import BROKEN_OFF, remove
from regioncap.jobs.status import JobStatus, State, job_status
from regioncap.parallel import REAL, Runtime
from regioncap.records import SCHEMA_VERSION, dump_json
from regioncap.services.broker import queue_errors
from regioncap.services.store import Store, Stored
from regioncap.settings import Settings

#: Longest run of the command, and longest wait for the server, seconds.
TIMEOUT_S = 10.0
#: No further job is told in a turn that has taken this long, or in which so many could not be: the
#: janitor has more to do.
_TURN_S, _FAILURES = 10.0, 3
#: A notice that fails for longer is given up.
GIVEN_UP = timedelta(days=1)
#: A job is tried again after the time that its marker is old, within these limits, seconds. The
#: least is more than a try takes, so that no two janitors tell of a job at a time.
_SOONEST_S, _LATEST_S = 30.0, 1800.0
#: Between two looks, of whichever janitors, seconds.
LOOK_S = 5.0

_LOOKED = "regioncap:ends"
#: What Redis says of how long a key lives that never expires.
_FOR_EVER = -1

_log = structlog.get_logger("regioncap")


class Notice(BaseModel):
    """What is told."""

    schema_version: int = SCHEMA_VERSION
    job: str
    name: str
    #: `done`, `cancelled` or `paused`.
    state: State
    counts: dict[str, int]
    created: datetime
    #: When it was done or cancelled; None if it is paused.
    finished: datetime | None


class Ends:
    """Tells that jobs have ended; does nothing where nobody wants to know.

    Args:
        store: Where the jobs lie.
        client: The Redis that carries the queue; janitors share there who tells what.
        settings: Whom to tell.
        runtime: The clock.
    """

    def __init__(
        self, store: Store, client: redis.Redis, settings: Settings, runtime: Runtime = REAL
    ) -> None:
        self._store = store
        self._redis = client
        self._command = settings.on_end_command
        self._url = settings.on_end_url.get_secret_value()
        self._runtime = runtime

    def tell(self) -> None:
        """Tells what is there to tell, and takes little more than `TIMEOUT_S` twice.

        Raises:
            ServiceError: The store or Redis is away; what was not told stays to be told.
        """
        if not (self._command or self._url) or not self._take(_LOOKED, LOOK_S):
            return
        begun_s, failures = self._runtime.monotonic(), 0
        for job_id, noted in self._noted().items():
            if failures == _FAILURES or self._runtime.monotonic() - begun_s >= _TURN_S:
                return
            age = self._runtime.now() - noted
            again_in_s = min(max(age.total_seconds(), _SOONEST_S), _LATEST_S)
            if not self._take(_turn(job_id), again_in_s):
                continue
            # Listed anew: another janitor may have told it meanwhile.
            found = [each.key for each in self._store.list_stored(keys.end_key(job_id))]
            problem = self._tell_of(job_id, age) if found else ""
            if problem is None:  # its end is still to come
                found = []
            elif problem and not self._is_given_up(job_id, age, problem, again_in_s):
                failures += 1
                continue
            remove(self._store, found)
            with queue_errors():
                self._redis.delete(_turn(job_id))

    def _noted(self) -> dict[str, datetime]:
        """When the end of each job was noted first; the oldest first."""
        noted: dict[str, datetime] = {}
        stored: Sequence[Stored] = list(self._store.list_stored(keys.ENDS))
        for marker in sorted(stored, key=lambda each: each.modified):
            if keys.is_job_id(job_id := keys.ending(marker.key)):
                noted.setdefault(job_id, marker.modified)
        return noted

    def _tell_of(self, job_id: str, age: timedelta) -> str | None:
        """Tells of one job.

        Returns:
            What went wrong; empty if nothing did or there is nobody to tell of, None if the job
            has not come to its end.
        """
        try:
            job = catalogue.load(self._store, job_id)
            status = job_status(self._store, self._redis, job)
        except NotFoundError:
            return ""
        except StoreDeniedError as error:
            return str(error)
        except ServiceError:
            raise
        except RegionCapError as error:
            return str(error)
        if not status.rests:
            # Whoever noted it died before it, or the job goes on again: its end is noted anew.
            return None if age < GIVEN_UP else ""
        if age >= BROKEN_OFF:
            return f"it ended more than {BROKEN_OFF.days} days ago"
        text = dump_json(self._notice(job, status))
        problem = run(self._command, text) if self._command else ""
        if not problem and self._url:
            problem = post(self._url, text)
        if not problem:
            metrics.add("notices", outcome="told")
            _log.info("told that a job has ended", job=job_id, state=status.state)
        return problem

    def _notice(self, job: Job, status: JobStatus) -> Notice:
        finished = status.finished
        if status.state == "cancelled":
            finished = self._store.modified(keys.cancelled_key(job.job))
        names = ("records", "done", "failed", "shards", "shards_done", "regions", "regions_ok")
        return Notice(
            job=job.job,
            name=job.name,
            state=status.state,
            counts={name: getattr(status, name) for name in names},
            created=job.created,
            finished=finished,
        )

    def _is_given_up(self, job_id: str, age: timedelta, problem: str, again_in_s: float) -> bool:
        if age >= GIVEN_UP:
            metrics.add("notices", outcome="given-up")
            _log.error("nobody was told that a job has ended", job=job_id, error=problem)
            return True
        metrics.add("notices", outcome="failed")
        _log.warning(
            "could not tell that a job has ended",
            job=job_id, error=problem, again_in_s=round(again_in_s),
        )  # fmt: skip
        return False

    def _take(self, key: str, for_s: float) -> bool:
        with queue_errors():
            if self._redis.set(key, "1", nx=True, px=int(for_s * 1000)):
                return True
            if self._redis.ttl(key) == _FOR_EVER:  # whatever it is, it is none of ours
                self._redis.delete(key)
        return False


def run(command: Sequence[str], text: bytes) -> str:
    """Runs a command with a text on its standard input; what it prints is dropped.

    Returns:
        What went wrong; empty if nothing did.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"on_end_command cannot be run: {error}"
    try:
        process.communicate(text, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.wait()
        return f"on_end_command took longer than {TIMEOUT_S:.0f} s"
    return "" if process.returncode == 0 else f"on_end_command ended with {process.returncode}"


def post(url: str, text: bytes) -> str:
    """Sends a text to a server; follows no redirection.

    Returns:
        What went wrong, without the address, which may hold a token; empty if nothing did.
    """
    try:
        parts = urllib3.util.parse_url(url)
        connection = _connection(parts)
        connection.connect()
        with _ended_after(connection, TIMEOUT_S):
            headers = {"Content-Type": "application/json"}
            if parts.auth is not None:
                headers |= urllib3.make_headers(basic_auth=unquote(parts.auth))
            connection.request("POST", parts.request_uri, text, headers)
            status = connection.getresponse().status
    except (HTTPException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return f"on_end_url cannot be reached: {type(error).__name__}"
    return "" if 200 <= status < 300 else f"on_end_url answered {status}"


def _connection(parts: urllib3.util.Url) -> HTTPConnection:
    host = (parts.host or "").strip("[]")
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=TIMEOUT_S)
    return HTTPConnection(host, parts.port, timeout=TIMEOUT_S)


@contextmanager
def _ended_after(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Runs the block, and ends its connection at last.

    A limit of a connection's own is one of each piece: a server may send them for ever.

    Raises:
        TimeoutError: It took too long.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with suppress(OSError, AttributeError):  # there is none any more
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
        if is_late.is_set():  # what was cut off looks whole
            raise TimeoutError
    finally:
        timer.cancel()
        connection.close()


def _turn(job_id: str) -> str:
    """Key of whose turn it is to tell of a job, or that it is not time to try again."""
    return f"{_LOOKED}:{job_id}"

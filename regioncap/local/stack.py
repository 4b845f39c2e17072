"""The broker and the object store of one working folder.

<folder>/stack.lock      held by the process that runs the stack, and by its servers
<folder>/stack.json      how to reach it, while it is up
<folder>/private.json    credentials and ports, kept from one start to the next
<folder>/valkey/  seaweed/  logs/
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from regioncap.errors import ServiceError, UsageError
from regioncap.files import written
from regioncap.local import seaweed, valkey
from regioncap.local.files import free_ports, is_port_free, write_private
from regioncap.local.guard import Guard
from regioncap.local.process import Child, OnRestart, Supervisor
from regioncap.running_stack import find_stack, try_lock

BUCKET = "regioncap"
REGION = "us-east-1"
#: How long both servers may take to answer.
START_TIMEOUT_S = 60.0
#: How long the servers of a killed stack may take to end before a new one gives up.
TAKEOVER_TIMEOUT_S = 15.0


@dataclass(slots=True)
class _Private:
    """What a stack keeps from one start to the next."""

    valkey_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    s3_access_key: str = field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    ports: dict[str, int] = field(default_factory=dict)

    def draw_ports(self) -> None:
        names = ("valkey.port", *seaweed.PORT_NAMES)
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))

    def has_free_ports(self) -> bool:
        return bool(self.ports) and all(map(is_port_free, self.ports.values()))


class LocalStack:
    """Valkey and SeaweedFS as children of this process, reached from this machine only.

    Args:
        folder: Where data, credentials and logs lie; made if it is missing.
        on_restart: Told of each child that is about to be started again, in any thread.
        bucket: The bucket to use; made if it is missing.
        prefix: The folder of the bucket to use.
    """

    def __init__(
        self,
        folder: Path,
        on_restart: OnRestart = lambda *_: None,
        *,
        bucket: str = BUCKET,
        prefix: str = "",
    ) -> None:
        self.folder = folder.absolute()
        self._bucket, self._prefix = bucket, prefix
        self._on_restart = on_restart
        self.supervisor: Supervisor | None = None
        self._guard: Guard | None = None
        self._private = _Private()
        self._lock: int | None = None

    def start(self) -> Self:
        """Starts both servers and waits until both answer.

        Raises:
            UsageError: A stack is up in this folder (`already-up`), it cannot be written
                (`bad-output`), the servers' packages are not installed (`missing-extra`), or no
                bucket may be called so (`bad-settings`).
            ServiceError: A server does not start (`stack-start`).
        """
        seaweed.check_bucket(self._bucket)
        with written(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take_lock(self.folder)
        try:
            # With the lock held, one that a killed process left would pass for this stack's, and
            # `down` end whatever has its number now.
            (self.folder / "stack.json").unlink(missing_ok=True)
            self._load_private()
            self._start_servers()
            self._tell()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops both servers; does nothing if they are down."""
        self._stop_servers()
        if self._lock is not None:
            (self.folder / "stack.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def starting(self, queues: Sequence[str]) -> Iterator[None]:
        """Tells, for as long as the block runs, of queues whose workers are being started."""
        self._tell(queues)
        try:
            yield
        finally:
            self._tell()

    def settings(self) -> dict[str, str]:
        """How to reach the stack, by the names of RegionCap's settings."""
        private = self._private
        broker_port = private.ports["valkey.port"]
        return {
            "broker_url": f"redis://:{private.valkey_password}@127.0.0.1:{broker_port}/0",
            "s3_endpoint": f"127.0.0.1:{private.ports['s3.port']}",
            "s3_access_key": private.s3_access_key,
            "s3_secret_key": private.s3_secret_key,
            "s3_session_token": "",  # one that is set belongs to other keys
            "s3_bucket": self._bucket,
            "s3_prefix": self._prefix,
            "s3_secure": "false",
            "s3_region": REGION,
        }

    def child(self, name: str) -> Child:
        """The server by the name `valkey` or `seaweed`."""
        children = self.supervisor.children if self.supervisor else []
        return next(child for child in children if child.command.name == name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tell(self, starting: Sequence[str] = ()) -> None:
        """Writes how others reach the stack, while it is up."""
        if self._lock is not None:
            info = {"pid": os.getpid(), "settings": self.settings(), "starting": [*starting]}
            write_private(self.folder / "stack.json", json.dumps(info, indent=1) + "\n")

    def _load_private(self) -> None:
        path = self.folder / "private.json"
        self._private = _Private(**json.loads(path.read_text())) if path.exists() else _Private()
        if not self._private.has_free_ports():
            self._private.draw_ports()
        self._save_private()

    def _save_private(self) -> None:
        write_private(self.folder / "private.json", json.dumps(asdict(self._private)))

    def _start_servers(self) -> None:
        try:
            self._start_servers_once()
        except ServiceError:
            self._stop_servers()
            if self._private.has_free_ports():
                raise
            # Another process took a port in between.
            self._private.draw_ports()
            self._save_private()
            self._start_servers_once()

    def _stop_servers(self) -> None:
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        if self.supervisor is not None:
            self.supervisor.stop()
            self.supervisor = None
            seaweed.remove_sockets(self._private.ports)

    def _start_servers_once(self) -> None:
        assert self._lock is not None  # noqa: S101 - start() took it
        private, held = self._private, (self._lock,)
        commands = (
            valkey.command(
                self.folder / "valkey",
                port=private.ports["valkey.port"],
                password=private.valkey_password,
                keep_fds=held,
            ),
            seaweed.command(
                self.folder / "seaweed",
                ports={name: private.ports[name] for name in seaweed.PORT_NAMES},
                access_key=private.s3_access_key,
                secret_key=private.s3_secret_key,
                keep_fds=held,
            ),
        )
        self.supervisor = Supervisor(
            self.folder / "logs", keep_fds=held, on_restart=self._on_restart
        )
        broker, store = (self.supervisor.start(command) for command in commands)
        settings = self.settings()
        client = seaweed.client(
            settings["s3_endpoint"], private.s3_access_key, private.s3_secret_key
        )
        broker.wait_ready(lambda: valkey.is_ready(settings["broker_url"]), START_TIMEOUT_S)
        store.wait_ready(lambda: seaweed.is_ready(client, self._bucket), START_TIMEOUT_S)
        self._guard = Guard(store, self.folder)


def _take_lock(folder: Path) -> int:
    deadline = time.monotonic() + TAKEOVER_TIMEOUT_S
    while (lock := try_lock(folder / "stack.lock")) is None:
        owner = find_stack(folder)
        if (owner is not None and _is_alive(owner.pid)) or time.monotonic() > deadline:
            by = f"process {owner.pid}" if owner else "another process"
            raise UsageError(
                f"the stack in {folder} is up already, run by {by}",
                code="already-up",
                hint="use it as it is, stop it with `regioncap down`, or choose another folder",
            )
        time.sleep(0.05)
    return lock


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True

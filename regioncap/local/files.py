"""Files and ports that belong to one stack alone."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from regioncap.files import whole

#: Ports are drawn from here: below the ranges that Linux and macOS give to outgoing connections,
#: so that none of those takes a port between two starts.
PORT_RANGE = range(15000, 25000)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    with whole(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(text, encoding="utf-8")


def is_port_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Draws distinct ports that are free now."""
    drawn = random.sample(PORT_RANGE, k=len(PORT_RANGE))
    ports = [port for _, port in zip(range(count), filter(is_port_free, drawn), strict=False)]
    if len(ports) < count:
        raise OSError(f"fewer than {count} free ports in {PORT_RANGE}")
    return ports

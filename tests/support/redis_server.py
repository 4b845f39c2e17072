"""A Redis of some kind: the embedded Valkey's own server, otherwise configured."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from regioncap.local.files import free_ports
from regioncap.local.valkey import server_path
from tests.support.rig import wait_until


@contextmanager
def redis_server(folder: Path, *lines: str) -> Iterator[int]:
    """Runs a server without persistence with these lines of configuration; its port."""
    (port,) = free_ports(1)
    folder.mkdir(exist_ok=True)
    (folder / "valkey.conf").write_text(
        "\n".join(["bind 127.0.0.1", f"port {port}", 'save ""', *lines])
    )
    process = subprocess.Popen(
        [server_path(), "valkey.conf"], cwd=folder, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, "it does not start"
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with suppress(redis.exceptions.ConnectionError), redis.Redis(port=port) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.ResponseError:
            return True
    return False


@contextmanager
def with_tls(target: int, key: Path, certificate: Path) -> Iterator[int]:
    """What speaks TLS before a server that does not, as the embedded one; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_lead_on, args=(server, context, target), daemon=True).start()
        yield server.getsockname()[1]


def _lead_on(server: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with suppress(OSError):
        while True:
            plain, _ = server.accept()
            plain.settimeout(5)
            try:
                near = context.wrap_socket(plain, server_side=True)
            except OSError:
                plain.close()
                continue
            near.settimeout(None)
            _join(near, target)


def _join(near: socket.socket, target: int) -> None:
    far = socket.create_connection(("127.0.0.1", target))
    for one, other in ((near, far), (far, near)):
        threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in one, other:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def loading_server(target: int) -> Iterator[tuple[int, threading.Event]]:
    """What answers as a Redis does that reads its data back, until the event; then it leads on."""
    loaded = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, loaded, target), daemon=True).start()
        yield server.getsockname()[1], loaded


def _serve(server: socket.socket, loaded: threading.Event, target: int) -> None:
    with suppress(OSError):
        while True:
            near, _ = server.accept()
            if loaded.is_set():
                _join(near, target)
            else:
                threading.Thread(target=_refuse, args=(near, loaded), daemon=True).start()


def _refuse(connection: socket.socket, loaded: threading.Event) -> None:
    with suppress(OSError), connection:
        while (data := connection.recv(65536)) and not loaded.is_set():
            commands = data.count(b"\r\n*") + 1
            connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * commands)

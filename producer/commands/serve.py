"""`regioncap serve`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.context import client_of, emit, say
from regioncap.errors import StoreError, UsageError

if TYPE_CHECKING:
    from regioncap.services.store import Store

#: A shorter token could be guessed.
_SHORTEST = 16


def serve_command(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any.", min=0, max=65535)] = 8765,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token [a new one each time].")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let in everybody who reaches the port.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Serve a page of all jobs, their progress, failures and galleries, until Ctrl-C."""
    import uvicorn

    from producer.site.access import is_loopback, new_token
    from producer.site.app import make_app

    if no_token and token_file:
        raise UsageError("--no-token and --token-file exclude each other")
    token = None if no_token else _read(token_file) if token_file else new_token()
    client = client_of(context)
    _check(client.store)
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        named = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104
        named = f"[{named}]" if ":" in named else named
        root = f"http://{named}:{port}/"
        # What is printed may be kept as a log; a token that lies in a file is not to be in one.
        address = f"{root}?token={token}" if token and not token_file else root
        config = uvicorn.Config(
            make_app(client, token, host, port),
            log_level="warning",
            access_log=False,  # addresses may hold the token
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        emit(address)
        if token_file:
            say(f"with ?token= behind it, and what stands in {token_file}, it lets in")
        else:
            say("who has this address sees all jobs and pictures" if token else _OPEN)
        if not is_loopback(host):
            say("it is not encrypted: beyond a network that you trust, put TLS in front")
        if open_ and typer.launch(address):
            say("there is no browser to show it in; open the address yourself")
        uvicorn.Server(config).run(sockets=[listener])


_OPEN = "there is no token: whoever reaches this address sees all jobs and pictures"


def _check(store: Store) -> None:
    """Returns if the store can be read; a bucket that the first job will make is fine."""
    try:
        store.check()
    except StoreError as error:
        if error.code != "no-bucket":
            raise
        say(f"{error.message} yet; the first job makes it")


def _read(file: Path) -> str:
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"the token file cannot be read: {error}", code="bad-token") from None
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{file} holds no token of {_SHORTEST} characters or more, without spaces",
            code="bad-token",
            hint="make one: openssl rand -hex 24 > FILE",
        )
    return token


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}",
            code="port-taken",
            hint="choose another: --port 0 takes any that is free",
        ) from None

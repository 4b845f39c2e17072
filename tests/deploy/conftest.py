"""The services of docker-compose.yml as processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap.local import seaweed, valkey
from regioncap.local.files import free_ports
from regioncap.local.process import Supervisor
from tests.support.compose import PROFILES, Compose, command, make_secrets, read_compose


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("secrets") / "secrets")


@pytest.fixture(scope="session")
def compose(secrets: Path) -> Compose:
    return read_compose(secrets, *PROFILES)


@pytest.fixture(scope="session")
def services(
    compose: Compose, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """Redis and the store, by the very command lines of the file; returns their ports."""
    folder = tmp_path_factory.mktemp("services")
    redis_port, s3_port, *inner = free_ports(8)
    roles = {name: compose.lay_secrets(name, folder / f"{name}-secrets") for name in
             ("redis", "store")}  # fmt: skip
    redis_argv = _local(
        compose.argv("redis"), folder, roles["redis"], {"redis-server": valkey.server_path()}
    )
    store_argv = _local(
        compose.argv("store"), folder, roles["store"],
        {"weed": seaweed.server_path(), "-s3.ip.bind=0.0.0.0": "-s3.ip.bind=127.0.0.1",
         "-s3.port=9000": f"-s3.port={s3_port}"},
    )  # fmt: skip
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
             "filer.port.grpc")  # fmt: skip
    store_argv += [f"-{name}={port}" for name, port in zip(names, inner, strict=True)]
    supervisor = Supervisor(folder / "logs", keep_fds=())
    try:
        argv = [*redis_argv, "--port", str(redis_port)]
        child = supervisor.start(command("redis", argv, folder))
        url = f"redis://health:-@127.0.0.1:{redis_port}"
        child.wait_ready(lambda: valkey.is_ready(url), 60)
        supervisor.start(command("store", store_argv, folder))
        yield {"redis": redis_port, "store": s3_port}
    finally:
        supervisor.stop()


def _local(argv: list[str], folder: Path, secrets: Path, swaps: dict[str, str]) -> list[str]:
    """A container's command line for this machine's paths; everything else stays."""
    swapped = [swaps.get(part, part) for part in argv]
    assert set(swaps) <= set(argv)
    (folder / "data").mkdir(exist_ok=True)
    return [
        part.replace("/run/secrets", str(secrets)).replace("/data", str(folder / "data"))
        for part in swapped
    ]

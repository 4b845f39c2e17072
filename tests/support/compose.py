"""docker-compose.yml as Compose reads it, and its services as plain processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from regioncap.local.process import Command

#: All that can be asked for besides what always runs.
PROFILES = ("gpu", "tools", "monitor", "page")

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> str:
    """Path of a program; a test that needs it is skipped where it is missing, but not in CI."""
    path = shutil.which(name)
    if path is None and "CI" not in os.environ:
        pytest.skip(f"{name} is not installed")
    assert path, f"{name} is not installed"
    return path


def make_secrets(folder: Path, **variables: str) -> Path:
    """Runs deploy/secrets.sh."""
    subprocess.run(
        [ROOT / "deploy/secrets.sh", folder], check=True, env={**os.environ, **variables}
    )
    return folder


@dataclass
class Compose:
    """The resolved file: variables, anchors, `extends` and secrets all in place."""

    file: dict[str, Any]

    def service(self, name: str) -> dict[str, Any]:
        """A service of it."""
        found: dict[str, Any] = self.file["services"][name]
        return found

    def argv(self, name: str) -> list[str]:
        """The command line of a service."""
        service = self.service(name)
        return [*service.get("entrypoint", []), *service.get("command", [])]

    def lay_secrets(self, name: str, folder: Path) -> Path:
        """Lays a service's secrets into a folder, under the names that its container sees."""
        folder.mkdir()
        for secret in self.service(name)["secrets"]:
            source = Path(self.file["secrets"][secret["source"]]["file"])
            shutil.copy(source, folder / secret.get("target", secret["source"]))
        return folder


def read_compose(secrets: Path, *profiles: str, **variables: str) -> Compose:
    """Reads docker-compose.yml with Compose itself."""
    arguments = [part for profile in profiles for part in ("--profile", profile)]
    # What a developer keeps in .env is no part of the test.
    (empty := secrets.parent / "empty.env").touch()
    done = subprocess.run(
        [tool("docker-compose"), "--env-file", str(empty), *arguments, "config"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRETS": str(secrets), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Compose(yaml.safe_load(done.stdout))


def command(name: str, argv: list[str], folder: Path, env: dict[str, str] | None = None) -> Command:
    """A process for the supervisor, whose files nobody else may read."""
    return Command(name=name, argv=tuple(argv), cwd=folder, env=env, umask=0o077, keep_fds=())

"""`docker` as far as a page types it, without an engine: Compose reads the file as it is.

A command in a container becomes the same command on this machine, in the folder and as the user
that the file gives it. What is asked of Docker is noted in the file named by `STAND_IN_NOTES`, a
JSON array a line; `STAND_IN_ENV` is a file with the environment of a running system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def services() -> dict[str, Any]:
    """The services as Compose reads them in this folder."""
    done = subprocess.run(
        ["docker-compose", "--profile", "*", "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def bound(volume: str | dict[str, str]) -> tuple[str, str]:
    """What a volume binds, and where; Compose's versions write it in one of two ways."""
    if isinstance(volume, str):
        source, target, *_ = volume.split(":")
        return source, target
    return volume["source"], volume["target"]


def run(words: list[str]) -> int:
    """A command in a container of a service."""
    name, *arguments = [word for word in words if word not in {"--rm", "-T"}]
    service = services()[name]
    if service["user"] != f"{os.getuid()}:{os.getgid()}":
        sys.exit(f"what it writes would belong to {service['user']}")
    (data,) = [
        source
        for source, target in map(bound, service["volumes"])
        if target == service["working_dir"]
    ]
    env = json.loads(Path(os.environ["STAND_IN_ENV"]).read_text())
    argv = [sys.executable, "-m", "producer", *arguments]
    return subprocess.run(argv, env=env, cwd=data, check=False).returncode


def main() -> int:
    """Does what is asked for, or notes it."""
    words = sys.argv[1:]
    with Path(os.environ["STAND_IN_NOTES"]).open("a") as notes:
        notes.write(json.dumps(words) + "\n")
    if words[:2] == ["compose", "run"]:
        return run(words[2:])
    services()
    return 0


if __name__ == "__main__":
    sys.exit(main())

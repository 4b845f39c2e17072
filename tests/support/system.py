"""The whole system on real parts: the embedded stack, and workers as the product starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.commands.stack import start_workers
from regioncap.client import Client
from regioncap.local import LocalStack
from regioncap.settings import load_settings
from tests.support import forked

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 300


@dataclass
class System:
    """A running stack with workers, and the command as a user types it."""

    stack: LocalStack
    services: Client

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of a subprocess that works with the stack."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
        stack = {f"REGIONCAP_{k.upper()}": v for k, v in self.stack.settings().items()}
        return inherited | stack

    def command(
        self, *arguments: str | Path, cwd: Path | None = None, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `regioncap` with arguments to its end."""
        return run_command(*arguments, env=self.env, cwd=cwd, stdin=stdin)

    def captioned(self, file: Path, *options: str | Path) -> list[dict[str, Any]]:
        """Submits a file, waits, and returns the results."""
        submitted = self.command("submit", file, *options)
        assert submitted.returncode == 0, submitted.stderr.decode()
        job = submitted.stdout.decode().strip()
        watched = self.command("watch", job, "--timeout", "90")
        assert watched.returncode in {0, 3}, watched.stderr.decode()
        found = self.command("results", job, "--output", file.with_suffix(".out"))
        assert found.returncode == 0, found.stderr.decode()
        return read_jsonl(file.with_suffix(".out"))


def run_command(
    *arguments: str | Path,
    env: dict[str, str],
    cwd: Path | None = None,
    stdin: bytes | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Runs `regioncap` from this checkout, wherever it is installed."""
    env, words = env | {"PYTHONPATH": str(ROOT)}, [*map(str, arguments)]
    if stdin is None and forked.is_fit(env):
        return forked.run("producer", words, env=env, cwd=cwd, timeout_s=_TIMEOUT_S)
    return subprocess.run(
        [sys.executable, "-m", "producer", *words],
        env=env,
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


@contextmanager
def running_system(
    folder: Path, render: int = 1, caption: int = 1, **settings: Any
) -> Iterator[System]:
    """A stack of its own with workers, which have these settings."""
    with LocalStack(folder) as stack:
        services = Client(load_settings(**stack.settings(), **settings))
        start_workers(stack, services.settings, render, caption)
        yield System(stack, services)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    """Writes records as JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path

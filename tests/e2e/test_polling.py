"""The examples of docs/results.md, run as they stand there against a real store."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.system import ROOT, System, write_jsonl

PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
CHECKS = {
    "While the job runs, with a plain S3 client": (
        "assert [record['index'] for record in records] == list(range(6))\n"
        "assert [bool(record['error']) for record in records] == [False] * 5 + [True]\n"
    ),
    "DuckDB, straight from the store": (
        "assert [row[:2] for row in captions] == [('red.png', 1)] * 5 + [('red.png', 2)] * 5\n"
        "assert all(caption for _, _, caption in captions)\n"
    ),
    "Hugging Face datasets": (
        "assert dataset['index'][:] == list(range(6))\nassert dataset[0]['regions'][1]['caption']\n"
    ),
}


@pytest.fixture(scope="module")
def job(system: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A job of three parts, the last with a failed record, and a folder with its results."""
    folder = tmp_path_factory.mktemp("polling")
    Image.effect_noise((320, 200), 90).save(folder / "red.png")
    good = {"image": "red.png", "bbox": [[1, 1, 99, 99], [100, 50, 80, 80.5]]}
    file = write_jsonl(folder / "in.jsonl", [good] * 5 + [{"image": "gone.png"}])
    # Not waited for: the first example polls while the job runs.
    submitted = system.command("submit", file, "--shard-size", "2")
    return submitted.stdout.decode().strip(), folder


@pytest.mark.parametrize("title", CHECKS)
def test_example(system: System, job: tuple[str, Path], title: str) -> None:
    job_id, folder = job
    settings = system.stack.settings()
    if title != next(iter(CHECKS)):
        system.command("watch", job_id, "--timeout", "90")
        system.command("results", job_id, "-o", folder / "results.jsonl")
    names = {
        "ENDPOINT": settings["s3_endpoint"],
        "ACCESS_KEY": settings["s3_access_key"],
        "SECRET_KEY": settings["s3_secret_key"],
        "BUCKET": settings["s3_bucket"],
        "JOB": job_id,
    }
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())

    ran = subprocess.run(
        [sys.executable, "-c", given + _example(title) + CHECKS[title]],
        env=system.env | {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"},
        cwd=folder,
        capture_output=True,
        timeout=110,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr.decode()


def _example(title: str) -> str:
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return "".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))

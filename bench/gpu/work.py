"""The jobs of a measurement: prepared before any engine is asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import drawing
from bench.gpu.cases import Case, make_job, write_pictures, write_questions
from regioncap.client import Client
from regioncap.job import Job
from regioncap.jobs import catalogue, results

WARM_UP = 32
_POLL_S = 0.05


@dataclass(slots=True)
class Work:
    """What is asked in the runs of a case, none of it twice."""

    case: Case
    records: int
    #: Files of questions: to warm up with, and for each run.
    warm: Path
    plain: list[Path] = field(default_factory=list)
    engine: list[Path] = field(default_factory=list)
    #: Uploaded, and neither rendered nor queued.
    system: list[Job] = field(default_factory=list)


def prepare(client: Client, folder: Path, case: Case, records: int, runs: int) -> Work:
    """Uploads the jobs of a case, and has those rendered that the bench asks about itself."""
    pictures = write_pictures(folder / "pictures", case, records)
    asked = {
        label: make_job(
            client, pictures, case, min(WARM_UP, records) if label == "warm" else records, label
        )
        for label in ("warm", *(f"{side}-{n}" for side in ("plain", "engine") for n in range(runs)))
    }
    drawing.draw(client.settings, list(asked.values()))
    system = [make_job(client, pictures, case, records, f"system-{n}") for n in range(runs)]
    files = {label: write_questions(client, job, folder / label) for label, job in asked.items()}
    return Work(
        case,
        records,
        files["warm"],
        [files[f"plain-{n}"] for n in range(runs)],
        [files[f"engine-{n}"] for n in range(runs)],
        system,
    )


def run_job(client: Client, job: Job, limit_s: float) -> dict[str, Any]:
    """Queues a job and waits for its end: from the first message to `_SUCCESS`.

    Raises:
        TimeoutError: It takes longer.
    """
    drawing.take_up(client, job)
    started = time.perf_counter()
    client.sender.render(job, range(job.shards))
    while catalogue.find_success(client.store, job.job) is None:
        if time.perf_counter() - started > limit_s:
            raise TimeoutError(f"the job took longer than {limit_s:.0f} s")
        time.sleep(_POLL_S)
    return {"seconds": time.perf_counter() - started}


def count(client: Client, job: Job) -> dict[str, int]:
    """What came of a job: images and regions with a caption, requests and tokens."""
    found = list(results.read(client.store, job))
    return {
        "images": sum(record["error"] is None for record in found),
        "failed": sum(record["error"] is not None for record in found),
        "regions": sum(region["status"] == "ok" for r in found for region in r["regions"]),
        **{
            name: sum(record["usage"][name] for record in found)
            for name in ("requests", "prompt_tokens", "completion_tokens")
        },
    }

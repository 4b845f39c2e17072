"""Runs scenes as a job on the running system: its queue, its store, its workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from regioncap.client import Client
from regioncap.errors import UsageError
from regioncap.evaluation.in_process import Variant, scene_record
from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.scores import Result, judge_scene
from regioncap.jobs.status import JobStatus
from regioncap.records import Region


def run_job(
    variant: Variant,
    scenes: Sequence[Scene],
    client: Client,
    on_progress: Callable[[JobStatus], None] = lambda _: None,
) -> tuple[Result, dict[str, str]]:
    """Captions scenes with one variant, as any job is captioned, and scores the captions.

    The time is that from the job's submission to its end, with all that workers do.

    Args:
        variant: How regions are shown.
        scenes: N scenes.
        client: Where the system is, with the settings of the sampling.
        on_progress: Called at each look at how far the job is.

    Returns:
        The scores, and the engine and model that the results name.

    Raises:
        ServiceError: A service cannot be reached.
        UsageError: The job was cancelled (`eval-cancelled`), or has paused at its limit (`paused`).
    """
    records = [
        scene_record(scene, index).model_copy(update={"picture": scene.image})
        for index, scene in enumerate(scenes)
    ]
    result = Result(variant.name)
    # Captions kept from an earlier evaluation would say nothing of the workers of today.
    given = variant.job_settings | {"reuse": False}
    job = client.submit(records, name=f"eval {variant.name}", **given)
    started = time.monotonic()
    status = client.wait(job, on_progress=on_progress)
    if status.state == "cancelled":
        raise UsageError(f"job {job} of the evaluation was cancelled", code="eval-cancelled")
    if not status.ended:
        raise UsageError(
            f"job {job} of the evaluation has paused: its limit of GPU time is reached",
            code="paused",
            hint="raise max_gpu_seconds for the evaluation, or measure fewer scenes",
        )
    result.seconds = time.monotonic() - started
    facts: dict[str, str] = {}
    for scene, record in zip(scenes, client.results(job), strict=True):
        result.requests += record["usage"]["requests"]
        result.prompt_tokens += record["usage"]["prompt_tokens"]
        result.completion_tokens += record["usage"]["completion_tokens"]
        regions = [Region.model_validate(region) for region in record["regions"]]
        result.judged += judge_scene(scene, regions)
        facts |= {"engine": record["engine"], "model": record["model"]}
    return result, facts

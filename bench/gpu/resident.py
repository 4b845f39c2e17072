"""The caption worker as it is, which answers a bench's tasks besides, with the same engine.

    BENCH_DESK=FOLDER celery -A bench.gpu.resident worker -Q caption -P threads

One start of the engine serves two rows: asked here for everything at once, and by the queue.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import signals

from bench.gpu import desk
from bench.gpu.desk import Task
from bench.gpu.plain import describe
from regioncap.engines.base import CaptionRequest, Sampling
from regioncap.engines.vllm import VllmEngine
from regioncap.errors import RequestError
from regioncap.records import Prompt
from workers import caption
from workers.caption import app  # noqa: F401  # what Celery looks for

_numbers = itertools.count()


def _engine() -> VllmEngine:
    engine = caption.worker.engine.engine
    assert isinstance(engine, VllmEngine)
    return engine


def _answer(task: Task) -> Task:
    if task["do"] == "describe":
        return describe(_engine()._require_llm().vllm_config)
    questions = json.loads(Path(task["questions"]).read_text())
    sampling = Sampling(**task["sampling"])
    started = time.perf_counter()
    asked = [_request(question, sampling) for question in questions]
    answers = caption.worker.engine.run(_engine().caption(asked)).result()
    seconds = time.perf_counter() - started
    for answer in answers:
        if isinstance(answer, RequestError):
            raise answer
    given = [answer for answer in answers if not isinstance(answer, RequestError)]
    return {
        "seconds": seconds,
        "requests": len(given),
        "prompt_tokens": sum(answer.prompt_tokens for answer in given),
        "completion_tokens": sum(answer.completion_tokens for answer in given),
        "cached_tokens": sum(answer.details["cached_tokens"] for answer in given),
    }


def _request(question: dict[str, str], sampling: Sampling) -> CaptionRequest:
    return CaptionRequest(
        request_id=f"bench-{next(_numbers)}",
        image=Path(question["image"]).read_bytes(),
        prompt=Prompt(question["system"], question["before"], question["after"]),
        sampling=sampling,
    )


def _open(**_: Any) -> None:
    folder = Path(os.environ["BENCH_DESK"])
    threading.Thread(target=desk.serve, args=(folder, _answer), name="desk", daemon=True).start()


signals.worker_ready.connect(_open, weak=False)

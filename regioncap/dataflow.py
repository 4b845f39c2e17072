"""The reference's pipeline by name, arguments and files, run by RegionCap.

Takes the place of `ImageRegionCaptionPipeline` of OpenDCAI's DataFlow-MM
(dataflow/statics/pipelines/gpu_pipelines/image_region_caption_pipeline.py): its users change one
import. It writes:

    <cache_path>/<file_name_prefix>_step1.jsonl   the reference's nine fields, then ours
    <cache_path>/<n>_bbox_vis.jpg                 the marked pictures, n from 1
    <output_image_with_bbox_path>                 the same records before captioning, as it does

A record that fails comes out with its `error`, where the reference drops it or ends.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from regioncap.client import Client
from regioncap.errors import ServiceError, UsageError
from regioncap.files import check_output, make_folder, open_input, whole
from regioncap.inputs.lines import parse_line, read_lines
from regioncap.jobs.status import JobStatus
from regioncap.jobs.submission import Submission
from regioncap.packages import is_installed
from regioncap.plurals import counted
from regioncap.records import InputRecord, dump_lines
from regioncap.settings import Settings, load_settings

#: The reference's fields before captioning, in its order.
_BOX_FIELDS = (
    "image", "type", "bbox", "normalized_bbox", "result_file", "image_with_bbox",
    "valid_bboxes_num", "prompt",
)  # fmt: skip
_TELL_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """Files and records of a run; iterating gives the records."""

    #: The results, one record a line.
    result_file: Path
    job: str
    records: int
    failed: int
    regions_ok: int
    elapsed_s: float

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.result_file.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


class ImageRegionCaptionPipeline:
    """Marks and captions the regions of the images that a JSON Lines file names.

    The services that the settings name are used if they answer and have workers, all with the
    `engine` if one is given; otherwise a stack of its own is started with the first `forward` and
    kept, model and all, for the next ones, until `close` or the end of the program.

    Args:
        model_path: Model folder or hub name.
        hf_cache_dir: Cache folder of the model hub.
        download_dir: Folder that weights are downloaded to.
        first_entry_file: Input, JSON Lines.
        cache_path: Folder of the results.
        file_name_prefix: What the result file's name starts with.
        cache_type: `jsonl`; no other is written.
        input_image_key: Field that names the image, relative to the working folder or the input.
        input_bbox_key: Field with boxes, [x, y, w, h] in pixels; without it they are proposed.
        max_boxes: Most boxes of a picture; those beyond come out as `skipped`.
        output_image_with_bbox_path: File for the records before captioning.
        engine: `vllm`, `openai` or `baseline`. By default what the settings say, else vllm where
            it is installed, else the baseline, which needs no model and knows no objects.
        show_progress: Whether stderr tells how far it is.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(  # noqa: PLR0917 - the reference's own signature
        self,
        model_path: str = "Qwen/Qwen2.5-VL-3B-Instruct",
        hf_cache_dir: str = "~/.cache/huggingface",
        download_dir: str = "../ckpt/models/Qwen2.5-VL-3B-Instruct",
        first_entry_file: str = (
            "../example_data/image_region_caption/image_region_caption_demo.jsonl"
        ),
        cache_path: str = "../cache/image_region_caption",
        file_name_prefix: str = "region_caption",
        cache_type: str = "jsonl",
        input_image_key: str = "image",
        input_bbox_key: str = "bbox",
        max_boxes: int = 10,
        output_image_with_bbox_path: str = (
            "../cache/image_region_caption/image_with_bbox_result.jsonl"
        ),
        *,
        engine: Literal["vllm", "openai", "baseline"] | None = None,
        show_progress: bool = True,
    ) -> None:
        if cache_type != "jsonl":
            raise UsageError(
                f"cache_type {cache_type!r} is not written here",
                code="bad-cache-type",
                hint="take jsonl; `regioncap export` writes CSV, Parquet and others",
            )
        self._input = Path(first_entry_file)
        self._cache = cache_path
        self._result_file = Path(cache_path) / f"{file_name_prefix}_step1.{cache_type}"
        self._boxes_file = Path(output_image_with_bbox_path)
        self._parse = partial(parse_line, image_key=input_image_key, bbox_key=input_bbox_key)
        self._shows_progress = show_progress
        self._tells_from_s = 0.0
        self._flags = {
            "max_boxes": max_boxes,
            "keep_marked": True,  # they are copied into cache_path
            "overflow": "cut",  # as the reference: normalized_bbox has max_boxes rows, always
            "model": model_path,
            "hf_cache_dir": Path(hf_cache_dir).expanduser(),
            "download_dir": Path(download_dir),
            "engine": engine or _default_engine(),
        }
        self._insists = engine is not None
        self._client: Client | None = None
        self._resources = ExitStack()
        self.close = weakref.finalize(self, self._resources.close)

    def forward(self) -> PipelineResult:
        """Captions the input and writes the files.

        Raises:
            UsageError: The input cannot be read, or a file not be written (`bad-output`).
            ServiceError: The stack does not start, or a service fails.
        """
        started = time.monotonic()
        for path in (self._result_file, self._boxes_file):
            make_folder(path.parent)
            check_output(path)
        with open_input(self._input) as file:
            client = self._connect()
            records = read_lines(file, self._parse)
            placed = (_placed(record, self._input.parent) for record in records)
            sent = client.upload(Submission(placed, name=self._result_file.stem))
        for line in sent.report.notes:
            self._tell(line)
        client.queue(sent.job)
        job = sent.job.job
        self._tells_from_s = time.monotonic() + _TELL_EVERY_S
        status = client.wait(job, on_progress=self._tell_now_and_then)
        if not status.ended:
            raise UsageError(
                f"job {job} has paused: its limit of GPU time is reached",
                code="paused",
                hint=f"go on with: regioncap resume {job} --max-gpu-seconds N",
            )
        self._write(client, job)
        done = counted(status.done, "record")
        self._tell(f"{done}, {status.failed:,} failed: {self._result_file}")
        return PipelineResult(
            self._result_file, job, status.done, status.failed, status.regions_ok,
            time.monotonic() - started,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> Client:
        if self._client is None:
            settings = load_settings(**self._flags)
            if not _serves(settings, settings.engine if self._insists else None):
                settings = self._start_stack()
            self._client = Client(settings)
        return self._client

    def _start_stack(self) -> Settings:
        from regioncap.local import LocalStack
        from regioncap.local.workers import start_workers

        folder = self._resources.enter_context(
            tempfile.TemporaryDirectory(prefix="regioncap-", ignore_cleanup_errors=True)
        )
        self._tell(f"starting a stack with the {self._flags['engine']} engine")
        stack = self._resources.enter_context(LocalStack(Path(folder)))
        settings = load_settings(**self._flags, **stack.settings())
        start_workers(stack, settings)
        return settings

    def _write(self, client: Client, job: str) -> None:
        with (
            whole(self._result_file) as whole_results,
            whole(self._boxes_file) as whole_boxes,
            whole_results.open("wb") as results,
            whole_boxes.open("wb") as boxes,
        ):
            for record in client.results(job):
                record["result_file"] = self._cache
                record["image_with_bbox"] = self._bring(client, record)
                results.write(dump_lines([record]))
                if record["image_with_bbox"] is not None:
                    boxes.write(dump_lines([{name: record[name] for name in _BOX_FIELDS}]))

    def _bring(self, client: Client, record: Mapping[str, Any]) -> str | None:
        """Brings the marked picture; returns its path as the reference writes it."""
        if record["image_with_bbox"] is None:
            return None
        path = Path(self._cache) / f"{record['index'] + 1}_bbox_vis.jpg"
        path.write_bytes(client.store.get_uri(record["image_with_bbox"]))
        return str(path)

    def _tell_now_and_then(self, status: JobStatus) -> None:
        if time.monotonic() >= self._tells_from_s:
            self._tell(f"{status.done:,} of {counted(status.records, 'record')}")
            self._tells_from_s = time.monotonic() + _TELL_EVERY_S

    def _tell(self, text: str) -> None:
        if self._shows_progress:
            sys.stderr.write(f"regioncap: {text}\n")


def _default_engine() -> str | None:
    """None leaves it to the settings."""
    if "engine" in load_settings().model_fields_set:
        return None
    return "vllm" if is_installed("vllm") else "baseline"


def _serves(settings: Settings, engine: str | None) -> bool:
    """Whether the services that the settings name answer and have someone to do the work.

    Args:
        settings: The settings.
        engine: What must caption there; None if whatever captions will do.
    """
    from regioncap.services.broker import connect
    from regioncap.services.presence import serving, unserved
    from regioncap.services.store import Store

    try:
        Store(settings).reach()
        client = connect(settings, patient=False)
        if unserved(client, settings.queue):
            return False
        # Any of them may get a shard of the job.
        found = {worker.get("engine") for worker in serving(client, "caption", settings.queue)}
        return engine is None or found == {engine}
    except ServiceError:
        return False


def _placed(record: InputRecord, base: Path) -> InputRecord:
    """A record with its picture where the reference looks for it, or else beside the input."""
    if record.image and "://" not in record.image:
        # The user's own file, in the user's own process: it may lie anywhere.
        here = Path(record.image)
        record.picture = here if here.exists() else base / here
    return record

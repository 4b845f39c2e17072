"""Real workers with the real vLLM, from a file of pictures to the results in the store.

The worker has all its settings from regioncap.toml and a checkpoint of early 2025; the plain way,
to which its captions are compared, has the same weights with a config.json of today.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from regioncap import keys
from regioncap.job import Job
from regioncap.records import RenderedRecord, load_lines
from regioncap.services.attempts import Attempts
from tests.e2e.vllm.conftest import IN_HAND, contents
from tests.support.plain_vllm import PlainAnswer, PlainModel, PlainQuestion
from tests.support.rig import Rig, Worker, wait_until
from tests.support.scenes import scene
from tests.support.system import write_jsonl

COUNT = 64
SHARD_SIZE = 4
MAX_TOKENS = 96
#: Above the start of a worker, and what pictures need, on two busy cores.
START_TIMEOUT_S = 600.0


def submit(rig: Rig, folder: Path, boxes: int, count: int, **settings: Any) -> Job:
    """Submits pictures of many sizes, each with boxes."""
    folder.mkdir()
    lines = []
    for number in range(count):
        width, height = 150 + 61 * (number % 7), 120 + 53 * (number % 6)
        (folder / f"{number}.jpg").write_bytes(scene(number, (width, height)))
        size = [width // 4, height // 4]
        places = [[(number + 17 * i) % 100, (3 * number + 11 * i) % 80] for i in range(boxes)]
        lines.append({"image": f"{number}.jpg", "bbox": [place + size for place in places]})
    return rig.submit(write_jsonl(folder / "in.jsonl", lines), shard_size=SHARD_SIZE, **settings)


@pytest.fixture(scope="module")
def job(rig: Rig, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """One box a picture: any words that end by themselves are then its caption."""
    folder = tmp_path_factory.mktemp("in") / "plain"
    return submit(rig, folder, 1, COUNT, temperature=0, max_tokens=MAX_TOKENS)


@pytest.fixture(scope="module")
def rendered(rig: Rig, job: Job) -> list[RenderedRecord]:
    """What the worker has to go by, as it stands in the store."""
    part_keys = [keys.part_key(job.job, "rendered", shard) for shard in range(job.shards)]
    wait_until(lambda: all(map(rig.store.exists, part_keys)), START_TIMEOUT_S)
    return [
        record for key in part_keys for record in load_lines(RenderedRecord, rig.store.get(key))
    ]


@pytest.fixture(scope="module")
def expected(
    rig: Rig,
    rendered: list[RenderedRecord],
    plain: PlainModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[PlainAnswer]:
    """What the plain loop says of the marked pictures, while the worker still starts."""
    folder = tmp_path_factory.mktemp("marked")
    questions = []
    for record in rendered:
        (view,) = record.views
        picture = folder / f"{record.index}.jpg"
        picture.write_bytes(rig.store.get(view.key))
        words = view.prompt
        questions.append(PlainQuestion(str(picture), words.system, words.before, words.after))
    return plain.ask(questions, MAX_TOKENS)


@pytest.fixture(scope="module")
def records(rig: Rig, job: Job, expected: list[PlainAnswer]) -> list[dict[str, Any]]:
    rig.wait_finished(job, START_TIMEOUT_S)
    return rig.check(job)


def test_the_model_s_folder_stays_as_it_was(
    records: list[dict[str, Any]], old_model: Path, untouched: dict[str, tuple[int, bytes]]
) -> None:
    assert records
    assert contents(old_model) == untouched


def test_captions_are_those_of_a_plain_loop_record_by_record(
    records: list[dict[str, Any]], expected: list[PlainAnswer]
) -> None:
    at_once = [
        (record["answer"], answer.text)
        for record, answer in zip(records, expected, strict=True)
        if record["error"] is None and record["usage"]["requests"] == 1
    ]
    assert len({answer for answer, _ in at_once}) >= 32, "a swap of two would not show"
    for ours, theirs in at_once:
        assert ours == theirs
    # Those that had to be asked for again begin with the same words.
    for record, answer in zip(records, expected, strict=True):
        assert record["finish_reason"] == answer.finish_reason
        assert (record["answer"] or answer.text).startswith(answer.text)


def test_marked_pictures_are_seen_at_their_own_size(
    records: list[dict[str, Any]],
    rendered: list[RenderedRecord],
    expected: list[PlainAnswer],
) -> None:
    assert len({view.size_wh for record in rendered for view in record.views}) > 20
    for record, shown, answer in zip(records, rendered, expected, strict=True):
        width, height = shown.views[0].size_wh
        assert answer.image_tokens == width * height / 784
        if record["usage"]["requests"] == 1:
            assert record["usage"]["prompt_tokens"] == answer.prompt_tokens


def test_a_picture_too_large_for_the_model_stops_nobody(
    rig: Rig, worker: Worker, tmp_path: Path
) -> None:
    (tmp_path / "small.jpg").write_bytes(scene(1, (200, 150)))
    (tmp_path / "large.jpg").write_bytes(scene(2, (1900, 940)))
    names = ["small.jpg", "large.jpg", "small.jpg"]
    lines = [{"image": name, "bbox": [[10, 10, 60, 50]]} for name in names]
    file = write_jsonl(tmp_path / "in.jsonl", lines)
    records = rig.check(rig.submit(file, temperature=0, prompt="json-2", max_tokens=600))
    assert [record["error"] for record in records] == [None] * 3
    # Refused whole, the large one is shown by a crop, which is never larger than half of it.
    assert [record["regions"][0]["view"] for record in records] == ["marks", "crop", "marks"]
    assert records[1]["usage"]["requests"] == 3


@pytest.mark.more
def test_noise_in_json_is_captions_or_an_error_of_its_record(
    rig: Rig, worker: Worker, tmp_path: Path
) -> None:
    noise = submit(
        rig, tmp_path / "noise", 2, 24, temperature=1, top_p=1, prompt="json-2", max_tokens=200
    )
    short = submit(rig, tmp_path / "short", 2, 4, temperature=1, prompt="json-2", max_tokens=4)
    records = rig.check(noise)
    for record in records:
        statuses = {region["status"] for region in record["regions"]}
        assert (record["error"] is None) == ("ok" in statuses)
        assert record["error"] is None or record["error"]["code"] == "no-caption"
        for region in record["regions"]:
            assert (region["caption"] is None) == (region["why"] is not None)
        if record["finish_reason"] == "stop" and record["usage"]["requests"] == 1:
            # Not strict: the grammar lets control characters through.
            assert set(json.loads(record["answer"], strict=False)) == {"region1", "region2"}
    cut = [record for record in records if record["finish_reason"] == "length"]
    assert any(record["error"] is None for record in cut), "none was asked for again with success"
    for record in rig.check(short):
        assert record["error"]["code"] == "no-caption"
        assert (record["answer"], record["finish_reason"]) == (None, "length")


def test_a_killed_core_ends_the_worker_and_costs_nothing(
    rig: Rig, worker: Worker, tmp_path: Path
) -> None:
    job = submit(rig, tmp_path / "doomed", 10, 40, prompt="json-2", max_tokens=1500)

    def deaths() -> list[int]:
        return [
            Attempts(rig.redis, job.job, "caption", shard).deaths() for shard in range(job.shards)
        ]

    wait_until(lambda: sum(deaths()) == IN_HAND, START_TIMEOUT_S, worker)
    in_hand = deaths()
    core = next(p for p in worker.children() if "EngineCore" in p.name())
    os.kill(core.pid, signal.SIGKILL)
    assert worker.process.wait(60) == 70
    assert deaths() == in_hand, "charged once each, and no shard that was not in the engine"
    wait_until(lambda: not any(_is_of(worker, pid) for pid in psutil.pids()))
    rig.start("caption", engine="baseline", engine_args="{}")
    records = rig.check(job)
    assert all(record["error"] is None for record in records)
    assert {record["engine"] for record in records} == {"baseline"}


@pytest.mark.more
def test_a_killed_worker_takes_its_engine_along(rig: Rig, configured: None) -> None:
    # At its worst moment: the core is about to load its model, and the worker waits for it.
    worker = rig.start("caption")

    def cores() -> list[psutil.Process]:
        return [p for p in worker.children() if "EngineCore" in p.name()]

    wait_until(lambda: bool(cores()), START_TIMEOUT_S, worker)
    started = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    # By itself it would wait for minutes.
    _, left = psutil.wait_procs(started, timeout=30)
    assert not left


def _is_of(worker: Worker, pid: int) -> bool:
    """Whether a process is in the worker's session."""
    try:
        return os.getsid(pid) == worker.pid
    except ProcessLookupError:
        return False

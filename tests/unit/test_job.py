"""A job's sums: its counts, time and price."""

from __future__ import annotations

from datetime import timedelta

import pytest

from regioncap import engines
from regioncap.job import QUALITY_COUNTS, Grid, Job, Summary, now, sum_up
from regioncap.jobs.results import summarize
from regioncap.jobs.success import SuccessWriter
from regioncap.records import dump_lines
from regioncap.settings import Settings
from tests.support.exported import failed, region, result

HOUR = timedelta(hours=1)


def test_sums_of_parts() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "requests": 1, "gpu_ms": 250}
    box = [1, 2, 3, 4]
    part = dump_lines(
        [
            result(0, [region(1, box, "a"), region(2, box, None)], usage=usage),
            result(1, [region(1, None, None)], usage=usage, reused={"job": "j", "index": 0}),
            failed(2),
        ]
    )

    sums = sum_up(summarize(part)["counts"], HOUR, None)

    assert sums.regions_by_status == {
        "ok": 1, "refused": 0, "missing": 1, "invalid": 1, "skipped": 0,
    }  # fmt: skip
    assert (sums.prompt_tokens, sums.completion_tokens) == (21, 10)
    assert (sums.gpu_seconds, sums.reused) == (0.5, 1)


def test_price_per_thousand_regions() -> None:
    counts = {"regions_ok": 2_000, "gpu_ms": 1_800_000}

    sums = sum_up(counts, HOUR, 4.0)

    # Half an hour at 4 an hour for 2,000 regions.
    assert sums.price_per_1000_regions == 1.0
    assert sums.valid_regions_per_s == pytest.approx(2_000 / 3600, abs=0.001)


@pytest.mark.parametrize(
    ("counts", "price"),
    [({"regions_ok": 5, "gpu_ms": 9}, None), ({"regions_ok": 5}, 4.0), ({"gpu_ms": 9}, 4.0)],
)
def test_no_price_where_it_cannot_be_told(counts: dict[str, int], price: float | None) -> None:
    assert sum_up(counts, timedelta(0), price).price_per_1000_regions is None


@pytest.mark.parametrize(
    ("engine", "arguments", "expected"),
    [
        ("baseline", {}, 0),
        ("vllm", {}, 1),
        ("vllm", {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}, 6),
    ],
)
def test_gpus(engine: str, arguments: dict[str, int], expected: int) -> None:
    settings = Settings.model_validate({"engine": engine, "engine_args": arguments})
    assert engines.gpus(settings) == expected


@pytest.mark.parametrize(
    ("grid", "size_wh", "keeps"),
    [
        (Grid(), (448, 448), True),
        (Grid(), (448, 450), False),
        (Grid(), (450, 448), False),
        (Grid(cell_px=32), (448, 448), True),
        (Grid(cell_px=32), (644, 420), False),
        (Grid(max_pixels=200_000), (448, 448), False),
        (Grid(max_pixels=200_000), (28, 28 * 300), True),
        (Grid(resizes=True, max_pixels=1), (333, 1), True),
    ],
)
def test_a_grid_tells_which_pictures_it_keeps(
    grid: Grid, size_wh: tuple[int, int], keeps: bool
) -> None:
    assert grid.keeps(size_wh) is keeps


def test_a_job_of_an_older_version_is_for_qwen2_5_vl() -> None:
    stored = {
        "schema_version": 2,
        "job": "20261124-031522-k3v7qa",
        "created": "2026-11-24T03:15:22Z",
        "records": 0,
        "shards": 0,
        "settings": {},
    }
    assert Job.model_validate(stored).grid == Grid(cell_px=28, max_pixels=None)


def test_what_captions_are_like_adds_up() -> None:
    box = [1, 2, 3, 4]
    texts = ["A cat.", "a CAT", "word " * 6, "word " * 81, None, "貓在門邊", "..."]
    regions = [region(n, box, text) for n, text in enumerate(texts, start=1)]
    whole = {"image_caption": "A room."}
    part = dump_lines([result(0, regions, usage={}, **whole), result(1, [], usage={}), failed(2)])

    quality = sum_up(summarize(part)["counts"], HOUR, None).quality

    assert quality.caption_words == {"1-5": 4, "6-10": 1, "81-": 1}
    assert (quality.repeated, quality.image_captions) == (1, 1)


def test_parts_say_what_they_said_before_and_the_sums_say_more() -> None:
    part = dump_lines([result(0, [region(1, [1, 2, 3, 4], "A cat.")], usage={})])
    summary, plain = summarize(part), summarize(part)
    plain["counts"] = {n: c for n, c in plain["counts"].items() if n not in QUALITY_COUNTS}
    assert len(plain["counts"]) < len(summary["counts"])

    writers = [SuccessWriter(), SuccessWriter()]
    for writer, each in zip(writers, (summary, plain), strict=True):
        writer.add("part-00000.jsonl", each)
    about = Summary(job="j", finished=now(), counts=dict(writers[1].counts))

    # As an earlier version wrote it: nothing to write anew.
    assert writers[0].names_what(writers[1].text(about))
    assert writers[0].counts["captions_from_1_words"] == 1

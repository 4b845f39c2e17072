"""Captions of earlier jobs, taken over where nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.jobs import catalogue
from tests.support.system import System, write_jsonl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures that no other test has seen."""
    for number in range(3):
        Image.effect_noise((64 + number, 48), 60).convert("RGB").save(tmp_path / f"{number}.png")
    return tmp_path


def records(*numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"image": f"{number}.png", "bbox": [[1, 2, 30, 40]], **fields} for number in numbers]


def reused(results: list[dict[str, Any]]) -> list[bool]:
    assert all(record["error"] is None for record in results)
    return [record["reused"] is not None for record in results]


def test_same_records_are_captioned_once(system: System, folder: Path) -> None:
    first = system.captioned(write_jsonl(folder / "a.jsonl", records(0, 1)))
    second = system.captioned(write_jsonl(folder / "b.jsonl", records(2, 1, 0, new=1)), "--reuse")

    assert reused(first) == [False, False]
    assert reused(second) == [False, True, True]
    job = first[0]["result_file"].split("/")[4]
    assert [record["reused"] for record in second[1:]] == [
        {"job": job, "index": 1},
        {"job": job, "index": 0},
    ]
    for earlier, later in ((first[1], second[1]), (first[0], second[2])):
        assert later["answer"] == earlier["answer"]
        assert later["regions"] == earlier["regions"]
        assert later["usage"]["requests"] == 0
    assert second[1]["meta"] == {"new": 1}
    assert job not in second[1]["image_with_bbox"]

    success = catalogue.find_success(system.services.store, second[0]["result_file"].split("/")[4])
    assert success is not None
    assert success.sums is not None
    assert success.sums.reused == 2
    assert success.sums.regions_by_status["ok"] == 3


@pytest.mark.more
def test_change_of_boxes_or_sampling_is_captioned_anew(system: System, folder: Path) -> None:
    system.captioned(write_jsonl(folder / "a.jsonl", records(0)))
    moved = write_jsonl(folder / "b.jsonl", records(0, bbox=[[1, 2, 30, 41]]))
    same = write_jsonl(folder / "c.jsonl", records(0))

    assert reused(system.captioned(moved, "--reuse")) == [False]
    assert reused(system.captioned(same, "--reuse", "--temperature", "0.1")) == [False]
    assert reused(system.captioned(same, "--reuse", "--mark-style", "reference")) == [False]
    assert reused(system.captioned(same)) == [False]
    assert reused(system.captioned(same, "--reuse")) == [True]

"""A record that kills its process ends as an error record, and its neighbours get captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regioncap.services.attempts import RECORD_DEATHS, SHARD_DEATHS
from tests.support.rig import Rig, wait_until, write_input


def _poisoned(folder: Path, hurt: str) -> Path:
    """Twelve records, and the sixth is poison."""
    file = write_input(folder, 12)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[4]["hurt"] = hurt
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def _check_neighbours(records: list[dict[str, Any]], stage: str) -> None:
    poisoned = records[4]
    assert poisoned["error"]["code"] == "poison"
    assert poisoned["error"]["stage"] == stage
    assert poisoned["answer"] is None
    codes = {r["index"]: r["error"]["code"] for r in records if r["error"]}
    assert codes == {4: "poison", 5: "image-missing", 7: "no-usable-box"}


@pytest.mark.parametrize(
    "hurt",
    [
        "crash",
        pytest.param("loop", marks=pytest.mark.more),
        pytest.param("hog", marks=pytest.mark.more),
    ],
)
def test_render(rig: Rig, tmp_path: Path, hurt: str) -> None:
    rig.start(
        "render",
        "tests.support.hurt_render",
        HURT_STARTS=str(rig.folder / "starts"),
        shard_timeout_s="2",
        memory_limit_mb="1500",
    )
    rig.start("caption")
    job = rig.submit(_poisoned(tmp_path / "in", hurt))
    _check_neighbours(rig.check(job), "render")
    told = [line for line in rig.logs().splitlines() if "record given up" in line]
    given_up = [json.loads(line) for line in told]
    assert {(line["job"], line["shard"], line["record"]) for line in given_up} == {(job.job, 1, 4)}


@pytest.mark.parametrize("way", ["HURT_DEAD", pytest.param("HURT_CRASH", marks=pytest.mark.more)])
def test_caption(rig: Rig, tmp_path: Path, way: str) -> None:
    rig.start("render")
    hurt = {"HURT_STARTS": str(rig.folder / "starts"), way: "4", "HURT_SLEEP_S": "0.05"}
    job = rig.submit(write_input(tmp_path / "in", 12))
    rig.keep(rig.start("caption", "tests.support.hurt_caption", **hurt))
    wait_until(lambda: rig.done(job) == job.shards, 90)
    _check_neighbours(rig.check(job), "caption")
    # Twice with its shard, once with its half of the four, three times alone; each life of the
    # process ends with the first.
    lives = SHARD_DEATHS + 1 + RECORD_DEATHS
    assert rig.exit_codes == [70 if way == "HURT_DEAD" else -11] * lives


@pytest.mark.more
def test_caption__a_record_that_is_never_answered(rig: Rig, tmp_path: Path) -> None:
    rig.start("render")
    hurt = {"HURT_STARTS": str(rig.folder / "starts"), "HURT_HANG": "4", "HURT_SLEEP_S": "0.05"}
    worker = rig.start("caption", "tests.support.hurt_caption", shard_timeout_s="2", **hurt)
    _check_neighbours(rig.check(rig.submit(write_input(tmp_path / "in", 12))), "caption")
    assert worker.process.poll() is None

"""An evaluation against an earlier one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import UsageError
from regioncap.evaluation.baseline import compare, read_baseline, scenes_digest
from regioncap.evaluation.contents import CONTENTS
from regioncap.evaluation.scenes import make_scene
from tests.support.system import run_command


def way(name: str = "marks", right: float = 0.9, **fields: Any) -> dict[str, Any]:
    return {
        "variant": name,
        "scenes": "abc",
        "regions": 10,
        "right": right,
        "mixed-up": 0.0,
        "wrong": round(1 - right, 4),
        "missing": 0,
        "invalid": 0.0,
        "prompt_tokens": 900,
        "completion_tokens": 100,
        **fields,
    }


@pytest.mark.parametrize(
    ("right", "tolerance", "is_worse"),
    [(0.9, 0, False), (0.91, 0, False), (0.8999, 0, True), (0.88, 0.02, False), (0.87, 0.02, True)],
)
def test_only_fewer_right_captions_are_worse(
    right: float, tolerance: float, is_worse: bool
) -> None:
    [found] = compare([way(right=right, completion_tokens=600)], [way()], tolerance)
    assert found.is_worse is is_worse
    assert found.shares["right"] == (0.9, right)
    assert found.tokens == (100.0, 150.0)


def test_ways_are_matched_by_name() -> None:
    found = compare([way("a", 0.5), way("b"), way("c")], [way("b", 0.8), way("a")], 0)
    assert [(each.variant, each.is_worse) for each in found] == [("a", True), ("b", False)]


def test_nothing_is_compared_with_what_is_something_else() -> None:
    with pytest.raises(UsageError) as caught:
        compare([way(scenes="abd")], [way()], 0)
    assert caught.value.code == "other-scenes"
    with pytest.raises(UsageError) as caught:
        compare([way("a")], [way("b")], 0)
    assert caught.value.code == "no-common-way"
    # Written before pictures were named.
    assert compare([way()], [{k: v for k, v in way().items() if k != "scenes"}], 0)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"variant": "a"}', json.dumps(way() | {"right": "much"}), "1\n"]
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_baseline(file)
    assert caught.value.code == "bad-baseline"
    with pytest.raises(UsageError):
        read_baseline(tmp_path / "none")


def test_pictures_have_a_name_that_follows_them() -> None:
    content = CONTENTS[0]
    scenes = [make_scene(content, "apart", 3, seed, (448, 336)) for seed in (1, 1, 2)]
    first, same, other = (scenes_digest([scene]) for scene in scenes)
    assert first == same != other


def test_the_command_tells_by_its_exit_code(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    arguments = [
        "eval", "--engine", "baseline", "--kinds", "colours, apart", "--scenes", "1",
        "--modes", "crop", "--regions", "2", "--sizes", "448x336",
    ]  # fmt: skip

    def run(*options: str) -> subprocess.CompletedProcess[bytes]:
        return run_command(*arguments, *options, env=dict(os.environ), cwd=tmp_path)

    first = run("--json")
    assert first.returncode == 0, first.stderr
    old.write_bytes(first.stdout)
    compared = ("--baseline", str(old), "--fail-on-regression")
    assert run(*compared).returncode == 0

    row = json.loads(first.stdout)
    assert row["right"] == 1.0
    old.write_text(json.dumps(row | {"right": 1.01}))
    found = run(*compared)
    assert found.returncode == 8, found.stderr
    assert b"101.0% > 100.0%" in found.stdout
    assert run("--fail-on-regression").returncode == 2

"""Commands that show what an engine would get; they need no services."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from regioncap.inputs import examples
from regioncap.views.pixels import probe
from tests.support.records import coloured
from tests.support.system import run_command, write_jsonl

ENV = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
PHOTOS = examples.examples_dir() / "photos"


def run(folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    done = run_command(*arguments, env=ENV, cwd=folder)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_prompts_list_names_what_can_be_shown(tmp_path: Path) -> None:
    _, listed, _ = run(tmp_path, "prompts", "list", "--json")

    names = [json.loads(line)["name"] for line in listed.splitlines()]
    assert names[0] == "regions-2"
    code, shown, _ = run(tmp_path, "prompts", "show", names[1], "--count", "2")
    assert code == 0
    assert "tag 2, cyan box, is <region2>" in shown
    assert "(as above)" in shown


def test_prompts_show_checks_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\n[regions]\nafter = "Say what $regons hold."\n')

    code, shown, complaint = run(tmp_path, "prompts", "show", own)

    assert (code, shown) == (2, "")
    assert "$regons" in complaint
    assert "bad-prompt-template" in complaint


def test_marks_draws_what_the_engine_would_see(tmp_path: Path) -> None:
    boxes = "[[10, 10, 300, 200], [400, 20, 60, 60]]"
    options = ["--region-mode", "marks+crop", "--boxes", boxes, "-o", "out.png"]

    code, printed, said = run(tmp_path, "marks", PHOTOS / "coffee.jpg", *options)

    assert (code, printed) == (0, "out.png\n")
    assert "There is 1 region: <region1>." in said
    width, height = probe((tmp_path / "out.png").read_bytes())
    assert (width, height) == (588 + 8 + 448, 448)


def test_marks_takes_a_record_of_a_file(tmp_path: Path) -> None:
    code, _, said = run(tmp_path, "marks", examples.photos_jsonl(), "--record", "2", "-o", "a.png")

    assert code == 0
    assert "There are 5 regions" in said


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--boxes", "[[1,"], 2, "not JSON"),
        (["--boxes", "[[9000, 0, 5, 5]]"], 3, "no-usable-box"),
        (["--style", "v9"], 2, "unknown-mark-style"),
    ],
)
def test_marks_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], code: int, word: str
) -> None:
    found, printed, said = run(
        tmp_path, "marks", PHOTOS / "coffee.jpg", *arguments, "-o", "out.png"
    )

    assert (found, printed) == (code, "")
    assert word in said


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("out.xyz", "names no format"),
        ("none/out.png", "No such file"),
        ("folder.png", "is a folder"),
        ("out.xbm", "cannot write mode RGB"),
    ],
)
def test_marks_says_what_cannot_be_written(tmp_path: Path, output: str, word: str) -> None:
    (tmp_path / "folder.png").mkdir()

    code, printed, said = run(tmp_path, "marks", PHOTOS / "coffee.jpg", "-o", output)

    assert (code, printed) == (2, "")
    assert word in said
    assert "[bad-output]" in said
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_eval_scores_the_baseline_on_colours(tmp_path: Path) -> None:
    options = [
        "--engine",
        "baseline",
        "--kinds",
        "colours",
        "--scenes",
        "1",
        "--modes",
        "marks,crop",
    ]

    code, printed, said = run(tmp_path, "eval", *options, "--json", "-o", "report.html")

    rows = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert "2 ways to show them" in said
    assert [row["variant"] for row in rows] == ["marks v1 default x10", "crop default"]
    assert all(row["right"] >= 0.95 and row["engine"] == "baseline" for row in rows)
    assert "colours, small" in str(rows[0]["right_by_kind"])
    assert "How regions are best shown" in (tmp_path / "report.html").read_text()


def test_eval_prints_what_it_measured_though_no_report_can_be_written(tmp_path: Path) -> None:
    options = ["--engine", "baseline", "--kinds", "colours, small", "--scenes", "1"]

    code, printed, said = run(tmp_path, "eval", *options, "--json", "-o", "/dev/full")

    assert code == 2
    assert "/dev/full cannot be written: No space left on device [bad-output]" in said
    assert len(printed.splitlines()) == 3


def test_eval_takes_reference_captions_of_ones_own(tmp_path: Path) -> None:
    coloured((640, 480), {(40, 40, 240, 240): (200, 30, 30)}).save(tmp_path / "a.png")
    line = {"image": "a.png", "bbox": [[40, 40, 200, 200], [400, 300, 100, 100]]}
    captions = ["a red wall", "an elephant in a tutu"]
    data = write_jsonl(tmp_path / "own.jsonl", [line | {"captions": captions}])

    code, printed, _ = run(tmp_path, "eval", "--data", data, "--modes", "marks", "--json")

    assert code == 0
    assert json.loads(printed)["right_by_kind"] == {"own data": 0.5}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--modes", "zoom"], "no region mode zoom"),
        pytest.param(["--per-call", "ten"], "not numbers", marks=pytest.mark.more),
        pytest.param(["--styles", "v9"], "unknown-mark-style", marks=pytest.mark.more),
        pytest.param(["--prompts", "regions-99"], "bad-prompt-template", marks=pytest.mark.more),
        pytest.param(["--kinds", "sounds"], "no-scenes", marks=pytest.mark.more),
        (["--data", "gone.jsonl"], "bad-eval-data"),
        (["-o", "none/report.html"], "bad-output"),
    ],
)
def test_eval_says_what_is_wrong(tmp_path: Path, arguments: list[str], word: str) -> None:
    code, printed, said = run(tmp_path, "eval", "--engine", "baseline", *arguments)

    assert (code, printed) == (2, "")
    assert word in said

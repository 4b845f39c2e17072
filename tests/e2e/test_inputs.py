"""Data sets of other tools, submitted as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import BOXES, DATASETS
from tests.support.system import System, read_jsonl


@pytest.mark.parametrize("name", DATASETS)
def test_data_set_is_captioned(name: str, system: System, tmp_path: Path) -> None:
    path = DATASETS[name](tmp_path / "set")

    submitted = system.command("submit", path)
    assert submitted.returncode == 0, submitted.stderr.decode()
    job = submitted.stdout.decode().strip()
    assert system.command("watch", job, "--timeout", "90").returncode == 0
    system.command("results", job, "-o", tmp_path / "out.jsonl")

    first, second = read_jsonl(tmp_path / "out.jsonl")
    assert (first["error"], second["error"]) == (None, None)
    assert first["type"] == ("without_bbox" if name == "imagefolder_csv" else "with_bbox")
    assert first["type"] == "without_bbox" or first["bbox"] == BOXES
    assert "red" in first["regions"][0]["caption"]
    if name == "imagefolder_csv":
        assert "blue" in second["regions"][0]["caption"]
    else:  # a picture without boxes in a data set with boxes: nothing to caption, and no error
        assert (second["type"], second["bbox"], second["regions"]) == ("with_bbox", [], [])
        assert (second["usage"]["requests"], second["answers"], second["width"]) == (0, [], 64)

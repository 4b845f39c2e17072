"""Exports of a real job by the command, read back, and corrected captions brought home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.outputs.exports import FORMATS
from tests.support.exported import READERS
from tests.support.system import System, read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def job(system: System, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished job of four records; the second fails, and a picture lies on its side."""
    folder = tmp_path_factory.mktemp("job")
    Image.new("RGB", (64, 48), (200, 30, 30)).save(folder / "red.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64), (20, 40, 200)).save(folder / "turned.png", exif=exif)
    records: list[dict[str, Any]] = [
        {"image": "red.png", "bbox": [[8, 6, 16, 12], [30, 20, 20, 20]], "id": "first"},
        {"image": "gone.png"},
        {"image": "turned.png", "bbox": [[1, 2, 60, 40]]},
        {"image": "red.png", "bbox": [[0, 0, 10.5, 10]], "source": "shop"},
    ]
    file = write_jsonl(folder / "in.jsonl", records)
    results = system.captioned(file, "--shard-size", "2", "--name", "small")
    return str(results[0]["result_file"].split("/")[4])


def results_of(system: System, job: str, path: Path) -> list[dict[str, Any]]:
    assert system.command("results", job, "-o", path).returncode == 0
    return read_jsonl(path)


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_a_job(name: str, system: System, job: str, tmp_path: Path) -> None:
    done = system.command("export", job, "--format", name, "-o", tmp_path / "out")

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    assert f"written: {tmp_path / 'out'}\n" in done.stderr.decode()
    assert "4 of 4 records, 1 failed" in done.stderr.decode()
    expected = [
        (record["index"], each["region"], each["caption"])
        for record in results_of(system, job, tmp_path / "results.jsonl")
        for each in record["regions"]
        if each["status"] == "ok"
    ]
    found = [(c.record, c.region, c.caption) for c in READERS[name](tmp_path / "out")]
    assert found == expected


def test_corrected_captions_come_back(system: System, job: str, tmp_path: Path) -> None:
    system.command("export", job, "-f", "labelstudio", "-o", tmp_path / "ls")
    tasks = json.loads((tmp_path / "ls" / "tasks.json").read_text())
    for number, task in enumerate(tasks):
        # As Label Studio does when someone takes over the predictions and submits.
        [prediction] = task["predictions"]
        for part in prediction["result"]:
            if number == 0 and part["type"] == "textarea" and part["id"] == "region-2":
                part["value"]["text"] = ["a corner of a red wall"]
        done = {"result": prediction["result"], "completed_by": {"email": "ada@example.com"}}
        task["annotations"] = [done]
    (tmp_path / "edited.json").write_text(json.dumps(tasks))

    brought = system.command("import-edits", job, tmp_path / "edited.json")

    assert brought.returncode == 0, brought.stderr.decode()
    assert "1 caption of 1 record corrected" in brought.stderr.decode()
    [first, *others] = results_of(system, job, tmp_path / "results.jsonl")
    assert first["regions"][1]["caption"] == "a corner of a red wall"
    assert first["edited"]["by"] == "ada@example.com"
    assert all(record["edited"] is None for record in others)

    again = system.command("import-edits", job, tmp_path / "edited.json")
    assert "nothing changed" in again.stderr.decode()

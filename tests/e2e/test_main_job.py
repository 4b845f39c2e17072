"""The main job, as a user does it: images and boxes in, captions out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from regioncap.inputs import examples
from regioncap.keys import part_key, success_key
from tests.support.success import load_success
from tests.support.system import System, read_jsonl, write_jsonl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two pictures of plain colours."""
    Image.new("RGB", (640, 427), (200, 30, 30)).save(tmp_path / "red.png")
    Image.new("RGB", (300, 500), (20, 40, 200)).save(tmp_path / "blue.jpg")
    return tmp_path


def test_record_has_the_fields_of_the_reference(system: System, folder: Path) -> None:
    boxes = [[59, 259, 68, 113], [88, 222, 129, 29]]
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png", "bbox": boxes, "city": "Graz"}])

    [record] = system.captioned(file)

    assert record["image"] == "red.png"
    assert record["type"] == "with_bbox"
    assert record["bbox"] == boxes
    assert record["normalized_bbox"] == [
        [0.092, 0.607, 0.198, 0.871],
        [0.138, 0.52, 0.339, 0.588],
        *[[0.0, 0.0, 0.0, 0.0]] * 8,
    ]
    assert record["valid_bboxes_num"] == 2
    assert record["prompt"] == (
        "Describe the content of each marked region in the image. "
        "There are 2 regions: <region1> to <region2>."
    )
    assert record["answer"].startswith("In <region1>, ")
    assert [region["status"] for region in record["regions"]] == ["ok", "ok"]
    assert all("red" in region["caption"] for region in record["regions"])
    assert (record["width"], record["height"]) == (640, 427)
    assert (record["engine"], record["mark_style"]) == ("baseline", "v1")
    assert record["meta"] == {"city": "Graz"}
    assert record["error"] is None


def test_records_come_out_in_order_one_per_line(system: System, folder: Path) -> None:
    records = [{"image": ["red.png", "blue.jpg"][i % 2], "id": f"r{i}"} for i in range(23)]
    file = write_jsonl(folder / "in.jsonl", records)

    found = system.captioned(file, "--shard-size", "5")

    assert [record["index"] for record in found] == list(range(23))
    assert [record["id"] for record in found] == [f"r{i}" for i in range(23)]
    assert {record["type"] for record in found} == {"without_bbox"}


BAD_LINES = {
    b'{"image": "red.png", "bbox": [[1, 2': "bad-json",
    b'["red.png"]': "not-an-object",
    b'{"image": "gone.png"}': "image-missing",
    b'{"image": "broken.jpg"}': "image-unreadable",
    b'{"image": "cut.jpg"}': "image-unreadable",
    b'{"image": "red.png", "boxes": [[1, 2, 3, 4]], "rois": [[1, 2, 3, 4]]}': "bbox-misnamed",
    b'{"image": "http://example.com/a.png"}': "image-url",
    b'{"image": "red.png", "bbox": [["a", 1, 2, 3]]}': "no-usable-box",
    b'{"image": "red.png", "bbox": [[9000, 9000, 10, 10]]}': "no-usable-box",
    b'{"bbox": [[1, 2, 3, 4]]}': "no-image",
}


def test_bad_lines_become_error_records_and_stop_nothing(system: System, folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    (folder / "cut.jpg").write_bytes((folder / "blue.jpg").read_bytes()[:900])
    good = b'{"image": "blue.jpg", "bbox": [[10, 10, 50, 50], [900, 0, 5, 5]]}'
    file = folder / "in.jsonl"
    file.write_bytes(b"\n".join([*BAD_LINES, b"", good]) + b"\n")

    *bad, last = system.captioned(file)

    assert [record["error"]["code"] for record in bad] == list(BAD_LINES.values())
    assert all(record["error"]["message"] and record["answer"] is None for record in bad)
    assert last["error"] is None
    assert last["line"] == len(BAD_LINES) + 2
    assert [region["status"] for region in last["regions"]] == ["ok", "invalid"]
    assert "outside the picture" in last["regions"][1]["why"]


def test_watch_and_status_tell_of_failed_records(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}, {"image": "gone.png"}])

    submitted = system.command("submit", file, "--name", "half")
    job = submitted.stdout.decode().strip()
    watched = system.command("watch", job, "--timeout", "60")
    status = json.loads(system.command("status", job, "--json").stdout)

    assert submitted.stdout.decode() == f"{job}\n"
    assert "image-missing" in submitted.stderr.decode()
    assert watched.returncode == 3
    assert watched.stdout == b""
    assert (status["state"], status["records"], status["failed"]) == ("done", 2, 1)
    assert status["name"] == "half"


def test_boxes_that_look_wrong_are_spoken_of(system: System, folder: Path) -> None:
    Image.effect_noise((64, 64), 50).save(folder / "small.png")
    boxes = [[[1, 1, 9, 9]], [[1, 1, 9, 9], [40, 40, 60, 60]], [[1, 1, 0, 0]], None]
    lines = [{"image": "small.png", "bbox": box} for box in boxes]

    submitted = system.command("submit", write_jsonl(folder / "in.jsonl", lines))

    assert submitted.returncode == 0
    assert b"box-cut: bbox[1] [40, 40, 60, 60]" in submitted.stderr
    assert b"bad-box: bbox[0] [1, 1, 0, 0] has no area" in submitted.stderr
    assert b"1 record without bbox: regions will be proposed" in submitted.stderr
    assert b"at least 1 error record will come out" in submitted.stderr
    assert b"regioncap validate --deep shows all problems" in submitted.stderr


def test_a_hopeless_input_makes_no_job_unless_it_is_forced(system: System, folder: Path) -> None:
    Image.new("RGB", (640, 427)).save(folder / "wide.png")
    lines = [{"image": "wide.png", "bbox": [[300, 100, 600, 400]]}] * 3 + [{"image": "red.png"}]
    file = write_jsonl(folder / "in.jsonl", lines)

    refused = system.command("submit", file)
    piped = system.command("submit", "-", stdin=file.read_bytes(), cwd=folder)
    forced = system.command("submit", file, "--force")

    for tried in (refused, piped):
        assert (tried.returncode, tried.stdout) == (2, b"")
        assert b"3 of the first 4 records have one problem, box-cut" in tried.stderr
        assert b"--box-format xyxy" in tried.stderr
    assert forced.returncode == 0
    assert forced.stdout


def test_images_are_uploaded_once(system: System, folder: Path) -> None:
    Image.effect_noise((64, 64), 50).save(folder / "new.png")
    file = write_jsonl(folder / "in.jsonl", [{"image": "new.png"}] * 20)

    first = system.command("submit", file).stderr.decode()
    second = system.command("submit", file).stderr.decode()

    assert "pictures found: 1 " in first
    assert "1 new" in first
    assert "0 there already" in first
    assert "0 new, 1 there already" in second


def test_success_lists_every_part(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}] * 7)
    [first, *_] = system.captioned(file, "--shard-size", "3")
    job = first["result_file"].split("/")[4]

    store = system.services.store
    success, parts = load_success(store.get(success_key(job)))

    assert [part["key"] for part in parts] == [part_key(job, "results", i) for i in range(3)]
    assert success.counts["records"] == 7
    assert not store.exists(f"open/{job}")


def test_example_photographs_are_all_captioned(system: System, tmp_path: Path) -> None:
    shutil.copytree(examples.examples_dir() / "photos", tmp_path / "photos")
    file = Path(shutil.copy(examples.photos_jsonl(), tmp_path))
    given = read_jsonl(file)

    found = system.captioned(file)

    assert [record["error"] for record in found] == [None] * len(given)
    for record, line in zip(found, given, strict=True):
        boxes = line.get("bbox")
        assert record["type"] == ("with_bbox" if boxes else "without_bbox")
        assert len(record["regions"]) == (len(boxes) if boxes else record["valid_bboxes_num"])
        assert all(region["caption"] for region in record["regions"])

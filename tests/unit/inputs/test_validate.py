"""`validate` finds what would fail, and says it as a linter does."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.inputs.boxes import settle
from regioncap.inputs.lines import parse_line
from regioncap.inputs.totals import Totals
from regioncap.inputs.validate import Checker
from regioncap.parallel import map_ahead
from regioncap.settings import JobSettings, Settings, load_settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings()


@pytest.fixture
def checker(settings: Settings, tmp_path: Path) -> Checker:
    """Over a folder with a picture of 640x427."""
    noise = Image.effect_noise((640, 427), 80)
    noise.save(tmp_path / "a.png")
    noise.save(tmp_path / "a.webp", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    return Checker(settings, tmp_path, "in.jsonl")


def found(checker: Checker, record: Any) -> list[str]:
    """Field and code of each finding."""
    line = parse_line(json.dumps(record).encode(), line=7, index=3)
    checked = checker.check(settle(line, JobSettings()))
    assert all((f.file, f.line) == ("in.jsonl", 7) for f in checked.findings)
    return [f"{f.field} {f.code}" for f in checked.findings]


@pytest.mark.parametrize(
    ("record", "findings"),
    [
        ({"image": "a.png"}, []),
        ({"image": "a.webp", "bbox": [[0, 0, 640, 427]]}, []),
        ({"image": "a.png", "bbox": [[-0.5, 0, 641, 427]]}, []),
        ({"image": "turned.jpg", "bbox": [[0, 0, 427, 640]]}, []),
        ({"image": "turned.jpg", "bbox": [[0, 0, 640, 427]]}, ["bbox[0] box-cut"]),
        ({"image": "a.png", "bbox": [[1, 1, 9, 9], [600, 1, 90, 9]]}, ["bbox[1] box-cut"]),
        ({"image": "a.png", "bbox": [[1, 1, 9, 9], 5, [700, 1, 2, 2]]},
         ["bbox[1] bad-box", "bbox[2] bad-box"]),
        ({"image": "a.png", "bbox": [[0.1, 0.2, 0.3, 0.4]]}, ["bbox[0] bad-box"]),
        ({"image": "a.png", "bbox": 5}, ["bbox bad-bbox"]),
        ({"image": "gone.png", "bbox": [[1, 1, 0, 9]]}, ["image image-missing", "bbox[0] bad-box"]),
        ({"image": "text.jpg"}, ["image image-unreadable"]),
        ({"image": "empty.png"}, ["image image-unreadable"]),
        ({"image": "."}, ["image image-missing"]),
        ({"image": "../a.png"}, ["image image-missing"]),
        ({"image": "http://example.com/a.png"}, ["image image-url"]),
        ({"image": "s3://regioncap/a.png", "bbox": [[1, 1, 9999, 9]]}, []),
        ({"image": "s3://regioncap/a.png", "bbox": [[1, 1, 0, 9]]}, ["bbox[0] bad-box"]),
        ({"image": "s3://other/a.png"}, ["image bucket-not-allowed"]),
        ({"image": "s3://regioncap"}, ["image bad-image-uri"]),
        ({"image": "file:///a.png"}, ["image image-url"]),
        ({"img": "a.png"}, ["image no-image"]),
        ({"image": "a.png", "boxes": [[1, 1, 9, 9]]}, []),
        ({"image": "a.png", "boxes": []}, []),
        ({"image": "a.png", "bbox": [[1, 1, 9, 9]], "boxes": [[1, 1, 9, 9]]}, []),
        (["a.png"], ["line not-an-object"]),
    ],
)  # fmt: skip
def test_check(checker: Checker, record: Any, findings: list[str]) -> None:
    assert found(checker, record) == findings


@pytest.mark.parametrize(
    ("box_format", "box", "hint"),
    [
        ("xywh", [300, 100, 600, 400], "did you mean --box-format xyxy?"),
        ("xywh", [600, 100, 1900, 400], "it is cut there"),
        ("xywh", [0.1, 0.5, 0.3, 0.4], "did you mean --box-format xywh-normalized?"),
        ("xyxy", [300, 100, 50, 50], "did you mean --box-format xywh or cxcywh?"),
        ("xyxy", [600, 100, 2700, 400], "it is cut there"),
        ("xywh-normalized", [300, 10, 50, 50], "did you mean --box-format xywh?"),
        ("xywh-normalized", [0.4, 0.4, 0.9, 0.9], "did you mean --box-format xyxy-normalized?"),
        ("xywh-normalized", [0.9, 0.9, 0.2, 0.2], "did you mean --box-format cxcywh-normalized?"),
        ("xywh", [600, 400, 60, 40], "did you mean --box-format cxcywh?"),
    ],
)
def test_check__names_the_usual_mix_ups(
    checker: Checker, tmp_path: Path, box_format: str, box: list[float], hint: str
) -> None:
    checker = Checker(load_settings(box_format=box_format), tmp_path, "in.jsonl")
    line = json.dumps({"image": "a.png", "bbox": [box]}).encode()

    checked = checker.check(parse_line(line, line=1, index=0))
    [finding] = checked.findings
    totals = Totals()
    totals.add(checked)

    assert checked.box_format is not None
    whole = totals.hint(finding.code, checked.box_format)
    assert hint == whole or (finding.message.endswith(f"({hint})") and not whole)
    assert "did you mean" not in finding.message


def test_one_odd_box_is_no_other_format(checker: Checker) -> None:
    """The others fit in thousandths, too, and the odd one fits there alone."""
    totals = Totals()
    for index, box in enumerate([[1, 1, 50, 60]] * 3 + [[700, 10, 20, 20]] * 4):
        line = json.dumps({"image": "a.png", "bbox": [box]}).encode()
        totals.add(checker.check(parse_line(line, line=index + 1, index=index)))
        hint = totals.hint("bad-box", "xywh")
        assert bool(hint) == (index == 6), hint


def test_finding__reads_like_a_linter(checker: Checker) -> None:
    [finding] = checker.check(parse_line(b'{"image": "x.jpg"}', line=7, index=3)).findings
    assert str(finding).startswith("in.jsonl:7: image-missing: image 'x.jpg' cannot be read: No ")
    assert "--image-root names another folder" in str(finding)


def test_finding__names_the_picture(checker: Checker) -> None:
    [finding] = checker.check(parse_line(b'{"image": "text.jpg"}', line=7, index=3)).findings
    assert str(finding).startswith(
        "in.jsonl:7: image-unreadable: 'text.jpg': the image is of no known format"
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(checker: Checker) -> None:
    def peak_bytes(count: int) -> int:
        line = b'{"image": "gone.png", "bbox": [[1, 1, 9, 9]]}'
        records = (parse_line(line, line=i, index=i) for i in range(count))
        totals = Totals()
        tracemalloc.start()
        for checked in map_ahead(checker.check, records):
            totals.add(checked)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert totals.records == count
        return peak

    peak_bytes(100)  # what is imported on the way
    small, large = peak_bytes(250), peak_bytes(2_500)

    assert large - small < 500_000  # held together they take twice that


def test_totals(checker: Checker) -> None:
    lines = [
        {"image": "a.png"},
        {"image": "a.png", "bbox": [[1, 1, 9, 9], [600, 1, 90, 9], [1, 1, 0, 0]]},
        {"image": "a.png", "bbox": [[1, 1, 0, 0]]},
        {"image": "gone.png", "bbox": [[1, 1, 9, 9]]},
        {"image": "b.png", "bbox": []},
    ]
    Path("b.png").write_bytes(Path("a.png").read_bytes())
    records = [parse_line(json.dumps(x).encode(), line=i, index=i) for i, x in enumerate(lines)]

    totals = Totals()
    for checked in map_ahead(checker.check, records):
        totals.add(checked)

    size = Path("a.png").stat().st_size
    summary = totals.as_json()
    assert {name: summary[name] for name in ("records", "failing", "flawed", "boxes")} == {
        "records": 5, "failing": 2, "flawed": 3, "boxes": 2,
    }  # fmt: skip
    assert (summary["unboxed"], summary["regionless"]) == (1, 1)
    assert sum(summary["found"].values()) == 2  # pictures, of which records name one thrice
    assert (summary["images"], summary["image_bytes"]) == (2, 2 * size)
    assert summary["problems"] == {"bad-box": 2, "box-cut": 1, "image-missing": 1}


def test_a_missing_picture_names_each_folder_once(checker: Checker, tmp_path: Path) -> None:
    line = parse_line(b'{"image": "gone.png"}', line=1, index=0)
    (tmp_path / "below").mkdir()
    below = Checker(load_settings(), tmp_path / "below", "in.jsonl")

    [here], [there] = checker.check(line).findings, below.check(line).findings

    assert f"looked for in {tmp_path}; --image-root" in here.message
    assert f"looked for in {tmp_path / 'below'} and the working folder; " in there.message

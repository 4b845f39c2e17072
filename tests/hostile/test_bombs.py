"""Files that are small on disk and large in memory: none takes the memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from regioncap.errors import RecordError
from regioncap.inputs.fields import MAX_DEPTH
from regioncap.inputs.lines import parse_line
from regioncap.records import InputRecord, dump_lines, load_lines
from regioncap.views.pixels import decode, probe
from tests.support.bombs import BOMBS, jpeg_of_scans, png_chunk, png_with_a_hint_of_exif
from tests.support.records import coloured, png
from tests.support.system import ROOT

pytestmark = pytest.mark.slow

#: Of the resident memory of `validate`, its interpreter included.
MOST_BYTES = 500_000_000

#: What is told of each; None where a header tells nothing bad, and workers bear the rest.
TOLD = {
    "Parquet: 20 rows of 100 MB in 4 kB": "image-too-large",
    "Parquet: 12 rows of 49 MB in 3 kB": "image-unreadable",
    "Parquet: a row of 10 times 60 MB": "image-too-large",
    "tar that is xz: 3 GB in 0.4 MB": "bad-dataset",
    "tar with a member of 3 GB, all holes": "image-too-large",
    "8 PNGs of 100 Mpx that name eXIf": None,
    "JPEG of 64 Mpx with 1,000 scans": None,
    "a line with 900,000 boxes": "too-many-boxes",
    "lines nested 150 to 4,000,000 deep": "bad-json",
    "COCO nested 4,000,000 deep": "bad-dataset",
    "metadata.csv with a cell of 20 MB": "bad-dataset",
    "metadata.jsonl nested 300 deep": "bad-json",
}


#: What takes five seconds of a processor or more.
LONG = {
    "Parquet: 20 rows of 100 MB in 4 kB", "Parquet: 12 rows of 49 MB in 3 kB",
    "tar that is xz: 3 GB in 0.4 MB",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.more) if name in LONG else name for name in BOMBS],
)
def test_validate(name: str, tmp_path: Path) -> None:
    target, peak = BOMBS[name](tmp_path), tmp_path / "peak"
    done = subprocess.run(
        [sys.executable, "-m", "bench.peak", str(peak), "producer", "validate", str(target)],
        cwd=ROOT,
        capture_output=True,
        timeout=300,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert "[internal]" not in said
    assert (TOLD[name] or "") in said
    assert int(peak.read_text()) < MOST_BYTES


def test_many_scans_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(RecordError, match="more than 100 scans"):
        decode(jpeg_of_scans(150, side=64))
    assert decode(jpeg_of_scans(20, side=64)).size_wh == (64, 64)


def test_exif_is_found_without_a_look_at_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import PngImagePlugin

    def load(_: object) -> None:
        raise AssertionError("pixels are decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    assert probe(png_with_a_hint_of_exif(99)) == (99, 99)


@pytest.mark.parametrize("behind", [False, True])
def test_exif_of_a_png_counts_wherever_it_stands(behind: bool) -> None:
    exif = png_chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    plain = png(coloured((30, 20), {}))
    at = plain.index(b"IEND") - 4 if behind else plain.index(b"IDAT") - 4
    assert probe(plain[:at] + exif + plain[at:]) == (20, 30)
    assert decode(plain[:at] + exif + plain[at:]).size_wh == (20, 30)


def test_what_is_taken_of_a_line_can_be_stored_and_read_again() -> None:
    # The line itself is one level.
    for levels, code in ((MAX_DEPTH - 1, None), (MAX_DEPTH, "bad-json"), (10_000, "bad-json")):
        line = '{"image": "a", "m": ' + "[" * levels + "]" * levels + "}"
        record = parse_line(line.encode(), line=1, index=0)
        assert (record.error and record.error.code) == code
        assert load_lines(InputRecord, dump_lines([record])) == [record]

"""What every export format promises, read back by the tools that people use."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import StoreError, UsageError
from regioncap.outputs.exports import FORMATS, export, get, parquet
from regioncap.outputs.exports.base import BOX_CONVENTION, Encoded, Format, Item
from tests.support.exported import (
    ABOUT,
    BOX_READERS,
    READERS,
    WHOLE_READERS,
    Caption,
    failed,
    item,
    region,
    result,
)
from tests.support.system import ROOT

PAGE = (ROOT / "docs" / "exports.md").read_text("utf-8")
SNIPPETS = dict(re.findall(r"^```python\n# (\w+)(.*?)^```", PAGE, re.S | re.M))

formats = pytest.mark.parametrize("name", FORMATS)

#: How boxes are meant, in the words of the formats that have no room for a sentence of ours.
BOX_WORDS = {
    "jsonl": "xywh",
    "sidecars": "xywh",
    "csv": "x_px,y_px,width_px,height_px",
    "labelstudio": "x, y, width and height in percent of the picture's sides",
}

HOSTILE = 'A "red"\nbox; <b>ä</b>, =1+1 \u2028 🐞 \\'


def write(name: str, records: list[dict[str, Any]], path: Path) -> Path:
    export(get(name), map(item, records), path, ABOUT)
    return path


def captions(records: list[dict[str, Any]]) -> list[Caption]:
    return [
        Caption(record["index"], each["region"], tuple(each["bbox"]), each["caption"])
        for record in records
        for each in record["regions"]
        if each["caption"] is not None
    ]


def test_every_format_has_a_reader_here() -> None:
    assert set(READERS) == set(BOX_READERS) == set(WHOLE_READERS) == set(FORMATS)


@formats
def test_captions_of_whole_pictures_come_back(name: str, tmp_path: Path) -> None:
    records = [
        result(0, [region(1, [8, 6, 16.5, 12], "a red box")], image_caption=HOSTILE),
        result(1, [], image_caption="an empty street"),
        result(2, [region(1, [1, 2, 3, 4], None)], image_caption="nobody knows what"),
    ]

    found = WHOLE_READERS[name](write(name, records, tmp_path / "out"))

    assert found == {record["index"]: record["image_caption"] for record in records}


@formats
def test_name_is_the_one_it_is_registered_under(name: str) -> None:
    assert get(name).name == name


@formats
def test_every_caption_comes_back_with_its_box(name: str, tmp_path: Path) -> None:
    records = [
        result(0, [region(1, [8, 6, 16.5, 12], "a red box"), region(2, [0, 0, 64, 48], HOSTILE)]),
        failed(1),
        result(2, [region(1, None, None), region(2, [32, 24, 8, 3], "x")], id=7, meta={"k": [1]}),
        result(3, [region(1, [1, 2, 3, 4], "last")], id="seven"),
    ]

    found = READERS[name](write(name, records, tmp_path / "out"))

    assert sorted(found) == captions(records)


@formats
def test_what_utf8_has_no_form_for_becomes_a_question_mark(name: str, tmp_path: Path) -> None:
    odd = result(0, [region(1, [8, 6, 16.5, 12], "a \ud800 box")], id="\udfff", meta={"\ud800": 1})

    (found,) = READERS[name](write(name, [odd], tmp_path / "out"))

    assert found.caption == "a ? box"


@formats
def test_results_without_any_caption_can_be_written(name: str, tmp_path: Path) -> None:
    path = write(name, [failed(0)], tmp_path / "out")

    if name not in {"hf", "webdataset"}:  # their readers refuse a data set without rows
        assert list(READERS[name](path)) == []


@formats
def test_what_is_written_says_how_boxes_are_meant(name: str, tmp_path: Path) -> None:
    path = write(name, [result(0, [region(1, [1, 2, 3, 4], "x")])], tmp_path / "out")

    assert BOX_WORDS.get(name, BOX_CONVENTION) in BOX_READERS[name](path)


@formats
def test_nothing_is_left_when_reading_breaks_off(name: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Item]:
        yield item(result(0, [region(1, [1, 2, 3, 4], "x")]))
        raise StoreError("gone")

    with pytest.raises(StoreError):
        export(get(name), broken(), tmp_path / "out", ABOUT)
    assert not (tmp_path / "out").exists()

    write(name, [result(0, [region(1, [1, 2, 3, 4], "x")])], tmp_path / "out")
    assert len(list(READERS[name](tmp_path / "out"))) == 1


@formats
def test_writing_again_replaces_a_file_and_spares_a_folder(name: str, tmp_path: Path) -> None:
    records = [result(0, [region(1, [1, 2, 3, 4], "x")])]
    path = write(name, records, tmp_path / "out")

    if get(name).makes_folder:
        with pytest.raises(UsageError) as caught:
            write(name, records, path)
        assert caught.value.code == "output-exists"
    else:
        write(name, records, path)
        assert sorted(READERS[name](path)) == captions(records)


@formats
def test_folder_in_the_way_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()

    with pytest.raises(UsageError) as caught:
        write(name, [], tmp_path / "out")

    assert caught.value.code == "output-exists"
    assert (tmp_path / "out" / "mine.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("jsonl", "parquet") else pytest.param(name, marks=pytest.mark.more)
        for name in FORMATS
    ],
)
def test_memory_does_not_grow_with_the_results(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in ("_GROUP_ROWS", "_BATCH_ROWS"):
        monkeypatch.setattr(parquet, rows, 50)

    def peak_bytes(count: int, run: int = 0) -> int:
        records = (
            Item(
                result(i, [region(1, [1, 2, 3, 4], "c" * 1000)]),
                picture=Encoded(i.to_bytes(1000), "png"),
            )
            for i in range(count)
        )
        gc.collect()
        tracemalloc.start()
        export(get(name), records, tmp_path / f"out-{count}-{run}", ABOUT)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(1)  # imports
    small = peak_bytes(50)
    # Every path adds names to the interpreter's own table, which at some moment, that hangs on all
    # that ran before, is made anew for a megabyte: then it has room for a second run.
    large = min(peak_bytes(1000, run) for run in range(2))

    # The captions alone are 1 MB, the pictures another; of a WebDataset shard its table of contents
    # is held.
    assert large - small < (800_000 if name == "webdataset" else 400_000)


def test_snippets_of_the_page_are_found() -> None:
    assert list(SNIPPETS) == ["coco", "parquet", "webdataset", "hf"]


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_of_the_page_reads_the_captions(name: str, tmp_path: Path) -> None:
    code = "#" + SNIPPETS[name]
    path = tmp_path / next(iter(re.findall(r'"(out[.\w]*)', code)))
    write(name, [result(0, [region(1, [8, 6, 16, 12], "a red box")])], path)

    done = subprocess.run(
        [sys.executable, "-c", code + "\nassert captions == ['a red box'], captions"],
        env=os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no export format 'xml'"):
        get("xml")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Format = type("Absent", (), {"packages": ("no_such_package",)})()
    monkeypatch.setitem(FORMATS, "absent", absent)

    with pytest.raises(UsageError) as caught:
        get("absent")

    assert caught.value.code == "missing-extra"
    assert "[export]'" in caught.value.hint


def test_parquet_leaves_pandas_alone(tmp_path: Path) -> None:
    write_one = (
        "import sys; from pathlib import Path; from regioncap.outputs.exports import export, get; "
        "from tests.support.exported import ABOUT, item, region, result; "
        "records = [item(result(0, [region(1, [1, 2, 3, 4], 'x')]))]; "
        "export(get('parquet'), records, Path(sys.argv[1]), ABOUT); print('pandas' in sys.modules)"
    )

    command = [sys.executable, "-c", write_one, str(tmp_path / "out")]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)

    assert ran.stdout == "False\n"  # 50 MB, where it is installed

"""The bench's rows: written as they come, and compared with nothing but their own run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.gpu.cases import Case, cases
from bench.gpu.ledger import Ledger
from bench.gpu.session import is_wanted

SMALL, LARGE, *_ = cases(toy=False)
ENGINE = {
    "start_s": 95.0,
    "engine": {"max_num_seqs": 256, "max_num_batched_tokens": 8192, "max_model_len": 5376},
}


def counts(seconds: float, images: int = 100) -> dict[str, Any]:
    return {
        "seconds": seconds, "watched_s": seconds, "images": images, "regions": images,
        "requests": images, "prompt_tokens": 674 * images, "cached_tokens": 256 * images,
        "completion_tokens": 128 * images, "processor_s": {"engine core": seconds / 2},
        "gpu": {"use_percent": 97.0, "power_w": 612.0, "samples": 9},
    }  # fmt: skip


def ledger(file: Path, run: str = "one", tflops: float | None = 800.0) -> Ledger:
    return Ledger(file, run, {"matrix": {} if tflops is None else {"tflops": tflops}})


def rows(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())["rows"]
    return found


def test_a_row_is_in_the_file_at_once_with_its_rates(tmp_path: Path) -> None:
    file = tmp_path / "new" / "gpu.json"
    ledger(file).add(SMALL, "plain", ENGINE, counts(2.0), flops=5e12)

    row = rows(file)["small/plain"]
    assert (row["images_per_s"], row["tokens_per_s"], row["requests_per_image"]) == (50, 6400, 1)
    assert (row["tflops"], row["matrix_share"]) == (250, 0.3125)
    assert row["runs"][0]["cores"] == {"engine core": 0.5}
    assert row["engine"]["max_num_seqs"] == 256


def test_the_system_is_compared_in_pairs_with_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    book = ledger(file)
    for seconds in (2.0, 4.0):
        book.add(SMALL, "plain", ENGINE, counts(seconds), flops=5e12)
    for engine_s, system_s in ((2.0, 4.0), (4.0, 5.0), (4.0, 5.0)):
        book.add(SMALL, "engine", ENGINE, counts(engine_s), flops=5e12)
        book.add(SMALL, "system", ENGINE, counts(system_s), flops=5e12)

    assert rows(file)["small/system"]["over"] == {"engine": 0.8, "plain": 20 / 37.5}


def test_rows_of_an_earlier_run_stay_and_are_compared_with_none(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    ledger(file).add(SMALL, "plain", ENGINE, counts(2.0), flops=5e12)
    later = ledger(file, "two", tflops=None)
    later.add(SMALL, "system", ENGINE, counts(2.0), flops=5e12)

    whole = json.loads(file.read_text())
    assert set(whole["rows"]) == {"small/plain", "small/system"}
    assert set(whole["runs"]) == {"one", "two"}
    assert whole["rows"]["small/system"]["over"] == {}
    assert "matrix_share" not in whole["rows"]["small/system"]

    later.add(SMALL, "plain", ENGINE, counts(2.0), flops=5e12)
    assert set(json.loads(file.read_text())["runs"]) == {"two"}


def test_what_was_not_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = ledger(tmp_path / "gpu.json")
    book.add(SMALL, "plain", ENGINE, counts(2.0), flops=5e12)
    book.skip(SMALL, "plain", "needs about 20 s, and 3 s are left")
    book.skip(LARGE, "system", "needs about 20 s, and 3 s are left")

    assert "small/plain: not run again: needs about 20 s" in capsys.readouterr().out
    table = book.table().splitlines()
    assert table[1].split()[:2] == ["small/plain", "50.00"]
    assert table[2] == "large/system    not run: needs about 20 s, and 3 s are left"


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ([], True),
        (["small"], True),
        (["system"], True),
        (["small/system"], True),
        (["small/plain", "large"], False),
    ],
)
def test_rows_are_chosen_by_case_and_by_side(chosen: list[str], wanted: bool) -> None:
    assert is_wanted(chosen, SMALL, "system") is wanted


def test_pictures_have_the_tokens_that_are_said() -> None:
    def tokens(case: Case) -> int:
        return case.picture_tokens

    assert [tokens(case) for case in cases(toy=False)] == [391, 1271, 391, 391]

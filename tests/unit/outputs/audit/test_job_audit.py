"""The audit of a whole job: flags of its records, and their sums."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.outputs.audit import Auditor, record_flags
from tests.support.records import make_job


def result(index: int, *captions: str | None, **fields: Any) -> dict[str, Any]:
    regions = [
        {
            "region": i,
            "bbox": [0, 0, 5, 5],
            "status": "ok" if caption else "missing",
            "caption": caption,
            "why": None if caption else "not in the answer",
            "view": "marks",
            "colour": "red",
        }
        for i, caption in enumerate(captions, start=1)
    ]
    record = {"index": index, "id": None, "image": "a.png", "error": None, "regions": regions}
    return record | fields


CUP = "A white cup of coffee on a wooden table."


def test_flags_of_a_record() -> None:
    found = record_flags(result(0, CUP, "The red box shows a cup.", None))

    assert [(flag.region, flag.name) for flag in found] == [(2, "speaks-of-mark"), (3, "empty")]


def test_colour_of_the_mark_is_taken_from_the_record() -> None:
    assert not record_flags(result(0, "A blue box of biscuits on a shelf."))


@pytest.mark.parametrize("change", [{"view": None}, {"view": None, "status": "skipped"}])
def test_region_that_was_not_asked_for_has_no_flag(change: dict[str, Any]) -> None:
    record = result(0, None)
    record["regions"][0] |= change

    assert not record_flags(record)


def test_failed_record_is_counted_as_failed_and_has_no_flags() -> None:
    auditor = Auditor(make_job())

    assert auditor.look(result(0, None, error={"code": "no-caption"})) == []
    report = auditor.report()
    assert (report.records, report.failed, report.regions) == (1, 1, 0)


def test_report_sums_up() -> None:
    auditor = Auditor(make_job())
    for i in range(5):
        auditor.look(result(i, f"A {i} thing of some sort or other.", None))

    report = auditor.report()

    assert (report.records, report.regions) == (5, 10)
    assert (report.records_flagged, report.regions_flagged) == (5, 5)
    assert report.flags == {"empty": 5}
    assert [example.index for example in report.examples] == [0, 1, 2]


def test_regions_and_records_are_counted_once_however_many_flags_they_have() -> None:
    auditor = Auditor(make_job())
    auditor.look(result(0, "A cat, a", "", CUP))
    auditor.look(result(1, "A grey cat sleeps on a mat."))

    report = auditor.report()

    assert (report.records, report.records_flagged) == (2, 1)
    assert (report.regions, report.regions_flagged) == (4, 2)
    assert report.flags == {"cut-off": 1, "empty": 1}


def test_near_duplicates_over_records_are_named_but_no_flags() -> None:
    auditor = Auditor(make_job())
    auditor.look(result(0, "Something else altogether, far away.", CUP))

    [finding] = auditor.look(result(1, CUP))

    assert (finding.flag, finding.detail) == ("near-duplicate", "0/2")
    report = auditor.report()
    assert (report.regions_flagged, report.near_duplicates) == (0, 1)
    assert [(g.first, g.count, g.caption) for g in report.duplicate_groups] == [("0/2", 2, CUP)]


def test_language_asked_for_is_the_templates() -> None:
    chinese = result(0, "一只白色的咖啡杯放在木桌上，旁边有一把勺子。")
    any_language = 'name = "own"\n[regions]\nafter = "$regions"\n'

    [finding] = Auditor(make_job()).look(chinese)

    assert finding.flag == "other-language"
    assert Auditor(make_job(any_language, prompt="own.toml")).look(chinese) == []


def test_gallery_gets_the_names_of_flags() -> None:
    auditor = Auditor(make_job())
    auditor.look(result(0, CUP))

    record = auditor.annotated(result(1, CUP, "Cup"))

    assert [region["flags"] for region in record["regions"]] == [["near-duplicate"], ["too-short"]]

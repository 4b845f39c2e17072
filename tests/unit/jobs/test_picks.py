"""What a result counts as."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.jobs import picks
from regioncap.jobs.picks import Pick
from regioncap.jobs.results import summary_of
from regioncap.outputs.audit import Auditor
from regioncap.outputs.gallery.page import GalleryRecord, GallerySummary, gallery_values
from tests.support.jobs import job_at, result

ERROR = {"code": "image-missing", "message": "gone", "stage": "submit"}
MISSING = {"region": 1, "status": "missing"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"error": ERROR}, ["failed"]),
        # Its regions have no caption because it failed: it counts once.
        ({"error": ERROR, "regions": [MISSING]}, ["failed"]),
        ({"regions": [MISSING]}, ["uncaptioned"]),
        ({"regions": [{"status": "invalid"}]}, ["uncaptioned"]),
        ({"regions": [{"status": "skipped"}, {"status": "ok"}]}, []),
        ({"regions": []}, []),
        ({"regions": [{"status": "ok", "flags": ["too-short"]}]}, ["flagged"]),
        ({"regions": [{"status": "ok", "flags": ["near-duplicate"]}]}, []),
        ({"regions": [MISSING | {"flags": ["empty"]}]}, ["uncaptioned", "flagged"]),
    ],
)
def test_a_record_counts_as(more: dict[str, Any], expected: list[Pick]) -> None:
    assert picks.of(result(job_at(0), 0, "a cup") | more) == expected


def test_terminal_audit_and_gallery_count_alike() -> None:
    job = job_at(0)
    same = "a red cup stands on a wooden table beside the window"
    lines = [
        result(job, 0, same),
        result(job, 1, same),  # repeats the one before
        result(job, 2, same, None),
        result(job, 3, "x"),
        result(job, 4, "a cup", error=ERROR),
    ]
    auditor = Auditor(job)
    shown = [GalleryRecord(auditor.annotated(line)) for line in lines]
    page = str([*gallery_values(shown, GallerySummary("A job"))["blocks"]])
    counts, report = summary_of(b"", lines)["counts"], auditor.report()

    assert (counts["failed"], report.failed, page.count('"failed"')) == (1, 1, 1)
    assert (report.records_flagged, page.count('"flagged"')) == (2, 2)
    assert (report.near_duplicates, page.count('"near-duplicate"')) == (2, 2)
    assert page.count('"uncaptioned"') == 1
    assert report.line() == "2 regions in 2 records flagged, 2 near duplicates"

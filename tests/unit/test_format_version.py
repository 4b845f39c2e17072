"""What older versions have stored is read; what newer ones have stored is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regioncap import records
from regioncap.errors import NewerFormatError
from regioncap.inputs.lines import parse_line
from regioncap.job import Job, Summary
from regioncap.jobs.results import parse_part
from regioncap.records import (
    InputRecord,
    RegionInView,
    RenderedRecord,
    dump_lines,
    load_lines,
)

NEWER = records.SCHEMA_VERSION + 1


def test_what_a_newer_version_wrote_is_refused() -> None:
    line = json.dumps({"schema_version": NEWER, "index": 0, "line": 1}).encode()
    for model in (InputRecord, RenderedRecord):
        with pytest.raises(NewerFormatError, match=f"format {NEWER}"):
            load_lines(model, line)
    with pytest.raises(NewerFormatError):
        parse_part(line)
    # Whatever else is in it that this version knows nothing of.
    for stored in (Job, Summary):
        with pytest.raises(NewerFormatError):
            stored.model_validate_json(json.dumps({"schema_version": NEWER, "new": 1}))


def test_what_was_written_without_a_version_is_read() -> None:
    (record,) = load_lines(InputRecord, b'{"index": 0, "line": 1}\n')
    assert record.schema_version == records.SCHEMA_VERSION
    assert parse_part(b'{"index": 0}\n') == [{"index": 0}]


def test_what_is_written_has_the_version_of_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    record = RenderedRecord(index=0, line=1)
    monkeypatch.setattr(records, "SCHEMA_VERSION", NEWER)
    assert json.loads(dump_lines([record]))["schema_version"] == NEWER
    assert RenderedRecord(**record.model_dump()).index == 0


def test_a_field_of_that_name_in_the_input_is_the_user_s() -> None:
    record = parse_line(b'{"image": "a.png", "schema_version": 99}', line=1, index=0)
    assert record.meta == {"schema_version": 99}
    assert record.schema_version == records.SCHEMA_VERSION


#: A part of format 1, written when views held their regions as three lists.
RENDERED = Path(__file__).parents[1] / "support" / "stored" / "rendered.jsonl"


def test_a_rendered_part_of_an_older_version_is_read_and_written_as_it_was() -> None:
    part = RENDERED.read_bytes()

    records_read = load_lines(RenderedRecord, part)

    first, second, crop = records_read[0].views
    assert first.regions == [
        RegionInView(1, (10, 19, 211, 169), "red"),
        RegionInView(2, (302, 49, 423, 248), "blue"),
    ]
    assert [region.number for region in second.regions] == [5]
    assert (crop.regions, crop.way) == ([RegionInView(3, (46, 46, 122, 122))], "crop")
    # And it is written with the views as they were.
    written = [json.loads(line) for line in dump_lines(records_read).splitlines()]
    assert [line["views"] for line in written] == [
        json.loads(line)["views"] for line in part.splitlines()
    ]


def test_a_view_whose_lists_do_not_fit_is_refused() -> None:
    wrongs: list[dict[str, object]] = [
        {"boxes_xyxy": []}, {"numbers": [1]}, {"boxes_xyxy": [[1, 2], [3, 4]]},
    ]  # fmt: skip
    for wrong in wrongs:
        line = json.loads(RENDERED.read_bytes().splitlines()[0])
        line["views"][0] |= wrong
        with pytest.raises(ValueError, match="views"):
            load_lines(RenderedRecord, json.dumps(line).encode())

"""Corrected captions come back from Label Studio and from edited results, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.errors import UsageError
from regioncap.outputs.edits import Edit, check_caption, read_edits
from regioncap.records import dump_lines
from tests.support.exported import JOB, region, result


def annotation(texts: dict[str, list[str]], **fields: Any) -> dict[str, Any]:
    """What Label Studio exports of one person's work."""
    parts = [
        {"id": name, "type": "textarea", "from_name": "caption", "value": {"text": text}}
        for name, text in texts.items()
    ]
    box = {"id": "region-1", "type": "rectanglelabels", "value": {"x": 1, "y": 1}}
    return {"result": [box, *parts], "updated_at": "2026-11-24T04:00:00Z"} | fields


def task(*annotations: dict[str, Any], index: int = 0, job: str | None = JOB) -> dict[str, Any]:
    data = {"image": "s3://b/k", "regioncap_job": job, "regioncap_index": index}
    return {"data": data, "annotations": list(annotations), "predictions": []}


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path = written(tmp_path / "f.json", [task(annotation({"region-1": ["a fox"]}))])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_edits(path, JOB, by="me")[0].captions == {1: "a fox"}


def test_label_studio_export(tmp_path: Path) -> None:
    tasks = [
        task(annotation({"region-1": ["a fox "], "region-2": ["two", "lines"]}), index=3),
        task(index=4),
    ]

    edits = read_edits(written(tmp_path / "f.json", tasks), JOB, by="me")

    assert edits == {3: Edit({1: "a fox", 2: "two\nlines"}, "me")}


def test_last_annotation_counts_and_cancelled_ones_do_not(tmp_path: Path) -> None:
    old = annotation({"region-1": ["old"]}, updated_at="2026-11-24T04:00:00Z")
    new = annotation({"region-1": ["new"]}, updated_at="2026-11-24T05:00:00Z")
    skipped = annotation(
        {"region-1": ["skipped"]}, updated_at="2026-11-24T06:00:00Z", was_cancelled=True
    )

    edits = read_edits(written(tmp_path / "f.json", [task(new, old, skipped)]), JOB)

    assert edits[0].captions == {1: "new"}


@pytest.mark.parametrize(
    ("who", "name"), [(7, "7"), ({"id": 7, "email": "ada@example.com"}, "ada@example.com")]
)
def test_annotator_is_named(who: object, name: str, tmp_path: Path) -> None:
    done = annotation({"region-1": ["x"]}, completed_by=who)

    edits = read_edits(written(tmp_path / "f.json", [task(done)]), JOB, by="someone else")

    assert edits[0].by == name


def test_a_text_is_a_string_or_a_list_of_them_and_nothing_else(tmp_path: Path) -> None:
    done = annotation({"region-1": "A cat.", "region-2": ["A dog."]})  # type: ignore[dict-item]
    edits = read_edits(written(tmp_path / "f.json", [task(done)]), JOB)
    assert edits[0].captions == {1: "A cat.", 2: "A dog."}

    others: list[Any] = [{"a": 1}, None, 5, [1], [None], [["A"]]]
    for other in others:
        path = written(tmp_path / "f.json", [task(annotation({"region-7": other}))])
        with pytest.raises(UsageError, match="region-7") as caught:
            read_edits(path, JOB)
        assert caught.value.code == "bad-edits"
    assert "Error" not in caught.value.message  # a name of Python's says nothing to people


def test_added_regions_and_emptied_texts_are_left_alone(tmp_path: Path) -> None:
    done = annotation({"Dx_aB91ISN": ["new region"], "region-1": [" "], "region-2": []})

    assert read_edits(written(tmp_path / "f.json", [task(done)]), JOB)[0].captions == {}


def test_one_text_is_one_text(tmp_path: Path) -> None:
    done = annotation({"region-1": "abc"})  # type: ignore[dict-item]

    assert read_edits(written(tmp_path / "f.json", [task(done)]), JOB)[0].captions == {1: "abc"}


@given(st.text(), st.text())
def test_what_results_wrote_is_read(tmp_path_factory: Any, caption: str, name: str) -> None:
    record = result(5, [region(1, [1, 2, 3, 4], caption)]) | {"id": name, "meta": {name: name}}
    path = tmp_path_factory.mktemp("edits") / "f.jsonl"
    path.write_bytes(dump_lines([record]))

    (edit,) = read_edits(path, JOB).values()

    read_again = caption.encode("utf-8", "replace").decode().strip()
    assert edit.captions == ({1: read_again} if read_again else {})


REGIONS = '[{"region": REGION, "caption": "x"}]'
LINE = f'{{"result_file": "jobs/{JOB}/results/", "index": INDEX, "regions": {REGIONS}}}'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 100_000,
        LINE.replace("INDEX", "1e999").replace("REGION", "1"),
        LINE.replace("INDEX", "1.5").replace("REGION", "1"),
        LINE.replace("INDEX", "0").replace("REGION", "true"),
        "[5]",
        '[{"data": []}]',
        json.dumps([task(annotation({"region-1": 5}))]),  # type: ignore[dict-item]
    ],
    ids=lambda text: text[:30],
)
def test_what_holds_no_edits_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        read_edits(path, JOB)

    assert caught.value.code == "bad-edits"


@pytest.mark.parametrize("caption", ["a\x1b[31mb", "a\x00", "a\x9b", "x" * 200_001])
def test_captions_that_nobody_writes_are_refused(caption: str) -> None:
    with pytest.raises(UsageError, match="a caption has"):
        check_caption(caption)


def test_edited_results(tmp_path: Path) -> None:
    record = result(5, [region(1, [1, 2, 3, 4], "fixed"), region(2, [1, 2, 3, 4], None)])

    edits = read_edits(written(tmp_path / "f.jsonl", record), JOB, by="me")

    assert edits == {5: Edit({1: "fixed"}, "me")}


@pytest.mark.parametrize("job", ["20261124-031522-other2", None])
def test_edits_of_another_job_are_refused(job: str | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_edits(written(tmp_path / "f.json", [task(job=job)]), JOB)

    assert caught.value.code == "other-job"


@pytest.mark.parametrize("text", ["[1]", '{"image": 1}', "[{}", "no json", '[{"data": {}}]'])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        read_edits(path, JOB)

    assert caught.value.code in {"bad-edits", "other-job"}


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json cannot be read"):
        read_edits(tmp_path / "gone.json", JOB)

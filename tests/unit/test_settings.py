"""A mistake in the settings is named with its place, and a secret never."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.settings import SMALL_MAX_PIXELS, as_environment, load_settings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("maxboxes = 3", "there is no setting maxboxes, but max_boxes"),
        ("zzz = 3", "there is no setting zzz"),
        ("max_boxes = 0", "max_boxes: must be at least 1 (not 0)"),
        ("max_boxes = ", "regioncap.toml: Invalid value (at end of document)"),
        ("max_boxes = 0\ntop_p = 2", "(not 0); top_p: must be at most 1"),
    ],
)
def test_a_mistake_is_named(folder: Path, toml: str, said: str) -> None:
    (folder / "regioncap.toml").write_text(toml)

    with pytest.raises(UsageError) as caught:
        load_settings()

    assert said in caught.value.message
    assert "environment names" in caught.value.hint


def test_who_typed_a_value_is_not_sent_to_the_environment(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(max_boxes=0)

    assert "max_boxes: must be at least" in caught.value.message
    assert not caught.value.hint
    assert caught.value.code == "bad-settings"


def test_a_secret_is_not_named(folder: Path) -> None:
    (folder / "regioncap.toml").write_text("s3_secret_key = 12345678")

    with pytest.raises(UsageError) as caught:
        load_settings()

    assert "s3_secret_key" in caught.value.message
    assert "12345678" not in caught.value.message


def test_secrets_are_read_from_the_folder_named_now(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "REGIONCAP_S3_SECRET_KEY").write_text("from a file")
    monkeypatch.setenv("REGIONCAP_SECRETS_DIR", "secrets")

    assert load_settings().s3_secret_key.get_secret_value() == "from a file"


def test_a_mistake_outside_the_file_is_not_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONCAP_S3_SOURCE_BUCKETS", "one, two")

    with pytest.raises(UsageError) as caught:
        load_settings()

    assert "s3_source_buckets" in caught.value.message
    assert "regioncap.toml" not in caught.value.message


def test_for_job__changes_what_is_a_jobs(folder: Path) -> None:
    (folder / "regioncap.toml").write_text("max_boxes = 3\ntop_p = 0.5")

    changed = load_settings().for_job({"max_boxes": 7})

    assert (changed.max_boxes, changed.top_p) == (7, 0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_boxs": 3}, "no setting max_boxs of a job (did you mean max_boxes?)"),
        ({"engine": "vllm"}, "no setting engine of a job"),
        ({"max_boxes": 0}, "(not 0)"),
    ],
)
def test_for_job__a_mistake_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings().for_job(changes)

    assert said in str(caught.value)


def test_the_small_model_gets_pictures_as_small_as_it_knows() -> None:
    small = load_settings(engine="vllm", model="small")
    larger = load_settings(engine="vllm", model="small", max_pixels=50_000)
    other = load_settings(engine="baseline", model="small")

    assert small.max_pixels == SMALL_MAX_PIXELS
    assert larger.max_pixels == 50_000
    assert other.max_pixels > 1_000_000


def test_as_environment__a_child_process_reads_what_was_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = load_settings(
        openai_base_url="http://127.0.0.1:5/v1",
        openai_api_key="a key",
        engine_args={"max_model_len": 2048, "seed": None},
        s3_source_buckets=["one", "two"],
        model=None,
        propose=True,
        grace_s=1.5,
    )
    names = given.model_fields_set
    for name, value in as_environment({n: getattr(given, n) for n in names}).items():
        monkeypatch.setenv(name, value)

    read = load_settings()

    assert read.model_fields_set == names
    assert read == given


def test_a_priority_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"priority.*'high', 'normal' or 'low'"):
        load_settings().for_job({"priority": "hihg"})


def test_a_window_holds_a_shard_at_least() -> None:
    assert load_settings(window_shards=1).window_shards == 1
    with pytest.raises(UsageError, match="window_shards"):
        load_settings(window_shards=0)

"""`init` writes files that change nothing until they are edited."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from producer.starter import settings_text, write_starter
from regioncap.errors import UsageError
from regioncap.settings import Settings, load_settings
from tests.support.system import read_jsonl


def test_settings_file_changes_nothing_until_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_starter(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert load_settings().model_fields_set == set()


def test_every_setting_stands_there_with_its_default() -> None:
    lines = [line[1:] for line in settings_text().splitlines() if line.startswith("#")]
    named = {line.split(" = ")[0]: line for line in lines if " = " in line}

    assert set(Settings.model_fields) <= set(named)
    values = [named[name] for name in Settings.model_fields if "# unset" not in named[name]]
    assert Settings(**tomllib.loads("\n".join(values))) == Settings()


def test_example_names_pictures_that_are_there(tmp_path: Path) -> None:
    files = write_starter(tmp_path / "new")

    assert all(file.is_file() for file in files)
    records = read_jsonl(tmp_path / "new" / "example.jsonl")
    assert records
    assert all((tmp_path / "new" / record["image"]).is_file() for record in records)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "example.jsonl").write_text("mine")

    with pytest.raises(UsageError) as caught:
        write_starter(tmp_path)

    assert caught.value.code == "output-exists"
    assert [each.name for each in tmp_path.iterdir()] == ["example.jsonl"]

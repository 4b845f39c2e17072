"""Options that stand for settings are those of the settings."""

from __future__ import annotations

from typing import get_args

import pytest
from typer.testing import CliRunner

from producer.cli import app
from producer.options import JOB_SETTINGS, SETTINGS
from regioncap.settings import JobSettings, Settings


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_says_what_its_setting_says(name: str) -> None:
    field = Settings.model_fields[name]
    kinds = {field.annotation, *get_args(field.annotation)}
    kind = next((each for each in (bool, int, float) if each in kinds), str)

    assert SETTINGS[name] == (kind, field.description)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--name", "other"], "--name"),
        (["--label", "a=b"], "--label"),
        (["--key", "k"], "--key"),
        (["--image-root", "."], "--image-root"),
        (["--dry-run"], "--dry-run"),
        (["--force"], "--force"),
        (["--prompt", "regions-2"], "--prompt"),
        (["--schema", "object"], "--schema"),
        (["--no-keep-marked"], "--no-keep-marked"),
        (["--temperature", "0"], "--temperature"),
        (["--max-gpu-seconds", "9"], "--max-gpu-seconds"),
    ],
)
def test_a_job_that_is_resumed_takes_no_options_of_a_new_one(words: list[str], option: str) -> None:
    job = "20260101-000000-aaaaaa"
    done = CliRunner().invoke(app, ["submit", "--resume", job, *words], obj={})

    assert done.exit_code == 2
    assert option in done.output
    assert "--resume" in done.output


@pytest.mark.parametrize(
    ("option", "value"),
    [("--kinds", "colours"), ("--scenes", "2"), ("--regions", "8"), ("--sizes", "640x480")],
)
def test_pictures_of_ones_own_are_no_made_scenes(option: str, value: str) -> None:
    done = CliRunner().invoke(app, ["eval", "--data", "own.jsonl", option, value], obj={})

    assert done.exit_code == 2
    assert option in done.output


def test_submit_takes_every_setting_of_a_job() -> None:
    assert list(JOB_SETTINGS) == list(JobSettings.model_fields)

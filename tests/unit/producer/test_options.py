"""Options that stand for settings are those of the settings."""

from __future__ import annotations

from typing import get_args

import pytest

from producer.options import JOB_SETTINGS, SETTINGS
from regioncap.settings import JobSettings, Settings


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_says_what_its_setting_says(name: str) -> None:
    field = Settings.model_fields[name]
    kinds = {field.annotation, *get_args(field.annotation)}
    kind = next((each for each in (bool, int, float) if each in kinds), str)

    assert SETTINGS[name] == (kind, field.description)


def test_submit_takes_every_setting_of_a_job() -> None:
    assert list(JOB_SETTINGS) == list(JobSettings.model_fields)

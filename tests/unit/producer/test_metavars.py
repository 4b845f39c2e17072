"""Help says what is wanted: a word for each value, and nothing behind a switch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from producer.cli import app, whole_command
from producer.metavars import METAVARS


def options(of: Any) -> Iterator[Any]:
    yield from (each for each in of.params if each.param_type_name == "option")
    for child in getattr(of, "commands", {}).values():
        yield from options(child)


def test_every_value_has_a_word_and_every_word_a_value() -> None:
    values = [each for each in options(whole_command()) if not each.is_flag]
    shells = {"install_completion", "show_completion"}
    assert [each.name for each in values if not each.metavar and each.name not in shells] == []
    assert set(METAVARS) <= {each.name for each in values}


@pytest.mark.parametrize("name", [None, "submit", "up", "export", "eval"])
def test_no_type_of_python_is_shown(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    whole_command()([*([name] if name else []), "--help"], standalone_mode=False, obj={})
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert [word for word in ("<bool>", "<str>", "<int>", "list[") if word in shown] == []


def test_the_app_of_typer_shows_them_otherwise() -> None:
    """What is overridden is there to be overridden."""
    assert "<bool>" in CliRunner().invoke(app, ["--help"]).output

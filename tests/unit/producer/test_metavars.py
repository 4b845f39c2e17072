"""Help says what is wanted: a word for each value, nothing behind a switch, whole texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
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


def commands(of: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, of
    for name, child in getattr(of, "commands", {}).items():
        yield from commands(child, *path, name)


def test_brackets_in_texts_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typer reads texts as markup, in which `[stdout]` is a style."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    seen = 0
    for path, command in commands(typer.main.get_command(app)):
        whole_command()([*path, "--help"], standalone_mode=False, obj={})
        shown = capsys.readouterr().out
        for text in [command.help, *(getattr(each, "help", None) for each in command.params)]:
            first = " ".join((text or "").split("\n\n")[0].split())
            assert first in shown, path
            seen += "[" in first
    assert seen > 5

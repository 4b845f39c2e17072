"""What is written to stdout: as it is, and on a terminal without what would command it."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable
from pathlib import Path

import pytest

from producer.context import emit, emit_bytes

EVIL = "x\x9b31m\u202e\x1b[31m \u00e9"


@pytest.mark.parametrize(
    "write", [lambda: emit(EVIL), lambda: emit_bytes(f"{EVIL}\n".encode())], ids=["text", "bytes"]
)
def test_emit__escapes_for_a_terminal_alone(
    write: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        write()
        terminal.flush()
        seen = os.read(parent, 999).decode()
    os.close(parent)
    with (tmp_path / "file").open("w", encoding="utf-8") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", file)
        write()

    assert seen == "x\\u009b31m\\u202e\\u001b[31m \u00e9\r\n"
    assert (tmp_path / "file").read_text("utf-8") == f"{EVIL}\n"


def test_emit_bytes__shows_no_ends_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        emit_bytes(b"a,b\r\n")
        terminal.flush()
        assert os.read(parent, 99) == b"a,b\r\n"
    os.close(parent)

"""`regioncap init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from producer.context import emit, say


def init_command(
    folder: Annotated[Path, typer.Argument(help="Folder to start in; made if missing.")] = Path(),
) -> None:
    """Write a commented regioncap.toml and a small example to start from."""
    from producer.starter import write_starter

    for file in write_starter(folder):
        emit(str(file))
    move = "" if folder == Path() else f"cd {folder}; "
    say(f"next: {move}regioncap up, and in a second terminal: regioncap submit example.jsonl")

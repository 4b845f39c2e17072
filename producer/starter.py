"""What `regioncap init` writes: a settings file to edit, and a small input to try."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from regioncap.errors import UsageError
from regioncap.inputs import examples
from regioncap.settings import TOML_FILE, JobSettings, Settings

_RECORDS = 2

_HEAD = """\
# Settings of RegionCap for this folder. Every line is a comment with the default: take the # away
# and change the value. Stronger than this file are the environment (REGIONCAP_ and the name in
# capitals) and flags; `regioncap config show --origin` tells what is in force and why.
# Keep passwords out of it: REGIONCAP_S3_SECRET_KEY, or files in the folder REGIONCAP_SECRETS_DIR.
"""


def write_starter(folder: Path) -> list[Path]:
    """Writes the files; returns them.

    Args:
        folder: Made if it is missing.

    Raises:
        UsageError: One of them is there already (`output-exists`), or the folder cannot be
            written (`bad-output`).
    """
    photos = _example_records()
    files = [folder / TOML_FILE, folder / "example.jsonl"]
    files += [folder / record["image"] for record in photos]
    for file in files:
        if file.exists():
            raise UsageError(
                f"{file} is there already", code="output-exists", hint="name another folder"
            )
    try:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        files[0].write_text(settings_text(), encoding="utf-8")
        files[1].write_text("".join(json.dumps(record) + "\n" for record in photos))
        for record, file in zip(photos, files[2:], strict=True):
            shutil.copyfile(examples.examples_dir() / record["image"], file)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}", code="bad-output"
        ) from error
    return files


def _example_records() -> list[dict[str, Any]]:
    lines = examples.photos_jsonl().read_text("utf-8").splitlines()[:_RECORDS]
    records = map(json.loads, lines)
    return [{name: record[name] for name in ("id", "image", "bbox")} for record in records]


def settings_text() -> str:
    """The settings file: every setting as a comment, with its default and what it means."""
    groups = (
        ("Jobs: taken at submission and kept with the job", JobSettings.model_fields),
        (
            "Services and workers",
            {
                name: field
                for name, field in Settings.model_fields.items()
                if name not in JobSettings.model_fields
            },
        ),
    )
    parts = [_HEAD]
    for title, fields in groups:
        parts.append(f"\n# --- {title} ---\n")
        parts += [_setting(name, field) for name, field in fields.items()]
    return "".join(parts)


def _setting(name: str, field: FieldInfo) -> str:
    said = textwrap.fill(field.description or "", 98, initial_indent="# ", subsequent_indent="# ")
    return f"\n{said}\n#{name} = {_toml(field.get_default(call_default_factory=True))}\n"


def _toml(value: Any) -> str:
    """A default in TOML; where there is none, a comment that says so."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "# unset"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    # JSON's texts, numbers, booleans and lists are TOML's.
    return json.dumps(value if isinstance(value, int | float | list) else str(value))

"""What `regioncap init` writes: a settings file to edit, and a small input to try."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from regioncap.errors import UsageError
from regioncap.files import written
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
    contents = {
        folder / TOML_FILE: settings_text().encode(),
        folder / "example.jsonl": "".join(json.dumps(record) + "\n" for record in photos).encode(),
    }
    for record in photos:
        name = record["image"]
        contents[folder / name] = (examples.examples_dir() / name).read_bytes()
    for file in contents:
        if file.exists():
            raise UsageError(
                f"{file} is there already", code="output-exists", hint="name another folder"
            )
    with written(folder):
        for file, data in contents.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    return list(contents)


def _example_records() -> list[dict[str, Any]]:
    lines = examples.photos_jsonl().read_text("utf-8").splitlines()[:_RECORDS]
    records = map(json.loads, lines)
    return [{name: record[name] for name in ("id", "image", "bbox")} for record in records]


def settings_text() -> str:
    """The settings file: every setting as a comment, with its default and what it means."""
    groups = {
        "Jobs: taken at submission and kept with the job": set(JobSettings.model_fields),
        "Services and workers": set(Settings.model_fields) - set(JobSettings.model_fields),
    }
    parts = [_HEAD]
    for title, names in groups.items():
        parts.append(f"\n# --- {title} ---\n")
        fields = Settings.model_fields.items()
        parts += [_setting(name, field) for name, field in fields if name in names]
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

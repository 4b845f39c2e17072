"""YAML files that say what a data set is: plain values, no tags, no references, of bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from regioncap.inputs.fields import bad_dataset

_MOST_BYTES = 2_000_000
#: The parser takes time by the square of the depth.
_MOST_LEVELS = 20
_HINT = "write it with plain values"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        UsageError: It is no such file (`bad-dataset`).
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise bad_dataset(path, f"more than {_MOST_BYTES:,} bytes of YAML")
        _check_events(path, data)
        found = yaml.safe_load(data)
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise bad_dataset(path, f"no YAML that is read: {said}", _HINT) from error
    if not isinstance(found, dict):
        raise bad_dataset(path, "no YAML mapping")
    return {str(name): value for name, value in found.items()}


def _check_events(path: Path, data: bytes) -> None:
    """Refuses what may grow: a reference may stand for a thousand, and each of those for more."""
    levels = 0
    for event in yaml.parse(data, yaml.SafeLoader):
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        if levels > _MOST_LEVELS:
            raise bad_dataset(path, f"nested deeper than {_MOST_LEVELS}", _HINT)
        if isinstance(event, yaml.AliasEvent):
            raise bad_dataset(path, "references (&name, *name) are not read", _HINT)

"""YAML files that say what a data set is: plain values, no tags, no references, of bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from regioncap.inputs.fields import bad_dataset

_MOST_BYTES = 2_000_000
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
        # One reference may stand for a thousand, and each of those for a thousand more.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, yaml.SafeLoader)):
            raise bad_dataset(path, "references (&name, *name) are not read", _HINT)
        found = yaml.safe_load(data)
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise bad_dataset(path, "nested too deeply", _HINT) from error
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise bad_dataset(path, f"no YAML that is read: {said}", _HINT) from error
    if not isinstance(found, dict):
        raise bad_dataset(path, "no YAML mapping")
    return {str(name): value for name, value in found.items()}

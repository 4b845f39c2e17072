"""The version of all that is stored: checked at each read, written with each write.

It stands in `job.json`, in every line of input, rendered and results parts, and in `_SUCCESS`. A
reader that is older than what it reads would drop fields without a word, or take them for something
else; so it refuses. A worker then leaves the shard to one that is new enough.

Raise it when an older program would go wrong with what a newer one writes: a field that changes
what comes out, a new meaning of an old one. A field that may be left out needs no new version.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer

from regioncap.errors import NewerFormatError

SCHEMA_VERSION = 1


def check(version: int) -> int:
    """Returns a version that can be read here.

    Raises:
        NewerFormatError: It cannot.
    """
    if version > SCHEMA_VERSION:
        raise NewerFormatError(
            f"stored in format {version} by a newer RegionCap; this one reads up to"
            f" {SCHEMA_VERSION}",
            hint="use that newer version here",
        )
    return version


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns a stored object whose version can be read here; one without is of the first.

    Raises:
        NewerFormatError: It cannot.
    """
    check(fields.get("schema_version", 1))
    return fields


#: A field that is checked when it is read, and is this program's own version when written.
FormatVersion = Annotated[
    int, AfterValidator(check), PlainSerializer(lambda _: SCHEMA_VERSION, return_type=int)
]

"""Plurals: numbers of things as people read them; one place for all that is counted in words."""

from __future__ import annotations

_HISSING = ("s", "x", "ch", "sh")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 record`, `2,000 boxes`."""
    return f"{number:,} {of(number, noun)}"


def of(number: int, noun: str) -> str:
    """A noun as it follows a number: `record` or `records`."""
    if number == 1:
        return noun
    if noun.endswith(_HISSING):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def agree(number: int, one: str, many: str) -> str:
    """The word that agrees with a number: `is` or `are`."""
    return one if number == 1 else many

"""XML files, element by element, without entities and of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from regioncap.inputs.fields import MAX_DEPTH, bad_dataset

#: Longest tag or text: the parser looks at all of one that is not at its end, again and again.
_MOST_BYTES = 2_000_000
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_SPACE = re.compile(rb"\s*")
#: What may stand before the outermost element, and what ends it.
_BEFORE = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!DOCTYPE", b">"))


def root_of(head: bytes) -> str:
    """The name of the outermost element, from the beginning of a file; empty if it is no XML."""
    if b"\0" in head:  # UTF-16
        head = head.replace(b"\0", b"").lstrip(b"\xff\xfe")
    at, found = 0, None
    while at >= 0 and found is None:
        at = _skipped(_SPACE, head, at)
        found = _ROOT.match(head, at)
        ends = (_end_of(head, at, *each) for each in _BEFORE if head.startswith(each[0], at))
        at = next(ends, -1)
    return found[1].decode("ascii", "replace") if found else ""


def _skipped(pattern: re.Pattern[bytes], head: bytes, at: int) -> int:
    match = pattern.match(head, at)
    return match.end() if match else at


def _end_of(head: bytes, at: int, begin: bytes, end: bytes) -> int:
    """Where what begins at `at` is over; -1 if it is not."""
    at += len(begin)
    if begin == b"<!DOCTYPE" and 0 <= head.find(b"[", at) < head.find(b">", at):
        at = head.find(b"]", at)  # its declarations, which have a > each
        if at < 0:
            return -1
    found = head.find(end, at)
    return found + len(end) if found >= 0 else -1


def elements(path: Path, *tags: str) -> Iterator[Element]:
    """The elements of some names, outermost first, each whole; what was yielded is then emptied.

    Raises:
        UsageError: It is no XML, or one with entities, which may grow (`bad-dataset`).
    """
    depth, within = 0, 0
    try:
        with path.open("rb") as file:
            for event, element in iterparse(_Bounded(path, file), ("start", "end")):
                if event == "start":
                    depth += 1
                    within += element.tag in tags
                    if depth > MAX_DEPTH:
                        raise bad_dataset(path, f"nested deeper than {MAX_DEPTH} elements")
                    continue
                depth -= 1
                within -= element.tag in tags
                if element.tag in tags and not within:
                    yield element
                if not within:
                    element.clear()
    except DefusedXmlException as error:
        what = "it has entities or a reference to other files, which are not read"
        raise bad_dataset(path, what, "write it without them") from error
    except (ParseError, ValueError, LookupError) as error:
        raise bad_dataset(path, f"no XML: {error}") from error
    except OSError as error:
        raise bad_dataset(path, f"cannot be read: {error.strerror}") from error


class _Bounded:
    """A file in which no tag and no text is very long: a parser holds each as a whole."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._length = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        last = data.rfind(b">")
        self._length = self._length + len(data) if last < 0 else len(data) - last
        if self._length > _MOST_BYTES:
            what = f"a tag or a text of more than {_MOST_BYTES:,} bytes"
            raise bad_dataset(self._path, what)
        return data

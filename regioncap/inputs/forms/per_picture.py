"""Forms of which each picture has a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from regioncap.inputs.forms.base import Boxes, Input, record_of
from regioncap.inputs.forms.picture_files import Pictures
from regioncap.inputs.reading import Reading
from regioncap.records import InputRecord
from regioncap.settings import BoxFormat

#: Reads a file; None if it is of another form.
_ReadOne = Callable[[Path, Pictures, int, Reading], InputRecord | None]


def read_each(source: Input, read_one: _ReadOne, box_format: BoxFormat) -> Iterator[InputRecord]:
    """Records of files, in order; then those of the pictures beside theirs, which have no regions.

    Args:
        source: What is read.
        read_one: Makes a record of a file.
        box_format: How boxes of the form are meant.
    """
    pictures, index = Pictures(source), 0
    for file in source.files:
        record = read_one(file, pictures, index, source.reading)
        if record is None:
            source.reading.leave_out("files of another form", file.name)
            continue
        yield record
        index += 1
    for name in pictures.others():
        yield record_of(
            name, Boxes(), box_format, index=index, reading=source.reading,
            picture=pictures.path(name),
        )  # fmt: skip
        index += 1

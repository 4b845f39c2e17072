"""Names of pictures that are pipes or devices, which are neither waited for nor read for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regioncap.errors import RecordError
from regioncap.inputs.locate import Locator
from regioncap.records import InputRecord
from regioncap.settings import load_settings


def _pipe(folder: Path) -> InputRecord:
    os.mkfifo(folder / "p.jpg")
    return InputRecord(index=0, line=1, image="p.jpg")


def _known_pipe(folder: Path) -> InputRecord:
    return _pipe(folder).model_copy(update={"picture": folder / "p.jpg"})


def _device(folder: Path) -> InputRecord:
    (folder / "z.jpg").symlink_to("/dev/zero")
    return InputRecord(index=0, line=1, image="z.jpg")


def _named_device(_: Path) -> InputRecord:
    return InputRecord(index=0, line=1, image="/dev/zero")


@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize("make", [_pipe, _known_pipe, _device, _named_device])
def test_what_is_no_file_is_no_picture(make: object, confined: bool, tmp_path: Path) -> None:
    record = make(tmp_path)  # type: ignore[operator]
    locator = Locator(load_settings(confine_images=confined), tmp_path)

    with pytest.raises(RecordError) as caught:
        locator.find(record)
    assert caught.value.code in {"image-missing", "image-outside"}

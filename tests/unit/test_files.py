"""A file or folder is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.files import open_input, whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("left_behind", [False, True])
def test_whole__a_file_takes_the_place_of_another(tmp_path: Path, left_behind: bool) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    if left_behind:  # by a process that was killed
        (tmp_path / ".out.part").write_text("half")

    with whole(path) as temporary, temporary.open("x") as file:
        file.write("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("left_behind", [False, True])
def test_whole__a_folder_takes_the_place_of_an_empty_one(tmp_path: Path, left_behind: bool) -> None:
    path = tmp_path / "out"
    path.mkdir()
    if left_behind:
        (tmp_path / ".out.part").mkdir()
        (tmp_path / ".out.part/half").touch()

    with whole(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()

    assert names(path) == ["new"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_whole__what_breaks_off_leaves_all_as_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    def break_off() -> None:
        with whole(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        break_off()

    assert path.read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_whole__what_cannot_take_its_name_goes(tmp_path: Path) -> None:
    (tmp_path / "out/old").mkdir(parents=True)

    with pytest.raises(OSError), whole(tmp_path / "out") as temporary:  # noqa: PT011 - of any kind
        temporary.mkdir()

    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


@pytest.mark.parametrize("name", ["none", "folder"])
def test_open_input__says_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(UsageError, match=f"{name} cannot be read: ") as caught:
        open_input(tmp_path / name)

    assert caught.value.code == "no-input-file"

"""A file or folder is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from regioncap import files
from regioncap.errors import UsageError
from regioncap.files import check_output, make_folder, open_input, whole, whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def part_of(pid: int, host: str | None = None) -> str:
    """The name under which a process would write."""
    place = files._place() if host is None else f"{host}-1"
    return f".regioncap-{place}-{pid}-0123456789abcdef.part"


def ended_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_whole__a_file_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    with whole(path) as temporary, temporary.open("x") as file:
        file.write("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_whole__a_folder_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()

    with whole(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()

    assert names(path) == ["new"]
    assert names(tmp_path) == ["out"]


def test_whole__two_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "out"

    with whole_file(path) as late:
        late.write(b"half")
        with whole_file(path) as early:
            early.write(b"all of it")
        assert path.read_text() == "all of it"
        late.write(b" and the rest")

    assert path.read_text() == "half and the rest"
    assert names(tmp_path) == ["out"]


def test_whole__what_killed_processes_left_goes(tmp_path: Path) -> None:
    (tmp_path / part_of(ended_pid())).write_text("half")
    folder = tmp_path / part_of(ended_pid(), "long-ago")
    folder.mkdir()
    (folder / "half").touch()
    os.utime(folder, (0, 0))

    with whole_file(tmp_path / "out"):
        pass

    assert names(tmp_path) == ["out"]


def test_whole__what_others_write_stays(tmp_path: Path) -> None:
    others = [part_of(os.getppid()), part_of(ended_pid(), "elsewhere"), ".regioncap-my.part"]
    for name in others:
        (tmp_path / name).touch()

    with whole_file(tmp_path / "out"):
        pass

    assert names(tmp_path) == sorted([*others, "out"])


@pytest.mark.parametrize("is_there", [True, False])
def test_whole__a_link_stays_and_leads_to_what_is_new(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/kept", tmp_path / "out"
    if is_there:
        target.write_text("old")
    link.symlink_to(target)

    with whole_file(link) as file:
        file.write(b"new")

    assert link.readlink() == target
    assert target.read_text() == "new"


@pytest.mark.parametrize("as_a_file", [True, False])
def test_whole__a_pipe_stays_one_and_is_given_all(tmp_path: Path, as_a_file: bool) -> None:
    pipe = tmp_path / "out"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    if as_a_file:
        with whole_file(pipe) as file:
            file.write(b"new")
    else:
        with whole(pipe) as temporary:
            temporary.write_bytes(b"new")

    assert os.read(reader, 99) == b"new"
    os.close(reader)
    assert pipe.is_fifo()
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


@pytest.mark.parametrize("name", ["folder", "none/out", "file/out", "x" * 300, "link"])
def test_check_output__says_what_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "none/out")

    for tried in (check_output, lambda path: whole_file(path).__enter__()):
        with pytest.raises(UsageError, match=r"is a folder|cannot be written: ") as caught:
            tried(tmp_path / name)
        assert caught.value.code == "bad-output"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_output__asks_for_the_right_to_write(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    with pytest.raises(UsageError, match="Permission denied"):
        check_output(tmp_path / "closed/out")


def test_check_output__takes_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")

    for name in ("file", "new", "pipe"):
        check_output(tmp_path / name)
    check_output(Path("/dev/null"))


def test_whole_file__a_full_disk_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")

    with (
        pytest.raises(UsageError, match="No space left") as caught,
        whole_file(tmp_path / "full") as file,
    ):
        file.write(b"x" * 99_999)

    assert caught.value.code == "bad-output"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_make_folder__says_what_is_in_its_way(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="cannot be written: ") as caught:
        make_folder(tmp_path / name)

    assert caught.value.code == "bad-output"

"""Where records come from: files, folders, a picture, standard input."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.inputs.lines import MAX_LINE_BYTES, read_lines
from regioncap.inputs.source import open_source


def test_read_lines__counts_lines_and_records() -> None:
    file = io.BytesIO(b'\xef\xbb\xbf{"image": "a.jpg"}\r\n\n  \n{"image": "b.jpg"}\nnonsense')

    records = list(read_lines(file))

    assert [(r.index, r.line, r.image) for r in records] == [
        (0, 1, "a.jpg"),
        (1, 4, "b.jpg"),
        (2, 5, None),
    ]
    assert records[2].error is not None


def test_read_lines__holds_no_endless_line() -> None:
    long = b'{"image": "' + b"a" * (3 * MAX_LINE_BYTES) + b'"}\n'

    first, second = read_lines(io.BytesIO(long + b'{"image": "b.jpg"}\n'))

    assert first.error is not None
    assert first.error.code == "line-too-long"
    assert (second.line, second.image) == (2, "b.jpg")


def test_open_source__folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "sub/c.heic", ".git/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    with open_source(str(tmp_path), io.BytesIO()) as source:
        assert source.fraction() == 0
        records = list(source.records)
        assert source.fraction() == 1

    assert [(r.index, r.line, r.image) for r in records] == [
        (0, 1, "a.png"),
        (1, 2, "b.JPG"),
        (2, 3, "sub/c.heic"),  # comes out as an error; it must not be missing
    ]
    assert source.root == tmp_path


def test_open_source__one_picture(tmp_path: Path) -> None:
    (tmp_path / "a.PNG").touch()
    (tmp_path / "b.png").touch()

    with open_source(str(tmp_path / "a.PNG"), io.BytesIO()) as source:
        [record] = source.records

    assert (record.image, source.root) == ("a.PNG", tmp_path)


def test_open_source__file(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"image": "a.jpg"}\n' * 2)

    with open_source(str(file), io.BytesIO()) as source:
        next(source.records)
        half = source.fraction()
        list(source.records)
        assert (half, source.fraction()) == (0.5, 1.0)

    assert (source.name, source.root) == (str(file), tmp_path)


def test_open_source__stdin() -> None:
    with open_source("-", io.BytesIO(b'{"image": "a.jpg"}\n')) as source:
        assert [r.image for r in source.records] == ["a.jpg"]
        assert (source.name, source.root, source.fraction()) == ("stdin", Path(), None)


def test_open_source__root(tmp_path: Path) -> None:
    with open_source("-", io.BytesIO(), tmp_path) as source:
        assert (source.root, source.image_root) == (Path(), tmp_path)


@pytest.mark.parametrize(
    ("target", "root", "code"),
    [("no.jsonl", None, "no-input-file"), ("-", Path("no-folder"), "no-image-root")],
)
def test_open_source__missing(target: str, root: Path | None, code: str) -> None:
    with pytest.raises(UsageError) as caught, open_source(target, io.BytesIO(), root):
        pass
    assert caught.value.code == code

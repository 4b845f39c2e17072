"""Files that are small on disk and large in memory, as a stranger may hand them to a producer."""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with_a_hint_of_exif(side: int = 9999) -> bytes:
    """A large PNG in whose text stands the name of the chunk that holds EXIF."""
    rows = zlib.compressobj(1)
    row = b"\0" * (1 + 4 * side)
    pixels = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join((
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)),
        png_chunk(b"tEXt", b"Comment\0eXIf"),
        png_chunk(b"IDAT", pixels),
        png_chunk(b"IEND", b""),
    ))  # fmt: skip


def jpeg_of_scans(scans: int, side: int = 8000) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 127).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * scans + data[end:]


def _parquet(folder: Path, name: str, columns: dict[str, list[bytes]], **options: Any) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({key: pa.array(values, pa.large_binary()) for key, values in columns.items()})
    pq.write_table(table, folder / name, compression="zstd", **options)
    return folder / name


def _zeros(folder: Path) -> Path:
    return _parquet(folder, "zeros.parquet", {"image": [b"\0" * 100_000_000] * 20})


def _just_taken(folder: Path) -> Path:
    """Rows of the most bytes that are taken."""
    return _parquet(folder, "taken.parquet", {"image": [b"\0" * 49_000_000] * 12})


def _wide(folder: Path) -> Path:
    columns = {name: [b"\0" * 60_000_000] for name in ("image", *map(str, range(9)))}
    return _parquet(folder, "wide.parquet", columns, use_dictionary=False)


def _packed_tar(folder: Path, size_bytes: int = 3_000_000_000) -> Path:
    file = folder / "packed.tar"
    member = tarfile.TarInfo("a.jpg")
    member.size = size_bytes
    zeros = b"\0" * 10_000_000
    with lzma.open(file, "wb", preset=0) as out:
        out.write(member.tobuf())
        for _ in range(size_bytes // len(zeros)):
            out.write(zeros)
        out.write(b"\0" * 1024)
    return file


def _sparse_tar(folder: Path, size_bytes: int = 3_000_000_000) -> Path:
    file = folder / "sparse.tar"
    member = tarfile.TarInfo("a.jpg")
    member.size = size_bytes
    with file.open("wb") as out:
        out.write(member.tobuf())
        out.truncate(512 + size_bytes + 1024)
    return file


def _pictures(folder: Path, name: str, pictures: Iterator[bytes]) -> Path:
    beside = folder / name
    beside.mkdir()
    for number, data in enumerate(pictures):
        suffix = "png" if data.startswith(b"\x89") else "jpg"
        (beside / f"{number}.{suffix}").write_bytes(data)
    return beside


def _pngs(folder: Path) -> Path:
    data = png_with_a_hint_of_exif()
    return _pictures(folder, "pngs", (data + bytes([number]) for number in range(8)))


def _scans(folder: Path) -> Path:
    return _pictures(folder, "scans", iter([jpeg_of_scans(1000)]))


def _lines(folder: Path, name: str, *lines: str) -> Path:
    file = folder / name
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def _deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def _boxes(folder: Path) -> Path:
    boxes = ",".join(["[1,1,2,2]"] * 900_000)
    return _lines(folder, "boxes.jsonl", f'{{"image":"a.jpg","bbox":[{boxes}]}}')


def _deep_lines(folder: Path) -> Path:
    lines = (f'{{"image":"a.jpg","meta":{_deep(n)}}}' for n in (150, 254, 300, 4_000_000))
    return _lines(folder, "deep.jsonl", *lines)


def _coco(folder: Path) -> Path:
    return _lines(folder, "deep.json", f'{{"images":{_deep(4_000_000)}}}')


def _folder(folder: Path, name: str, table: str, *lines: str) -> Path:
    beside = folder / name
    beside.mkdir()
    _lines(beside, table, *lines)
    return beside


def _long_cell(folder: Path) -> Path:
    return _folder(folder, "csv", "metadata.csv", "file_name,text", "a.jpg," + "x" * 20_000_000)


def _deep_rows(folder: Path) -> Path:
    row: dict[str, Any] = {"file_name": "a.jpg"}
    return _folder(folder, "jsonl", "metadata.jsonl", json.dumps(row)[:-1] + f',"m":{_deep(300)}}}')


#: What makes each of them below a folder, by a name that says what it is.
BOMBS: dict[str, Callable[[Path], Path]] = {
    "Parquet: 20 rows of 100 MB in 4 kB": _zeros,
    "Parquet: 12 rows of 49 MB in 3 kB": _just_taken,
    "Parquet: a row of 10 times 60 MB": _wide,
    "tar that is xz: 3 GB in 0.4 MB": _packed_tar,
    "tar with a member of 3 GB, all holes": _sparse_tar,
    "8 PNGs of 100 Mpx that name eXIf": _pngs,
    "JPEG of 64 Mpx with 1,000 scans": _scans,
    "a line with 900,000 boxes": _boxes,
    "lines nested 150 to 4,000,000 deep": _deep_lines,
    "COCO nested 4,000,000 deep": _coco,
    "metadata.csv with a cell of 20 MB": _long_cell,
    "metadata.jsonl nested 300 deep": _deep_rows,
}

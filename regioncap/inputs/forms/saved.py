"""Hugging Face's `save_to_disk`: a folder with Arrow files, or one such folder a split.

Format: https://huggingface.co/docs/datasets/process#save
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regioncap.inputs.fields import MAX_PICTURE_BYTES, bad_dataset
from regioncap.inputs.forms.base import Input
from regioncap.inputs.forms.document import read_document, value_of
from regioncap.inputs.forms.hf_features import ClassNames
from regioncap.inputs.forms.parquet import records_of
from regioncap.packages import require
from regioncap.records import InputRecord

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def files_of(folder: Path) -> list[Path]:
    """The Arrow files of a folder that `save_to_disk` wrote, in order; none if it is none.

    Raises:
        UsageError: What it says of its files is no such thing (`bad-dataset`).
    """
    if (folder / _SPLITS).is_file():
        said = read_document(folder / _SPLITS)
        splits = value_of(folder, "splits", said.get("splits")) if isinstance(said, dict) else None
        if not isinstance(splits, list) or not all(isinstance(each, str) for each in splits):
            raise bad_dataset(folder / _SPLITS, "splits is no list of names")
        return [file for split in splits for file in files_of(_below(folder, split))]
    if not (folder / _STATE).is_file():
        return []
    state = read_document(folder / _STATE)
    files = (
        value_of(folder, "_data_files", state.get("_data_files"))
        if isinstance(state, dict)
        else None
    )
    if not isinstance(files, list):
        return []
    names = [each.get("filename") if isinstance(each, dict) else None for each in files]
    if not all(isinstance(name, str) for name in names):
        raise bad_dataset(folder / _STATE, "_data_files is no list of files' names")
    return [_below(folder, str(name)) for name in names]


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise bad_dataset(folder, f"names a file outside of itself: {name!r}")
    return path


def read(source: Input) -> Iterator[InputRecord]:
    """Records of Arrow files, in order, as a stream."""
    yield from records_of(_rows(source.files), source.reading)


def _rows(files: list[Path]) -> Iterator[dict[str, Any] | None]:
    require("pyarrow", "reading Arrow files")
    import pyarrow as pa

    for path in files:
        try:
            with pa.memory_map(str(path)) as file:
                for batch in _batches(file):
                    classes = ClassNames(batch.schema.metadata)
                    for at in range(batch.num_rows):
                        row = batch.slice(at, 1)
                        is_large = row.get_total_buffer_size() > MAX_PICTURE_BYTES and (
                            row.nbytes > MAX_PICTURE_BYTES
                        )
                        yield None if is_large else classes.add_to(row.to_pylist()[0])
        except (pa.ArrowException, OSError) as error:
            raise bad_dataset(path, f"cannot be read as Arrow: {error}") from error


def _batches(file: Any) -> Iterator[Any]:
    """Record batches of an Arrow stream, as datasets writes them, or of an Arrow file."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_stream(file)
    except pa.ArrowInvalid:
        whole = pa.ipc.open_file(file)
        yield from (whole.get_batch(number) for number in range(whole.num_record_batches))
    else:
        yield from reader

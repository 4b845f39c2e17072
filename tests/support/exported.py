"""Results to export, and how the tools that people use read each format back."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from regioncap.outputs.exports.base import About, Encoded, Item

JOB = "20261124-031522-k3v7qa"
ABOUT = About(job=JOB, title='Käfer: "red" & blue', created=datetime(2026, 11, 24, tzinfo=UTC))


class Caption(NamedTuple):
    """One caption as a format gives it back."""

    record: int
    region: int
    #: Pixels, [x, y, width, height].
    box_xywh: tuple[float, ...]
    caption: str


def region(number: int, box: Sequence[float] | None, caption: str | None) -> dict[str, Any]:
    """A region of a result."""
    status = "ok" if caption is not None else "missing" if box else "invalid"
    why = None if caption is not None else "no answer"
    return {"region": number, "bbox": box, "status": status, "caption": caption, "why": why}


def result(index: int, regions: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A result in its output form; `fields` replace some."""
    return {
        "image": f"pictures/{index}.png",
        "type": "with_bbox",
        "bbox": [each["bbox"] for each in regions],
        "normalized_bbox": None,
        "result_file": f"s3://regioncap/jobs/{JOB}/results/part-00000.jsonl",
        "image_with_bbox": None,
        "valid_bboxes_num": len(regions),
        "prompt": "Describe.",
        "answer": "\n".join(each["caption"] or "" for each in regions),
        "id": None,
        "index": index,
        "line": index + 1,
        "width": 64,
        "height": 48,
        "regions": regions,
        "engine": "baseline",
        "model": "looks",
        "prompt_version": "p1",
        "mark_style": "v1",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "requests": 1},
        "finish_reason": "stop",
        "edited": None,
        "meta": {},
        "error": None,
    } | fields


def failed(index: int) -> dict[str, Any]:
    """The result of a record that has no picture."""
    error = {"code": "image-missing", "message": "no such file", "stage": "submit"}
    return result(index, [], width=None, height=None, answer=None, error=error)


def png(colour: tuple[int, int, int]) -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "PNG")
    return out.getvalue()


def item(record: dict[str, Any]) -> Item:
    """A result with its picture, where it has one."""
    if record["error"] is not None:
        return Item(record)
    index = record["index"]
    picture = Encoded(png((index % 256, 0, 0)), "png")
    return Item(record, f"s3://regioncap/images/{index}.png", picture)


def _jsonl(path: Path) -> Iterator[Caption]:
    for line in path.read_bytes().splitlines():
        yield from _of_record(json.loads(line))


def _of_record(record: dict[str, Any]) -> Iterator[Caption]:
    for each in record["regions"]:
        if each["caption"] is not None:
            box = tuple(each["bbox"])
            yield Caption(record["index"], each["region"], box, each["caption"])


def _csv(path: Path) -> Iterator[Caption]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["status"] == "ok":
                box = tuple(float(row[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
                yield Caption(int(row["index"]), int(row["region"]), box, row["caption"])


def _coco(path: Path) -> Iterator[Caption]:
    import contextlib

    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    # Records of one picture share its image.
    for each in sorted(coco.loadAnns(coco.getAnnIds()), key=lambda a: (a["record"], a["region"])):
        yield Caption(each["record"], each["region"], tuple(each["bbox"]), each["caption"])


def _parquet(path: Path) -> Iterator[Caption]:
    import pyarrow.parquet as pq

    for row in pq.read_table(path).to_pylist():
        if row["status"] == "ok":
            yield Caption(row["index"], row["region"], tuple(row["bbox"]), row["caption"])


def _webdataset(path: Path) -> Iterator[Caption]:
    from webdataset.autodecode import Decoder, imagehandler
    from webdataset.tariterators import group_by_keys, tar_file_expander

    decode = Decoder([imagehandler("pil")])
    for shard in sorted(path.glob("*.tar")):
        # webdataset.WebDataset would leave its files open, and the tests let no warning pass.
        with shard.open("rb") as stream:
            files = tar_file_expander([{"url": str(shard), "stream": stream}])
            for sample in map(decode, group_by_keys(files)):
                picture = sample["png"] if "png" in sample else sample["jpg"]
                assert picture.size == (64, 48)
                assert sample["__key__"] == f"{sample['json']['index']:08d}"
                yield from _of_record(sample["json"])


def _hf(path: Path) -> Iterator[Caption]:
    from datasets import load_dataset

    rows = load_dataset(str(path), split="train", cache_dir=str(path.parent / "hf-cache"))
    for row in rows:
        assert row["image"].size == (64, 48)
        objects = row["objects"]
        columns = (objects["region"], objects["bbox"], objects["caption"])
        for number, box, caption in zip(*columns, strict=True):
            yield Caption(row["index"], number, tuple(box), caption)


def _labelstudio(path: Path) -> Iterator[Caption]:
    for task in json.loads((path / "tasks.json").read_text("utf-8")):
        for each in task["predictions"][0]["result"]:
            if each["type"] == "textarea" and "original_width" in each:
                box = tuple(
                    round(each["value"][side] / 100 * each[f"original_{along}"], 9)
                    for side, along in zip(
                        ("x", "y", "width", "height"), ("width", "height") * 2, strict=True
                    )
                )
                number = int(each["id"].removeprefix("region-"))
                index = task["data"]["regioncap_index"]
                yield Caption(index, number, box, each["value"]["text"][0])


def _sidecars(path: Path) -> Iterator[Caption]:
    for line in (path / "records.jsonl").read_bytes().splitlines():
        record = json.loads(line)
        picture = path / record["file_name"]
        with Image.open(picture) as image:
            assert image.size == (64, 48)
        captions = list(_of_record(record))
        words = " ".join(each.caption for each in captions).split()
        said = picture.with_suffix(".txt").read_text("utf-8").split()
        assert said[len(said) - len(words) :] == words
        yield from captions


#: Reads every caption of an export, by the format's name.
READERS: dict[str, Callable[[Path], Iterator[Caption]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "coco": _coco,
    "parquet": _parquet,
    "webdataset": _webdataset,
    "hf": _hf,
    "labelstudio": _labelstudio,
    "sidecars": _sidecars,
}


def _whole_coco(path: Path) -> dict[int, str]:
    images = json.loads(path.read_text("utf-8"))["images"]
    return {each["id"] - 1: each["caption"] for each in images if "caption" in each}


def _whole_webdataset(path: Path) -> dict[int, str]:
    found = {}
    for shard in path.glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".json"):
                    record = json.load(tar.extractfile(member))  # type: ignore[arg-type]
                    found[record["index"]] = record["image_caption"]
    return found


def _whole_rows(rows: list[dict[str, Any]]) -> dict[int, str]:
    return {int(row["index"]): row["image_caption"] for row in rows}


def _whole_csv(path: Path) -> dict[int, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return _whole_rows(list(csv.DictReader(file)))


def _whole_parquet(path: Path) -> dict[int, str]:
    import pyarrow.parquet as pq

    return _whole_rows(pq.read_table(path).to_pylist())


def _whole_labelstudio(path: Path) -> dict[int, str]:
    return {
        task["data"]["regioncap_index"]: each["value"]["text"][0]
        for task in json.loads((path / "tasks.json").read_text("utf-8"))
        for each in task["predictions"][0]["result"]
        if each["from_name"] == "image_caption"
    }


#: Reads the captions of whole pictures, by record.
WHOLE_READERS: dict[str, Callable[[Path], dict[int, str]]] = {
    "jsonl": lambda path: _whole_rows(list(map(json.loads, path.read_bytes().splitlines()))),
    "csv": _whole_csv,
    "coco": _whole_coco,
    "parquet": _whole_parquet,
    "webdataset": _whole_webdataset,
    "hf": lambda path: _whole_parquet(path / "train" / "metadata.parquet"),
    "labelstudio": _whole_labelstudio,
    "sidecars": lambda path: _whole_rows(
        list(map(json.loads, (path / "records.jsonl").read_bytes().splitlines()))
    ),
}


def _parquet_boxes(path: Path) -> str:
    import pyarrow.parquet as pq

    return str(pq.read_schema(path).field("bbox").metadata[b"box_convention"], "utf-8")


def _webdataset_boxes(path: Path) -> str:
    with tarfile.open(path / "shard-000000.tar") as shard:
        (name,) = (name for name in shard.getnames() if name.endswith(".json"))
        file = shard.extractfile(name)
        assert file is not None
        return str(json.load(file)["box_convention"])


#: Reads what an export of one record says of how its boxes are meant.
BOX_READERS: dict[str, Callable[[Path], str]] = {
    "jsonl": lambda path: json.loads(path.read_bytes())["box_format"],
    "csv": lambda path: path.read_text("utf-8").partition("\n")[0],
    "coco": lambda path: json.loads(path.read_bytes())["info"]["description"],
    "parquet": _parquet_boxes,
    "webdataset": _webdataset_boxes,
    "hf": lambda path: (path / "README.md").read_text("utf-8"),
    "labelstudio": lambda path: (path / "labelling-config.xml").read_text("utf-8"),
    "sidecars": lambda path: json.loads((path / "records.jsonl").read_bytes())["box_format"],
}

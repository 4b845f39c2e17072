"""Data sets as other tools write them: two pictures, the first with boxes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

BOXES = [[8, 6, 16, 12], [30, 20, 20, 20]]


def picture(colour: tuple[int, int, int]) -> bytes:
    """A PNG of one colour, 64 x 48."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "PNG")
    return out.getvalue()


RED, BLUE = picture((200, 30, 30)), picture((20, 40, 200))


def _pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "red.png").write_bytes(RED)
    (folder / "blue.png").write_bytes(BLUE)


def coco(folder: Path) -> Path:
    """COCO annotations beside the pictures."""
    _pictures(folder)
    images = [
        {"id": 70, "file_name": "red.png", "width": 64, "height": 48},
        {"id": 7, "file_name": "blue.png", "width": 64, "height": 48},
    ]
    annotations = [
        {"id": 1, "image_id": 70, "category_id": 3, "bbox": BOXES[0]},
        {"id": 2, "image_id": 7, "category_id": 3, "caption": "no box"},
        {"id": 3, "image_id": 70, "category_id": 4, "bbox": BOXES[1]},
    ]
    categories = [{"id": 3, "name": "door"}, {"id": 4, "name": "wall"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def parquet_paths(folder: Path) -> Path:
    """Parquet that names pictures beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _pictures(folder)
    rows = [{"image": "red.png", "bbox": BOXES, "id": "a"}, {"image": "blue.png", "bbox": None}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return folder / "rows.parquet"


def parquet_hub(folder: Path) -> Path:
    """Parquet as it lies on the hub: pictures inside, boxes under `objects`."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageFeature

    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Any]] = {
        "image": [{"bytes": RED, "path": "red.png"}, {"bytes": BLUE, "path": None}],
        "objects": [{"bbox": BOXES}, {"bbox": []}],
    }
    boxes = List(List(Value("float64")))
    features = Features({"image": ImageFeature(), "objects": {"bbox": boxes}})
    Dataset.from_dict(rows, features=features).to_parquet(str(folder / "train-0.parquet"))
    return folder


def webdataset(folder: Path) -> Path:
    """A WebDataset shard."""
    from webdataset.writer import TarWriter

    folder.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(folder / "shard-000.tar")) as writer:
        writer.write({"__key__": "k1", "png": RED, "json": {"bbox": BOXES, "image": "old.png"}})
        writer.write({"__key__": "k2", "png": BLUE, "cls": 3})
    return folder / "shard-000.tar"


def imagefolder(folder: Path) -> Path:
    """Hugging Face's imagefolder with a split."""
    _pictures(folder / "train")
    rows = [
        {"file_name": "red.png", "objects": {"bbox": BOXES, "label": [1, 2]}},
        {"file_name": "blue.png", "objects": {"bbox": [], "label": []}},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train" / "metadata.jsonl").write_text(lines)
    return folder


def imagefolder_csv(folder: Path) -> Path:
    """Hugging Face's imagefolder with a table without boxes."""
    _pictures(folder)
    (folder / "metadata.csv").write_text("file_name,text\nred.png,one\nblue.png,two\n")
    return folder


#: Writes a data set into a folder and says what to submit.
DATASETS: dict[str, Callable[[Path], Path]] = {
    each.__name__: each
    for each in (coco, parquet_paths, parquet_hub, webdataset, imagefolder, imagefolder_csv)
}

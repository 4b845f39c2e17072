"""Annotations in the forms of other tools, written by a library of its own, or here by the book."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = (120, 80)


@dataclass(frozen=True)
class Annotated:
    """A picture of 120 x 80 pixels with its boxes."""

    name: str
    #: Corners in pixels, and a label each.
    boxes: list[tuple[str, list[float]]] = field(default_factory=list)


def pictures_in(folder: Path, pictures: list[Annotated]) -> None:
    """Writes the pictures, a colour each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(pictures):
        Image.new("RGB", SIZE, (20 * number, 90, 200)).save(folder / each.name)


def _globox(pictures: list[Annotated]) -> Any:
    from globox import Annotation, AnnotationSet, BoundingBox

    return AnnotationSet(
        Annotation(
            each.name,
            SIZE,
            [BoundingBox(label=label, xmin=a, ymin=b, xmax=c, ymax=d)
             for label, (a, b, c, d) in each.boxes],
        )
        for each in pictures
    )  # fmt: skip


def coco(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    _globox(pictures).save_coco(folder / "instances.json", auto_ids=True)
    return folder / "instances.json"


def voc(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder / "JPEGImages", pictures)
    masks = [Annotated(f"{Path(each.name).stem}.png") for each in pictures]
    pictures_in(folder / "SegmentationClass", masks)
    _globox(pictures).save_pascal_voc(folder / "Annotations")
    return folder


def labelme(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    _globox(pictures).save_labelme(folder)
    return folder


def cvat(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder / "images", pictures)
    _globox(pictures).save_cvat(folder / "annotations.xml")
    return folder / "annotations.xml"


def via(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    _globox(pictures).save_via_json(folder / "via.json", image_folder=folder)
    return folder


def open_images(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    _globox(pictures).save_openimage(folder / "boxes.csv")
    return folder / "boxes.csv"


def yolo(folder: Path, pictures: list[Annotated]) -> Path:
    import yaml

    pictures_in(folder / "images" / "train", pictures)
    (folder / "labels").mkdir()
    labels = sorted({label for each in pictures for label, _ in each.boxes})
    _globox(pictures).save_yolo_v5(
        folder / "labels" / "train", label_to_id={name: at for at, name in enumerate(labels)}
    )
    said = {"path": ".", "train": "images/train", "nc": len(labels), "names": labels}
    (folder / "data.yaml").write_text(yaml.safe_dump(said))
    return folder


def createml(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    rows = [
        {
            "image": each.name,
            "annotations": [
                {
                    "label": label,
                    "coordinates": {
                        "x": (a + c) / 2, "y": (b + d) / 2, "width": c - a, "height": d - b,
                    },
                }
                for label, (a, b, c, d) in each.boxes
            ],
        }
        for each in pictures
    ]  # fmt: skip
    (folder / "createml.json").write_text(json.dumps(rows))
    return folder / "createml.json"


def kitti_name(label: str) -> str:
    """A label as one word that begins with a letter."""
    return "x" + label.replace(" ", "_")


def kitti(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder / "image_2", pictures)
    (folder / "label_2").mkdir()
    for each in pictures:
        lines = [
            f"{kitti_name(label)} 0.00 0 -1.57 {a} {b} {c} {d} 1 1 1 1 1 1 0\n"
            for label, (a, b, c, d) in each.boxes
        ]
        (folder / "label_2" / each.name).with_suffix(".txt").write_text("".join(lines))
    return folder


def visual_genome(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder / "VG_100K", pictures)
    rows = [
        {
            "image_id": int(Path(each.name).stem),
            "objects": [
                {"object_id": n, "x": a, "y": b, "w": c - a, "h": d - b, "names": [label]}
                for n, (label, (a, b, c, d)) in enumerate(each.boxes)
            ],
        }
        for each in pictures
    ]
    (folder / "objects.json").write_text(json.dumps(rows))
    return folder / "objects.json"


def label_studio(folder: Path, pictures: list[Annotated]) -> Path:
    pictures_in(folder, pictures)
    width, height = SIZE
    tasks = [
        {
            "id": 7 + n,
            "data": {"image": f"/data/upload/1/{each.name}"},
            "annotations": [
                {
                    "result": [
                        {
                            "id": f"r{at}", "type": "rectanglelabels",
                            "original_width": width, "original_height": height,
                            "value": {
                                "x": 100 * a / width, "y": 100 * b / height,
                                "width": 100 * (c - a) / width, "height": 100 * (d - b) / height,
                                "rotation": 0, "rectanglelabels": [label],
                            },
                        }
                        for at, (label, (a, b, c, d)) in enumerate(each.boxes)
                    ]
                }
            ],
        }
        for n, each in enumerate(pictures)
    ]  # fmt: skip
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return folder / "tasks.json"


def table(folder: Path, pictures: list[Annotated]) -> Path:
    import pandas as pd

    pictures_in(folder, pictures)
    rows = [
        {"filename": each.name, "boxes_xyxy": json.dumps([box for _, box in each.boxes]),
         "categories": json.dumps([label for label, _ in each.boxes])}
        for each in pictures
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "boxes.tsv", sep="\t", index=False)
    return folder / "boxes.tsv"


#: Writes annotations into a folder and says what to submit.
WRITERS: dict[str, Callable[[Path, list[Annotated]], Path]] = {
    each.__name__: each
    for each in (
        coco, voc, labelme, cvat, via, open_images, yolo, createml, kitti, visual_genome,
        label_studio, table,
    )
}  # fmt: skip

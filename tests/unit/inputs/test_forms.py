"""Random annotations survive being written in a form and read back: boxes, labels, pictures."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regioncap.errors import UsageError
from regioncap.inputs.forms.outlines import box_of_segmentation
from regioncap.inputs.judgement import check_reading
from regioncap.inputs.locate import Locator
from regioncap.inputs.reading import Reading
from regioncap.inputs.source import open_source
from regioncap.records import InputRecord
from regioncap.settings import Settings, load_settings
from regioncap.views.pixels import decode
from regioncap.views.regions import resolve
from tests.support.annotations import SIZE, WRITERS, Annotated, kitti_name

LABELS = st.sampled_from(["cat", "traffic light", "d\u00e9j\u00e0", "<&>"])
_WIDTH, _HEIGHT = SIZE


@st.composite
def boxes(draw: Any) -> list[float]:
    left, top = draw(st.integers(0, _WIDTH - 9)), draw(st.integers(0, _HEIGHT - 9))
    right, bottom = draw(st.integers(left + 4, _WIDTH)), draw(st.integers(top + 4, _HEIGHT))
    return [left, top, right, bottom]


@st.composite
def sets(draw: Any) -> list[Annotated]:
    count = draw(st.integers(1, 4))
    some = st.lists(st.tuples(LABELS, boxes()), max_size=4)
    first = Annotated("1.jpg", draw(st.lists(st.tuples(LABELS, boxes()), min_size=1, max_size=4)))
    return [first, *(Annotated(f"{n + 2}.jpg", draw(some)) for n in range(count - 1))]


def read(path: Path, **flags: Any) -> list[InputRecord]:
    given_settings = load_settings(**flags)
    with open_source(str(path), io.BytesIO(), None, given_settings) as source:
        records = list(source.records)
        locator = Locator(Settings(), source.root)
        for record in records:
            assert record.error is None
            place = locator.find(record)
            assert not isinstance(place, str)
            assert place.read()[:2] == b"\xff\xd8"
    return records


def found(record: InputRecord) -> list[tuple[str, list[int]]]:
    """Labels and corners in whole pixels of a record, in order."""
    regions = resolve(record.bbox or [], record.box_format or "xywh", SIZE)
    labels = record.meta["categories"] if record.bbox else []
    if isinstance(labels, str):
        labels = json.loads(labels)
    assert len(labels) == len(regions)
    return [
        (label, [round(side) for side in region.box_xyxy])
        for label, region in zip(labels, regions, strict=True)
    ]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None)
@given(pictures=sets())
def test_what_is_written_is_read(name: str, pictures: list[Annotated]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Pictures are looked for in folders beside, where other tests have theirs.
        records = read(WRITERS[name](Path(folder, "of", "its", "own"), pictures))

    # Open Images has no row of a picture without boxes.
    kept = [each for each in pictures if each.boxes or name != "open_images"]
    by_name = {Path(record.image or "").name: record for record in records}
    assert len(by_name) == len(records) == len(kept)
    for each in kept:
        expected = [
            (kitti_name(label) if name == "kitti" else label, box) for label, box in each.boxes
        ]
        assert by_name[each.name].bbox is not None
        assert found(by_name[each.name]) == expected


# --- outlines of COCO's


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_boxes_around_masks_are_those_of_pycocotools(data: Any) -> None:
    from pycocotools import mask as masks

    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    bits = data.draw(st.lists(st.integers(0, 1), min_size=height * width, max_size=height * width))
    pixels = np.array(bits, np.uint8).reshape(height, width)
    packed = masks.encode(np.asfortranarray(pixels))
    counts: list[int] = []
    for bit, run in groupby(pixels.flatten(order="F")):
        if not counts and bit:
            counts.append(0)
        counts.append(len(list(run)))

    expected = [int(side) for side in masks.toBbox(packed)] if pixels.any() else None
    size = [height, width]
    text = packed["counts"].decode()
    assert box_of_segmentation({"size": size, "counts": text}) == expected
    assert box_of_segmentation({"size": size, "counts": counts}) == expected


@pytest.mark.parametrize(
    "outline",
    [{"size": [2, 2], "counts": "\x7f" * 50}, {"size": [2, 2], "counts": [1, -1, 9]}, [[1, 2]],
     {"size": [2], "counts": "1"}, {"size": "a", "counts": None}, [["a", 2]], "x", 5, [[[1]]],
     {"size": [-1, 5], "counts": [0, 3]}, [[float("nan"), 1, 2, 3]], {}],
)  # fmt: skip
def test_outlines_that_are_none(outline: Any) -> None:
    assert box_of_segmentation(outline) is None


# --- folders as they lie


def picture(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)


def written(path: Path, text: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


VOC = (
    "<annotation><filename>{name}</filename><size><width>120</width><height>80</height></size>"
    "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>"
    "</bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax>"
    "<ymax>4</ymax></bndbox></part></object></annotation>"
)


def read_form(path: Path) -> tuple[list[InputRecord], Reading]:
    with open_source(str(path), io.BytesIO(), None, load_settings()) as source:
        return list(source.records), source.reading


@pytest.mark.parametrize("name", ["a.jpg", "old-name.jpg", "C:\\pictures\\a.jpg", "a", ""])
def test_voc_s_pictures_by_the_name_of_the_file(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    picture(tmp_path / "JPEGImages" / "old-name.jpg")
    picture(tmp_path / "JPEGImages" / "negative.jpg")
    picture(tmp_path / "Visualization" / "a.jpg")
    written(tmp_path / "Annotations" / "a.xml", VOC.format(name=name))

    records, reading = read_form(tmp_path)

    boxes = {record.image: record.bbox for record in records}
    assert boxes.pop("JPEGImages/a.jpg") == [[1, 2, 30, 40]]
    assert list(boxes.values()) == [[], []]
    assert set(boxes) == {"JPEGImages/old-name.jpg", "JPEGImages/negative.jpg"}
    assert records[0].meta["difficult"] == [None]
    assert any("Visualization" in line for line in reading.lines())
    assert any("another picture's name" in line for line in reading.lines()) == (
        name == "old-name.jpg"
    )


def test_a_mask_is_not_taken_for_a_picture_that_is_missing(tmp_path: Path) -> None:
    picture(tmp_path / "SegmentationClass" / "a.png")
    written(tmp_path / "Annotations" / "a.xml", VOC.format(name="a.jpg"))
    records, reading = read_form(tmp_path)
    assert [(record.image, record.picture) for record in records] == [("a.jpg", None)]
    assert any("masks" in line for line in reading.lines())


def test_an_annotation_file_by_itself(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "JPEGImages" / "a.jpg")
    path = written(tmp_path / "set" / "Annotations" / "a.xml", VOC.format(name="a.jpg"))
    [record] = read(path)
    assert record.bbox == [[1, 2, 30, 40]]


def test_forms_that_speak_of_the_same_pictures_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    written(tmp_path / "a.xml", VOC.format(name="a.jpg"))
    written(tmp_path / "a.json", {"imagePath": "a.jpg", "shapes": []})
    settings = load_settings()
    with (
        open_source(str(tmp_path), io.BytesIO(), None, settings) as source,
        pytest.raises(UsageError) as caught,
    ):
        check_reading(source, settings)
    assert caught.value.code == "unread-annotations"
    assert "a.xml" in caught.value.message


def coco_of(name: str, number: int) -> dict[str, Any]:
    return {
        "images": [{"id": number, "file_name": name}],
        "annotations": [{"id": 1, "image_id": number, "bbox": [1, 2, 3, 4], "category_id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
    }


def test_coco_s_splits_in_one_folder(tmp_path: Path) -> None:
    for split, name in (("train2017", "a.jpg"), ("val2017", "b.jpg")):
        picture(tmp_path / split / name)
        written(tmp_path / "annotations" / f"instances_{split}.json", coco_of(name, 1))
        captions = {"images": [], "annotations": [{"image_id": 1, "caption": "x"}]}
        written(tmp_path / "annotations" / f"captions_{split}.json", captions)
    records = read(tmp_path)
    assert [record.image for record in records] == ["train2017/a.jpg", "val2017/b.jpg"]
    assert [record.bbox for record in records] == [[[1, 2, 3, 4]]] * 2
    assert [record.meta["file_name"] for record in records] == ["a.jpg", "b.jpg"]

    written(tmp_path / "annotations" / "person_keypoints_val2017.json", coco_of("b.jpg", 1))
    records, reading = read_form(tmp_path)
    assert reading.unread_annotations.count == 3


def test_a_list_of_detections_says_what_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "r.json", [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}])
    with pytest.raises(UsageError, match="results of a detector"):
        read_form(path)


# --- tables, lists, Label Studio


@pytest.mark.parametrize(
    ("name", "text", "boxes"),
    [
        ("a.tsv", "image\txmin\tymin\txmax\tymax\na.jpg\t1\t2\t3\t4\n", [[1, 2, 3, 4]]),
        ("a.csv", "image;x;y;w;h\na.jpg;1;2;3;4\n", [[1, 2, 3, 4]]),
        ("a.csv", "a.jpg,1,2,3,4,cat\n", [[1, 2, 3, 4]]),
        ("a.txt", "image,bbox\na.jpg,\"[1, 2, 3, 4]\"\n", [[1, 2, 3, 4]]),
        ("a.csv", '\ufeffimage,bbox\r\na.jpg,"[[1, 2, 3, 4]]"\r\n', [[1, 2, 3, 4]]),
        ("a.json", '{"image": {"0": "a.jpg"}, "bbox": {"0": [1, 2, 3, 4]}}', [[1, 2, 3, 4]]),
        ("a.json", '[{"id": "x", "image": ["a.jpg"], "conversations": []}]', None),
        ("a.txt", '{"image": "a.jpg", "bbox": [1, 2, 3, 4]}\n', [[1, 2, 3, 4]]),
        ("a.data", '[{"image": "a.jpg", "bbox": [1, 2, 3, 4], "score": NaN}]', [[1, 2, 3, 4]]),
    ],
)  # fmt: skip
def test_what_a_file_holds_tells_not_its_name(
    name: str, text: str, boxes: Any, tmp_path: Path
) -> None:
    picture(tmp_path / "a.jpg")
    [record] = read(written(tmp_path / name, text))
    assert record.bbox == boxes


def rectangle(**fields: Any) -> dict[str, Any]:
    return {"x": 10, "y": 20, "width": 30, "height": 40, "original_width": 120,
            "original_height": 80, "rotation": 0, "rectanglelabels": ["cat"], **fields}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/data/upload/3/0123abcd-a.jpg", "a.jpg"),
        ("/data/local-files/?d=pictures/a.jpg", "a.jpg"),
        ("https://host/data/upload/a.jpg", "a.jpg"),
        ("s3://bucket/a.jpg", "s3://bucket/a.jpg"),
        ("http://[x/a.jpg", "http://[x/a.jpg"),
    ],
)
def test_label_studio_s_json_min_and_addresses(name: str, found: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    tasks = [{"image": name, "id": 5, "label": [rectangle(), rectangle(rotation=90)]}]
    [record], _ = read_form(written(tmp_path / "min.json", tasks))
    assert (record.id, record.image, record.box_format) == (5, found, "xywh-percent")
    assert record.meta["categories"] == ["cat", "cat"]
    assert record.bbox is not None
    # About the left upper corner: what was 36 x 32 pixels is 32 x 36, and lies left of it.
    left, top, wide, high = record.bbox[1]
    assert (left, top) == pytest.approx((10 - 32 / 1.2, 20))
    assert (wide, high) == pytest.approx((32 / 1.2, 36 / 0.8))


def test_label_studio_s_skipped_annotations(tmp_path: Path) -> None:
    done = {"result": [{"type": "rectanglelabels", "value": rectangle(), "id": "r"}]}
    skipped = {"was_cancelled": True, "result": []}
    picture(tmp_path / "a.jpg")
    tasks = [{"data": {"image": "a.jpg"}, "annotations": [done, skipped]}]
    [record], _ = read_form(written(tmp_path / "t.json", tasks))
    assert record.bbox == [[10, 20, 30, 40]]
    assert record.meta["annotation_ids"] == ["r"]


def test_a_shape_and_its_labels_are_one_box_in_label_studio(tmp_path: Path) -> None:
    """As its template for OCR has them: a `<Rectangle>`, `<Labels>`, and a text of each."""
    shape = {k: v for k, v in rectangle().items() if k != "rectanglelabels"}
    other = shape | {"x": 50}
    result = [
        {"id": "a", "type": "rectangle", "value": shape},
        {"id": "a", "type": "labels", "value": shape | {"labels": ["Text"]}},
        {"id": "a", "type": "textarea", "value": shape | {"text": ["shop"]}},
        {"id": "b", "type": "labels", "value": other | {"labels": ["Sign"]}},
        {"id": "b", "type": "rectangle", "value": other},
    ]
    picture(tmp_path / "a.jpg")
    whole = [{"data": {"image": "a.jpg"}, "annotations": [{"result": result}]}]
    small = {"image": "a.jpg", "bbox": [shape, other], "words": ["shop"]}
    small["label"] = [shape | {"labels": ["Text"]}, other | {"labels": ["Sign"]}]
    small["kinds"] = [shape | {"choices": ["a", "b"]}]
    for content in (whole, [small]):
        [record], _ = read_form(written(tmp_path / "t.json", content))
        assert record.bbox == [[10, 20, 30, 40], [50, 20, 30, 40]]
        assert record.meta["categories"] == ["Text", "Sign"]


def test_boxes_of_two_pictures_in_one_task_are_an_error_of_it(tmp_path: Path) -> None:
    """As of tasks that compare two: which tag shows which picture the export does not say."""
    shape = {"type": "rectanglelabels", "value": rectangle()}
    pair = [shape | {"id": name, "to_name": f"img{name}"} for name in ("1", "2")]
    words = {"id": "3", "type": "textarea", "to_name": "words", "value": {"text": ["x"]}}
    picture(tmp_path / "a.jpg")
    tasks = [
        {"id": n, "data": {"image": "a.jpg"}, "annotations": [{"result": result}]}
        for n, result in enumerate((pair, [pair[0], words]))
    ]
    (two, one), _ = read_form(written(tmp_path / "t.json", tasks))
    assert two.error is not None
    assert two.error.message.startswith("task 0 has boxes of several pictures (img1, img2)")
    assert (one.error, one.bbox) == (None, [[10, 20, 30, 40]])


def test_two_boxes_in_one_place_are_two_in_label_studio(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    both = [rectangle(), rectangle(rectanglelabels=["dog"])]
    [record], _ = read_form(written(tmp_path / "min.json", [{"image": "a.jpg", "label": both}]))
    assert record.meta["categories"] == ["cat", "dog"]


# --- YOLO


def test_yolo_s_poses_names_and_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "other"):
        picture(tmp_path / split / "images" / "a.jpg")
        written(tmp_path / split / "labels" / "a.txt", "1 0.5 0.5 0.2 0.2 " + "0.5 0.5 2 " * 2)
    names = "names: {0: cat, 1: dog}\nkpt_shape: [2, 3]\n"
    file = written(
        tmp_path / "data.yaml", names + "train: ../train/images\nval: ../valid/images\ntest: ../t\n"
    )
    for path in (file, tmp_path):
        records, reading = read_form(path)
        assert [record.image for record in records] == [
            "train/images/a.jpg", "valid/images/a.jpg",
        ]  # fmt: skip
        assert all(record.bbox == [[0.5, 0.5, 0.2, 0.2]] for record in records)
        assert (records[0].meta["categories"], records[0].meta["category_ids"]) == (["dog"], [1])
        assert any("../t" in line for line in reading.lines())


def test_yolo_whose_texts_are_elsewhere_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    written(tmp_path / "labelTxt" / "a.txt", "1 1 2 1 2 2 1 2 cat 0")
    written(tmp_path / "data.yaml", "names: [a]\ntrain: images\n")
    with pytest.raises(UsageError, match="none of its 1 pictures has a text"):
        read_form(tmp_path)


# --- Hugging Face's


def test_save_to_disk(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict, Features, List, Value
    from datasets import Image as ImageFeature

    out = io.BytesIO()
    Image.new("RGB", SIZE, "red").save(out, "JPEG")
    boxes = List(List(Value("float64")))
    features = Features({"image": ImageFeature(), "objects": {"bbox": boxes}})
    objects = [{"bbox": [[1, 2, 3, 4]]}, {"bbox": []}, {"bbox": [[5, 6, 7, 8]]}]
    rows = {"image": [{"bytes": out.getvalue(), "path": "a.jpg"}] * 3, "objects": objects}
    one = Dataset.from_dict(rows, features=features)
    one.save_to_disk(str(tmp_path / "one"), num_shards=2)
    DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(str(tmp_path / "two"))

    expected = [[[1, 2, 3, 4]], [], [[5, 6, 7, 8]]]
    assert [record.bbox for record in read(tmp_path / "one")] == expected
    assert [record.bbox for record in read(tmp_path / "two")] == [*expected, [[1, 2, 3, 4]]]


def test_names_of_classes_that_the_schema_says(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names = ["cat", "dog"]
    boxes = List(List(Value("float64")))
    forms: list[tuple[Any, Any]] = [
        ({"objects": {"bbox": boxes, "category": List(ClassLabel(names=names))}},
         {"objects": [{"bbox": [[1, 2, 3, 4]] * 2, "category": [1, 0]}]}),
        ({"annotations": List({"bbox": List(Value("float64")), "c": ClassLabel(names=names)})},
         {"annotations": [[{"bbox": [1, 2, 3, 4], "c": 1}, {"bbox": [1, 2, 3, 4], "c": 0}]]}),
        ({"bbox": boxes, "labels": List(ClassLabel(names=names))},
         {"bbox": [[[1, 2, 3, 4]] * 2], "labels": [[1, 0]]}),
    ]  # fmt: skip
    for number, (features, rows) in enumerate(forms):
        picture(tmp_path / str(number) / "a.jpg")
        given = Features({"image": Value("string"), **features})
        data = Dataset.from_dict({"image": ["a.jpg"], **rows}, features=given)
        data.to_parquet(str(tmp_path / str(number) / "in.parquet"))
        [record] = read(tmp_path / str(number) / "in.parquet")
        assert record.bbox == [[1, 2, 3, 4]] * 2
        assert record.meta["categories"] == ["dog", "cat"]


@pytest.mark.parametrize("suffix", ["tif", "avif", "jp2", "bmp", "gif"])
def test_shards_with_pictures_of_any_format(suffix: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", SIZE, "red").save(out, {"tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in ((f"k.{suffix}", out.getvalue()), ("k.json", b'{"bbox": [1, 2, 3, 4]}')):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    [record], _ = read_form(tmp_path)
    assert isinstance(record.picture, bytes)
    assert (decode(record.picture).size_wh, record.bbox) == (SIZE, [[1, 2, 3, 4]])


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_a_picture_in_a_row_comes_before_the_address_beside_it(ending: str, tmp_path: Path) -> None:
    """As img2dataset writes Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    row = {"key": "000", "url": "https://e.org/a.jpg", "caption": "x", ending: data}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    [record], reading = read_form(tmp_path / "t.parquet")
    assert (record.picture, record.error) == (data, None)
    assert record.meta["url"] == "https://e.org/a.jpg"
    assert reading.lines() == []


def test_a_folder_of_pictures_with_stray_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    with tarfile.open(tmp_path / "backup.tar", "w") as archive:
        archive.add(tmp_path / "a.jpg", "a.jpg")
    pq.write_table(pa.table({"embedding": [[0.5]]}), tmp_path / "vectors.parquet")
    written(tmp_path / "sizes.csv", "name,size\na,5\n")
    written(tmp_path / "config.json", {"rate": 1})

    records, reading = read_form(tmp_path)

    assert [(record.image, record.bbox) for record in records] == [("a.jpg", None), ("b.jpg", None)]
    assert reading.unread_annotations.count == 0
    assert any("backup.tar" in line for line in reading.lines())

    rows = [{"image": "a.jpg", "bbox": [[1, 2, 3, 4]]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "boxes.parquet")
    records, reading = read_form(tmp_path)
    assert [(record.image, record.bbox) for record in records] == [("a.jpg", [[1, 2, 3, 4]])]
    assert any("b.jpg" in line for line in reading.lines())

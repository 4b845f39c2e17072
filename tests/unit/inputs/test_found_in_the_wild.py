"""Small inputs as real projects have them: read as meant, or refused with the reason."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.errors import UsageError
from regioncap.inputs.judgement import judged
from regioncap.inputs.source import open_source
from regioncap.settings import load_settings
from tests.support.wild import Read, picture, written


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a picture, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    return tmp_path


def coco(**lists: Any) -> dict[str, Any]:
    return {"images": [{"id": 1, "file_name": "a.png"}], **lists}


def annotation(**fields: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "bbox": [10, 20, 30, 40], **fields}


# --- COCO


@pytest.mark.parametrize(("image_id", "named"), [(1, "1"), ("1", 1), ("x", "x"), (1, 1)])
def test_coco_ids_as_text_or_numbers(folder: Path, image_id: Any, named: Any) -> None:
    images = [{"id": image_id, "file_name": "a.png"}]
    content = {"images": images, "annotations": [annotation(image_id=named)]}
    assert Read(written(folder / "in.json", content)).boxes == [[[10, 20, 30, 40]]]


def test_coco_annotations_that_are_left_out_are_counted_and_named(folder: Path) -> None:
    annotations = [annotation(id=5, image_id=99), annotation(id=6, bbox=None)]
    found = Read(written(folder / "in.json", coco(annotations=annotations)))

    assert found.boxes == [[]]
    assert found.totals.regionless == 1
    text = "\n".join(found.lines)
    assert "left out (1): annotations of an image that is not in the file: annotation 5" in text
    assert "left out (1): annotations without bbox: annotation 6 of image 1" in text
    assert "1 record without regions: nothing is captioned there" in text


def test_coco_panoptic_and_crowd(folder: Path) -> None:
    segments = [{"id": 7, "category_id": 3, "iscrowd": 1, "bbox": [1, 2, 3, 4]}]
    panoptic = [{"image_id": 1, "file_name": "x.png", "segments_info": segments}]
    categories = [{"id": 3, "name": "sky"}]
    found = Read(written(folder / "in.json", coco(annotations=panoptic, categories=categories)))

    [record] = found.records
    assert record.bbox == [[1, 2, 3, 4]]
    assert (record.meta["annotation_ids"], record.meta["category_ids"]) == ([7], [3])
    assert (record.meta["categories"], record.meta["iscrowd"]) == (["sky"], [1])


def test_coco_without_annotations_at_all_asks_for_proposals(folder: Path) -> None:
    assert Read(written(folder / "in.json", coco())).boxes == [None]
    assert Read(written(folder / "in.json", coco(annotations=[])), propose=True).boxes == [None]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (coco(annotations=[None]), "annotations[0]"),
        (coco(annotations=[5]), "annotations[0]"),
        (coco(annotations={"a": 1}), "annotations"),
        (coco(annotations=[annotation(image_id=[1])]), "annotations[0].image_id"),
        (coco(categories=["thing"]), "categories[0]"),
        (coco(categories={"1": "thing"}), "categories"),
        ({"images": [{"id": [1], "file_name": "a.png"}]}, "images[0].id"),
        ({"images": [{"file_name": "a.png"}]}, "images[0].id"),
        ({"images": ["a.png"]}, "images[0]"),
        ({"images": {"a": 1}}, "images"),
        ({"images": [{"id": 1}, {"id": "1"}]}, "images[1].id"),
        (coco(annotations=[{"image_id": 1, "segments_info": [3]}]), "segments_info[0]"),
    ],
)
def test_malformed_coco_is_named_by_its_place(folder: Path, content: Any, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        Read(written(folder / "in.json", content))
    assert caught.value.code == "bad-dataset"
    assert place in caught.value.message


# --- sizes that are declared


def turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(path, exif=exif)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ((80, 120), None),
        ((120, 80), "before EXIF"),
        ((40, 60), "scales"),
        ((60, 40), "before EXIF"),
        ((77, 20), "another picture"),
    ],
)
def test_declared_sizes_are_compared(folder: Path, declared: Any, says: str | None) -> None:
    turned(folder / "t.jpg", 6)
    line = {"image": "t.jpg", "bbox": [[1, 2, 3, 4]], "width": declared[0], "height": declared[1]}
    path = written(folder / "in.jsonl", line)

    found = Read(path)

    assert found.codes == ({"size-differs"} if says else set())
    assert says is None or says in found.totals.examples["size-differs"].examples[0]
    is_other = says == "another picture"
    assert Read(path, boxes_of="declared").codes == ({"size-differs"} if is_other else set())


# --- tables


@pytest.mark.parametrize(
    ("cells", "boxes"),
    [
        ('bbox\na.png,"[[10, 20, 30, 40], [1, 2, 3, 4]]"', [[[10, 20, 30, 40], [1, 2, 3, 4]]]),
        ('objects\na.png,"{""bbox"": [[10, 20, 30, 40]]}"', [[[10, 20, 30, 40]]]),
        ("bbox\na.png,", [[]]),
        ("text\na.png,b", [None]),
        ("xmin,ymin,xmax,ymax\na.png,10,20,30,40", [[[10, 20, 30, 40]]]),
        (f"text\na.png,{'x' * 140_000}", [None]),
    ],
)
def test_tables_in_text(folder: Path, cells: str, boxes: Any) -> None:
    written(folder / "metadata.csv", f"file_name,{cells}\n")
    assert Read(folder).boxes == boxes
    (folder / "metadata.csv").rename(folder / "own.csv")
    assert Read(folder / "own.csv").boxes == boxes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,text\na.png,caf\xe9\n"),
        ("metadata.jsonl", '{"file_name": "a.png"}\n{"file_name": "b.png", "t": "caf\xe9"}\n'),
    ],
)
def test_a_table_in_another_encoding(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="line 2 is not UTF-8") as caught:
        Read(folder)
    assert caught.value.code == "bad-dataset"


def test_parquet_rows(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"image": "a.png", "bbox": [10.0, 20.0, 30.0, 40.0], "mask": b"\x00" * 9},
        {"image": "a.png", "bbox": None, "mask": None},
    ]
    (folder / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "set" / "data" / "train-0.parquet")

    found = Read(folder / "set")  # as clones of the hub lie

    assert found.boxes == [[[10, 20, 30, 40]], []]
    assert "mask" not in found.records[0].meta
    assert "left out (1): binary values: mask of row 1" in found.lines


def tar(path: Path, members: dict[str, bytes]) -> Path:
    import tarfile

    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_names_with_dots_in_a_tar(folder: Path) -> None:
    data, said = (folder / "a.png").read_bytes(), b'{"bbox": [[1, 2, 3, 4]]}'
    members = {
        f"22.0{n}.{ext}": data if ext == "png" else said for n in (5, 6) for ext in ("png", "json")
    }
    members |= {"k.image.png": data, "k.json": b'[{"bbox": [5, 6, 7, 8]}]', "only.json": said}

    found = Read(tar(folder / "in.tar", members))

    assert [record.image for record in found.records[:3]] == [
        "in.tar/22.05.png", "in.tar/22.06.png", "in.tar/k.image.png",
    ]  # fmt: skip
    assert found.boxes[:3] == [[[1, 2, 3, 4]], [[1, 2, 3, 4]], [[5, 6, 7, 8]]]
    assert found.records[3].error is not None
    assert "the sample only holds no picture (only.json)" in found.records[3].error.message


@pytest.mark.parametrize(
    ("names", "images", "said"),
    [
        pytest.param(
            ["a.png", "a.small.json", "a.small.png"], ["a", "a.small"], [{}, {"a.small.json": 1}],
            id="json before its own picture",
        ),
        pytest.param(
            ["1.caption.txt", "1.label.txt", "1.png"], ["1"], [{}], id="texts of one ending",
        ),
        pytest.param(
            ["1.boxes.json", "1.meta.json", "1.png", "1.words.json"], ["1"],
            [{"1.boxes.json": 1, "1.meta.json": 1, "1.words.json": 1}], id="several of json",
        ),
        pytest.param(
            ["a.blue.json", "a.red.png"], ["a.red", "a.blue"], [{}, {"a.blue.json": 1}],
            id="json of another",
        ),
        pytest.param(
            ["1.json", "2.json", "2.png"], ["1", "2"], [{"1.json": 1}, {"2.json": 1}],
            id="json alone",
        ),
    ],
)  # fmt: skip
def test_members_of_a_tar_go_to_their_picture(
    folder: Path, names: list[str], images: list[str], said: list[dict[str, int]]
) -> None:
    data = (folder / "a.png").read_bytes()
    members = {name: json.dumps({name: 1}).encode() for name in names}
    members |= {name: data for name in names if name.endswith("png")}

    records = sorted(Read(tar(folder / "in.tar", members)).records, key=lambda r: r.index)

    by_image = {str(record.image): record.meta for record in records}
    assert by_image == {
        f"in.tar/{image}.{'png' if f'{image}.png' in names else '?'}": meta
        for image, meta in zip(images, said, strict=True)
    }


def test_what_two_members_say_otherwise_is_kept_of_both(folder: Path) -> None:
    data = (folder / "a.png").read_bytes()
    members = {"1.boxes.json": b'{"n": 1, "m": 3}', "1.json": b'{"n": 2, "m": 3}', "1.png": data}
    [record] = Read(tar(folder / "in.tar", members)).records
    assert record.meta == {"n": 2, "m": 3, "1.boxes.json: n": 1}


# --- folders


def test_roboflow(folder: Path) -> None:
    for split in ("train", "valid"):
        picture(folder / "set" / split / "a.png")
        written(folder / "set" / split / "_annotations.coco.json", coco(annotations=[annotation()]))

    found = Read(folder / "set")

    assert [(r.index, r.image) for r in found.records] == [(0, "train/a.png"), (1, "valid/a.png")]
    assert found.boxes == [[[10, 20, 30, 40]]] * 2
    assert found.codes == set()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xml", "<frames><box/></frames>"),
        ("a.json", '{"shapes": []}'),
        ("list.json", '[{"image": "a.png", "bbox": [1, 2, 3, 4]}]'),
        ("boxes.csv", "nothing,xmin,ymin,xmax,ymax\n"),
        ("rows.jsonl", '{"image": "a.png", "bbox": [1, 2, 3, 4]}\n'),
    ],
)
def test_annotations_that_are_not_read_get_no_proposals(
    folder: Path, name: str, content: str
) -> None:
    written(folder / name, content)
    with pytest.raises(UsageError) as caught:
        Read(folder)
    assert (caught.value.code, name in caught.value.message) == ("unread-annotations", True)
    assert Read(folder, propose=True).boxes == [None]


def test_links_to_folders_are_followed_once(folder: Path) -> None:
    picture(folder / "elsewhere" / "b.png")
    (folder / "photos").mkdir()
    picture(folder / "photos" / "one.png")
    (folder / "photos" / "more").symlink_to("../elsewhere")
    (folder / "photos" / "loop").symlink_to("../photos")
    (folder / "elsewhere" / "back").symlink_to("../photos")

    found = Read(folder / "photos")

    assert [record.image for record in found.records] == ["one.png", "more/b.png"]
    assert found.codes == set()


def test_links_lead_to_nothing_above_and_to_nothing_twice(folder: Path) -> None:
    photos = folder / "photos"
    picture(photos / "b" / "one.png")
    picture(photos / ".hidden" / "two.png")
    written(folder / "metadata.jsonl", '{"file_name": "a.png", "bbox": [[1, 2, 3, 4]]}')
    (photos / "a").symlink_to("b")
    (photos / "up").symlink_to("../..")
    (photos / "latest").symlink_to(".hidden")
    (photos / "b" / "self").symlink_to(".")

    found = Read(photos)

    assert [record.image for record in found.records] == ["b/one.png", "latest/two.png"]


def test_one_record_over_several_lines_is_one(folder: Path) -> None:
    record = {"image": "a.png", "bbox": [[10, 20, 30, 40]], "id": 7}
    found = Read(written(folder / "in.json", json.dumps(record, indent=2)))

    assert [(each.image, each.bbox, each.id) for each in found.records] == [
        ("a.png", [[10, 20, 30, 40]], 7)
    ]
    assert found.codes == set()


def test_what_lies_beside_the_pictures_is_named(folder: Path) -> None:
    tar(folder / "backup.tar", {"notes.txt": b"x"})
    written(folder / "logo.svg", "<svg/>")
    picture(folder / "c.mpo", format="PNG")

    found = Read(folder)

    assert [record.image for record in found.records] == ["a.png", "c.mpo"]
    text = "\n".join(found.lines)
    assert "backup.tar" in text
    assert "logo.svg" in text


# --- where pictures are looked for


def rule_of(found: Read) -> dict[str, int]:
    return dict(found.totals.found)


def test_the_rules_by_which_pictures_are_found(folder: Path) -> None:
    file = folder / "set" / "annotations" / "in.jsonl"
    picture(folder / "set" / "annotations" / "beside.png")
    picture(folder / "root" / "rooted.png")
    picture(folder / "set" / "train" / "sub" / "s.png")
    outside = picture(folder / "outside" / "o.png")
    names = ["beside.png", "rooted.png", "a.png", "sub/s.png", "s.png", str(outside), "../../a.png"]
    written(file, "".join(json.dumps({"image": name}) + "\n" for name in names))

    found = Read(file, folder / "root")

    assert found.codes == set()
    assert rule_of(found) == {
        "beside the file": 2, "below --image-root": 1, "in the working folder": 1,
        "in folders beside the file": 1,  # one picture, by two names
        "by absolute paths": 1,
    }  # fmt: skip


def test_the_reference_s_own_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "../example_data/image_region_caption/20.jpg"
    picture(folder / "example_data" / "image_region_caption" / "20.jpg")
    file = folder / "example_data" / "image_region_caption" / "demo.jsonl"
    written(file, {"image": name, "bbox": [[1, 2, 3, 4]]})
    (folder / "run").mkdir()
    monkeypatch.chdir(folder / "run")

    found = Read(Path("../example_data/image_region_caption/demo.jsonl"))

    assert (found.codes, rule_of(found)) == (set(), {"in the working folder": 1})


def test_two_places_with_different_pictures_are_a_finding(folder: Path) -> None:
    written(folder / "set" / "in.jsonl", {"image": "a.png"})
    picture(folder / "set" / "a.png")
    assert Read(folder / "set" / "in.jsonl").codes == set()  # the same picture twice

    picture(folder / "set" / "a.png", colour="blue")
    found = Read(folder / "set" / "in.jsonl")
    assert (found.codes, found.totals.failing) == ({"image-ambiguous"}, 0)

    for split, colour in (("train", "red"), ("val", "blue")):
        picture(folder / "set" / split / "x.png", colour=colour)
    written(folder / "set" / "in.jsonl", {"image": "x.png"})
    found = Read(folder / "set" / "in.jsonl")
    assert (found.codes, found.totals.failing) == ({"image-ambiguous"}, 1)


def test_a_name_from_the_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(folder / "images" / "val" / "x.png")
    file = written(folder / "annotations" / "in.jsonl", {"image": "images/val/x.png"})
    monkeypatch.chdir("/")
    assert rule_of(Read(file)) == {"in folders beside the file": 1}


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_names_in_another_unicode_form_or_with_backslashes(folder: Path, on_disk: Any) -> None:
    picture(
        folder
        / unicodedata.normalize(on_disk, "caf\u00e9")
        / unicodedata.normalize(on_disk, "\u00e4.png")
    )
    names = [unicodedata.normalize(form, "caf\u00e9/\u00e4.png") for form in ("NFC", "NFD")]
    names.append("caf\u00e9\\\u00e4.png")
    lines = "".join(json.dumps({"image": name}) + "\n" for name in names)
    for file in (folder / "in.jsonl", folder / "boxes" / "in.jsonl"):
        assert Read(written(file, lines)).codes == set()


@pytest.mark.parametrize("name", ["../a.png", "link.png", "/etc/hostname", "up/a.png"])
def test_a_service_that_confines_paths(folder: Path, name: str) -> None:
    root = folder / "in"
    root.mkdir()
    (root / "link.png").symlink_to(folder / "a.png")
    (root / "up").symlink_to(folder)
    written(root / "in.jsonl", {"image": name})
    assert Read(root / "in.jsonl", confine_images=True).codes == {"image-outside"}
    if name != "/etc/hostname":
        assert Read(root / "in.jsonl").codes == set()


# --- pictures


def test_what_headers_and_decoding_tell(folder: Path) -> None:
    picture(folder / "thin.png", (940, 2))
    noise = Image.effect_noise((300, 300), 60)
    noise.save(folder / "cut.png")
    os.truncate(folder / "cut.png", 9_000)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 20)
    (folder / "phone.jpg").write_bytes(b"8BPS" + b"\x00" * 40)
    lines = [{"image": name} for name in ("thin.png", "cut.png", "broken.png", "phone.jpg")]
    path = written(folder / "in.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    shallow, deep = Read(path), Read(path, deep=True)

    assert dict(shallow.totals.problems) == {"image-too-thin": 1, "image-unreadable": 2}
    assert dict(deep.totals.problems) == {"image-too-thin": 1, "image-unreadable": 3}
    said = "\n".join(deep.totals.examples["image-unreadable"].examples)
    assert said.count("a damaged PNG") == 2
    assert "a Photoshop picture, which is not read (convert it" in said


# --- inputs as a whole


@pytest.mark.parametrize("name", ["a.xml", "data.yaml", "w.tar.gz", "b.zip", "t.csv", "x.bin"])
def test_what_is_no_data_set_is_refused_whole(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"ImageID,XMin\na,0\n\0")
    with pytest.raises(UsageError) as caught:
        Read(folder / name)
    assert caught.value.code == "bad-dataset"


@pytest.mark.parametrize(
    "content",
    ['[{"image": "a.png", "bbox": [[1, 2, 3, 4]]}]', '{"image": "a.png", "bbox": [[1, 2, 3, 4]]}',
     '{"image": "a.png", "bbox": [[1, 2, 3, 4]]}\n{"image": "a.png", "bbox": [[1, 2, 3, 4]]}\n'],
)  # fmt: skip
def test_json_of_other_forms(folder: Path, content: str) -> None:
    boxes = Read(written(folder / "in.json", content)).boxes
    assert boxes
    assert all(each == [[1, 2, 3, 4]] for each in boxes)


def lines_of(good: int, bad: Any, count: int) -> str:
    lines = [{"image": "a.png", "bbox": [[1, 2, 3, 4]]}] * good + [bad] * count
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        ({"image": "a.png", "bbox": [[60, 20, 110, 70]]}, "--box-format xyxy"),
        (
            {"image": "a.png", "bbox": [[0.5, 0.5, 0.9, 0.9], [0.2, 0.2, 0.1, 0.3]]},
            "cxcywh-normalized",
        ),
        ({"image": "gone.png"}, "--force"),
        ("text", "--force"),
    ],
)
def test_hopeless_inputs(folder: Path, bad: Any, hint: str) -> None:
    def look(text: str) -> int:
        with open_source("-", io.BytesIO(text.encode())) as source:
            return len(list(judged(source, load_settings())))

    assert look(lines_of(2, bad, 2)) == 4
    with pytest.raises(UsageError) as caught:
        look(lines_of(2, bad, 3))
    assert caught.value.code == "hopeless-input"
    assert "3 of the first 5 records" in caught.value.message
    assert hint in caught.value.hint
    assert look(lines_of(600, bad, 1_000)) == 1_600  # of the first thousand most are good

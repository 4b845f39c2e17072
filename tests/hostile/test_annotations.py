"""Annotation files made to break things: refused with the place, in bounded memory and time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.errors import UsageError
from regioncap.inputs.forms.xml_file import root_of
from regioncap.inputs.forms.yaml_file import read_yaml
from regioncap.inputs.source import open_source
from regioncap.inputs.validate import Checker
from regioncap.settings import load_settings
from tests.support.system import ROOT

DEEP = "[" * 10_000 + "]" * 10_000
LONG = "x" * 100_000_000


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), "red").save(path)


def codes_of(path: Path, **flags: object) -> set[str]:
    """The codes of all that is found of an input, or of the error that ends reading it."""
    settings = load_settings(**flags)
    found: set[str] = set()
    try:
        with open_source(str(path), io.BytesIO(), None, settings) as source:
            checker = Checker(settings, source.root, source.name, source.image_root)
            for record in source.records:
                found |= {each.code for each in checker.check(record).findings}
    except UsageError as error:
        found.add(error.code)
    return found


# --- XML

ENTITIES = (
    '<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 or str()};" * 10}">' for n in range(1, 12))
    + "]>"
)
XML = {
    "entities that grow": f"{ENTITIES}<annotation><filename>&a11;</filename></annotation>",
    "another file": '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<annotation><filename>&x;</filename></annotation>",
    "nested": "<annotation>" + "<a>" * 10_000 + "</a>" * 10_000 + "</annotation>",
    "a text of 100 MB": f"<annotation><filename>{LONG}</filename></annotation>",
    "an attribute of 100 MB": f'<annotations><image name="{LONG}"/></annotations>',
    "cut off": "<annotation><object><bndbox>",
    "another encoding": '<?xml version="1.0" encoding="no-such"?><annotation/>',
}


@pytest.mark.parametrize("name", XML)
def test_xml(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(XML[name])
    assert codes_of(tmp_path / "a.xml") == {"bad-dataset"}
    picture(tmp_path / "a.png")
    assert codes_of(tmp_path) == {"bad-dataset"}


# --- YAML

YAML = {
    "a tag": "names: !!python/object/apply:os.system ['touch broken']\ntrain: images\n",
    "references that grow": "names: &a [x, x]\ntrain: &b [*a, *a, *a]\nval: [*b, *b, *b]\n",
    "nested": f"names: {DEEP}\ntrain: images\n",
    "long": f"names: [x]\ntrain: {'x' * 3_000_000}\n",
    "no mapping": "- names:\n- train:\nnc: 1\ntrain: x\n",
    "names of a kind": "names: 5\ntrain: images\n",
    "key points of a kind": "names: [a]\nkpt_shape: [1e9, 3]\ntrain: images\n",
    "nowhere": "names: [a]\ntrain: no/such/folder\n",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "data.yaml").write_text(YAML[name])
    for path in (tmp_path / "data.yaml", tmp_path):
        assert codes_of(path) == {"bad-dataset"}
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize(
    "head", ["<?", "<!--", "<!DOCTYPE[", "<!DOCTYPE x", "<??>", "<!DOCTYPE x>", "<!DOCTYPE x[]"]
)
def test_what_never_ends_before_the_first_element_takes_no_time(head: str) -> None:
    assert root_of(head.encode() * (1_000_000 // len(head))) == ""


def test_the_first_element_stands_behind_what_may_be_before_it() -> None:
    text = '<?xml version="1.0"?>\n<!-- <no> > --><!DOCTYPE a [<!ELEMENT a (b)>]>\n<annotation>'
    assert root_of(text.encode()) == root_of(text.encode("utf-16")) == "annotation"
    assert root_of(b'<!DOCTYPE a SYSTEM "a[1].dtd">\n<a:b c="d">') == "a:b"
    assert root_of(b"text <a>") == root_of(b"<?xml?>") == ""


def test_members_of_a_sample_that_are_no_picture_are_not_held(tmp_path: Path) -> None:
    """Holes in an archive cost nothing there."""
    shard, jpeg = tmp_path / "shard.tar", io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(jpeg, "JPEG")
    jpeg.seek(0)
    with tarfile.open(shard, "w") as tar:
        for extension in ("jpg", "png", *(f"x{n}" for n in range(6))):
            member = tarfile.TarInfo(f"a.{extension}")
            member.size = len(jpeg.getvalue()) if extension == "jpg" else 20_000_000
            tar.addfile(member, jpeg if extension == "jpg" else Zeros())
    tracemalloc.start()
    with open_source(str(shard), io.BytesIO(), None, load_settings()) as source:
        [record] = source.records
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert record.picture == jpeg.getvalue()
    assert peak < 100_000_000, "seven of 20 MB were held"


class Zeros(io.RawIOBase):
    """As many as are wanted."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_references_are_refused_before_they_grow(tmp_path: Path) -> None:
    for text in ("a: &a 1\nb: *a\n", "a: &a {x: 1}\nb: {<<: *a}\n"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(UsageError, match="references"):
            read_yaml(tmp_path / "a.yaml")


# --- JSON and tables

DEEP_JSON = {
    "coco": f'{{"images": [{{"id": 1, "file_name": "a.png", "x": {DEEP}}}], "annotations": []}}',
    "coco, an outline": '{"images": [{"id": 1, "file_name": "a.png"}], "annotations":'
    f' [{{"id": 1, "image_id": 1, "segmentation": {DEEP}}}]}}',
    "labelme": f'{{"imagePath": "a.png", "shapes": [{{"points": {DEEP}}}]}}',
    "via": f'{{"a": {{"filename": "a.png", "regions": [], "x": {DEEP}}}}}',
    "label studio": f'[{{"data": {{"image": "a.png"}}, "annotations": {DEEP}}}]',
    "createml": f'[{{"image": "a.png", "annotations": [{{"coordinates": {DEEP}}}]}}]',
    "visual genome": f'[{{"image_id": 1, "objects": [{{"object_id": 1, "x": {DEEP}}}]}}]',
    "a list": f'[{{"image": "a.png", "x": {DEEP}}}]',
    "columns": f'{{"image": {{"0": "a.png"}}, "x": {{"0": {DEEP}}}}}',
}


@pytest.mark.parametrize("name", DEEP_JSON)
def test_json_nested_ten_thousand_deep(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(DEEP_JSON[name])
    assert codes_of(tmp_path / "a.json") == {"bad-dataset"}


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "metadata.csv", "labels/a.txt", "label_2/a.txt"]
)
def test_cells_and_lines_of_100_mb(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    rows = {
        "a.csv": "image,bbox\na.png,", "a.tsv": "image\tbbox\na.png\t",
        "metadata.csv": "file_name,text\na.png,",
        "labels/a.txt": "0 0.5 0.5 0.1 0.1\n",
        "label_2/a.txt": "Car 0 0 0 1 2 3 4 1 1 1 1 1 1 0\n",
    }  # fmt: skip
    (tmp_path / name).write_text(f"{rows[name]}{LONG}\n")
    path = tmp_path / name if name in {"a.csv", "a.tsv"} else tmp_path
    assert codes_of(path) == {"bad-dataset"}


# --- names that climb


def _labelme(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "x.json").write_text(json.dumps({"imagePath": name, "shapes": []}))
        return folder / "x.json"

    return write


def _voc(folder: Path) -> Path:
    text = "<annotation><filename>/etc/hostname</filename></annotation>"
    (folder / "x.xml").write_text(text)
    return folder / "x.xml"


def _listed(folder: Path) -> Path:
    (folder / "data.yaml").write_text("names: [a]\ntrain: list.txt\n")
    (folder / "list.txt").write_text("/etc/hostname.png\n../secret.png\n")
    return folder


def _tar(folder: Path) -> Path:
    with tarfile.open(folder / "x.tar", "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        up = tarfile.TarInfo("../../up.json")
        up.size = 2
        archive.addfile(up, io.BytesIO(b"{}"))
    return folder / "x.tar"


CLIMBING: dict[str, Callable[[Path], Path]] = {
    "labelme": _labelme("../secret.png"),
    "labelme, absolute": _labelme("/etc/hostname"),
    "voc": _voc,
    "a list of yolo's": _listed,
}


@pytest.mark.parametrize("name", CLIMBING)
def test_names_that_climb_are_refused_by_a_service_that_confines_paths(
    name: str, tmp_path: Path
) -> None:
    picture(tmp_path / "secret.png")
    (tmp_path / "in").mkdir()
    path = CLIMBING[name](tmp_path / "in")
    found = codes_of(path, confine_images=True)
    assert found
    assert found <= {"image-outside", "image-missing", "bad-dataset"}


def test_splits_outside_are_not_read_by_a_service_that_confines_paths(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("s3cret")
    for split in ("../secret.txt", "/etc/passwd", ".."):
        (tmp_path / "in" / "data.yaml").write_text(f"names: [a]\ntrain: {split}\n")
        with (
            pytest.raises(UsageError, match="lies outside") as caught,
            open_source(
                str(tmp_path / "in"), io.BytesIO(), None, load_settings(confine_images=True)
            ) as source,
        ):
            list(source.records)
        assert "s3cret" not in caught.value.message


def test_links_and_names_in_an_archive_are_no_files(tmp_path: Path) -> None:
    assert codes_of(_tar(tmp_path)) == {"no-image"}


def test_arrow_files_outside(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    assert codes_of(tmp_path) == {"bad-dataset"}
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["/etc"]}')
    assert codes_of(tmp_path) == {"bad-dataset"}


# --- large


@pytest.mark.more
def test_a_large_coco_file_takes_little_more_than_itself(tmp_path: Path) -> None:
    outline = json.dumps([[round(0.1 * n, 1) for n in range(400)]])
    with (tmp_path / "in.json").open("w") as file:
        file.write('{"images": [')
        file.write(",".join(f'{{"id": {n}, "file_name": "{n}.jpg"}}' for n in range(5_000)))
        file.write('], "annotations": [')
        for n in range(100_000):
            between = "," if n else ""
            file.write(
                f'{between}{{"id": {n}, "image_id": {n % 5_000}, "category_id": 1,'
                f' "bbox": [1, 2, 3, 4], "segmentation": {outline}}}'
            )
        file.write("]}")
    size = (tmp_path / "in.json").stat().st_size
    assert size > 200_000_000

    said, peak = tmp_path / "said", tmp_path / "peak"
    with said.open("wb") as out:
        subprocess.run(
            [sys.executable, "-m", "bench.peak", str(peak), "producer", "validate",
             str(tmp_path / "in.json")],
            cwd=ROOT, stdout=out, stderr=out, timeout=300, check=False,
        )  # fmt: skip

    assert "5,000 records" in said.read_text()
    assert int(peak.read_text()) < size + 250_000_000

"""Scenes follow from their seed, and hold what they say of themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from regioncap.errors import UsageError
from regioncap.evaluation.contents import Content
from regioncap.evaluation.patches import patches
from regioncap.evaluation.placing import Layout
from regioncap.evaluation.scenes import kinds, make_scene, own_data, photographs
from regioncap.evaluation.truth import judge
from regioncap.views.pixels import decode


@pytest.mark.parametrize(("content", "layout"), kinds())
def test_truths_of_a_scene_can_be_told_apart(content: Content, layout: Layout) -> None:
    scene = make_scene(content, layout, 10, seed=3)

    assert len(scene.truths) == len(scene.boxes_xyxy) >= (5 if layout == "large" else 8)
    for i, own in enumerate(scene.truths):
        others = scene.truths[:i] + scene.truths[i + 1 :]
        assert judge(own.text, own, others) == "right"
        assert all(judge(other.text, own, others) == "mixed-up" for other in others)


def test_same_seed_makes_the_same_scene_and_another_another() -> None:
    first, again, other = (make_scene("shapes", "apart", 6, seed) for seed in (1, 1, 2))

    assert first == again
    assert first.image != other.image
    assert first.boxes_xyxy != other.boxes_xyxy


def test_scenes_come_in_the_size_asked_for() -> None:
    scene = make_scene("shapes", "large", 5, seed=1, size_wh=(480, 640))

    assert decode(scene.image).size_wh == (480, 640)
    sides = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in scene.boxes_xyxy]
    assert all(min(w, h) > 0.18 * 480 and max(w, h) < 0.36 * 480 for w, h in sides)


def test_numbers_do_not_follow_from_places() -> None:
    scene = make_scene("colours", "crowded", 9, seed=1)

    assert scene.boxes_xyxy != sorted(scene.boxes_xyxy, key=lambda box: (box[1], box[0]))


def test_regions_hold_what_is_said_of_them() -> None:
    scene = make_scene("colours", "crowded", 12, seed=0)
    pixels = decode(scene.image).pixels

    for (x1, y1, x2, y2), truth in zip(scene.boxes_xyxy, scene.truths, strict=True):
        colour = pixels[int(y1) + 4 : int(y2) - 4, int(x1) + 4 : int(x2) - 4].mean(axis=(0, 1))
        known = {"black": (10, 10, 10), "red": (214, 22, 28), "green": (22, 140, 50)}
        if truth.text in known:
            assert np.abs(colour - known[truth.text]).max() < 3


def test_patches_are_cut_from_the_photographs_and_named() -> None:
    named = [set(words.split()) for words, _ in patches()]

    assert not any(a & b for i, a in enumerate(named) for b in named[:i])
    scene = make_scene("patches", "apart", len(named), seed=2)
    [at] = [i for i, truth in enumerate(scene.truths) if truth.text == "raccoon"]
    x1, y1, x2, y2 = (int(value) for value in scene.boxes_xyxy[at])
    shown = decode(scene.image).pixels[y1:y2, x1:x2].astype(float)
    [patch] = [image for words, image in patches() if words == "raccoon"]
    expected = np.asarray(ImageOps.fit(patch, (x2 - x1, y2 - y1)), dtype=float)
    assert np.abs(shown - expected).mean() < 8


def test_photographs_come_with_what_they_show() -> None:
    scenes = list(photographs())

    assert len(scenes) >= 8
    assert "cup" in {truth.text for scene in scenes for truth in scene.truths}
    assert {scene.kind for scene in scenes} == {"photographs"}


def own_file(folder: Path, **fields: object) -> Path:
    Image.new("RGB", (60, 40)).save(folder / "a.png")
    line = {"image": "a.png", "bbox": [[0, 0, 5, 5], [9, 9, 5, 5]]} | fields
    (folder / "own.jsonl").write_text(json.dumps(line) + "\n\n")
    return folder / "own.jsonl"


def test_own_data(tmp_path: Path) -> None:
    [scene] = own_data(own_file(tmp_path, captions=["a small grey mouse", "it is there"]))

    assert scene.image == (tmp_path / "a.png").read_bytes()
    # A caption without content can be right of anything: its region is left out.
    assert scene.boxes_xyxy == [(0, 0, 5, 5)]
    assert scene.truths[0].text == "a small grey mouse"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("[1]", "own.jsonl:3: no object: "),
        ("{", "own.jsonl:3: Expecting property name"),
        ('{"bbox": [[0, 0, 5, 5]], "captions": ["x"]}', "own.jsonl:3: image is missing"),
    ],
)
def test_own_data_that_is_no_record(tmp_path: Path, line: str, word: str) -> None:
    file = own_file(tmp_path, captions=["a mouse", "a cat"])
    with file.open("a") as more:
        more.write(line)
    with pytest.raises(UsageError, match=word):
        list(own_data(file))


def test_own_data_as_editors_write_it(tmp_path: Path) -> None:
    """With a mark of its encoding, and with what ends lines elsewhere in a text."""
    file = own_file(tmp_path, captions=["a\u2028mouse", "a\x0ccat"])
    text = json.dumps(json.loads(file.read_text()), ensure_ascii=False)
    file.write_text("\ufeff" + text, "utf-8")
    [scene] = own_data(file)
    assert len(scene.truths) == 2


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"captions": ["one"]}, "2 boxes, 1 captions"),
        ({"captions": ["one", "two"], "image": "gone.png"}, "gone.png"),
        ({"captions": ["one", "two"], "image": 7}, "own.jsonl:1: image is missing, or no text"),
    ],
)
def test_own_data_that_does_not_fit(tmp_path: Path, fields: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        list(own_data(own_file(tmp_path, **fields)))

    assert caught.value.code == "bad-eval-data"

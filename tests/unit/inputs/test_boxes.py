"""Boxes under the names that other tools give them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.inputs.box_fields import has_box_fields
from regioncap.inputs.boxes import settle
from regioncap.inputs.fields import from_fields, plain_fields
from regioncap.records import InputRecord, dump_lines
from regioncap.settings import JobSettings
from regioncap.views.regions import check_boxes

BOX = [10, 20, 30, 40]
CORNERS = {"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 40}
WIDE = {"x": 10, "y": 20, "width": 30, "height": 40}


def settled(fields: dict[str, Any], **settings: Any) -> InputRecord:
    record = from_fields(InputRecord(index=0, line=1), {"image": "a.png", **fields})
    return settle(record, JobSettings(**settings))


@pytest.mark.parametrize(
    ("fields", "boxes", "box_format"),
    [
        ({}, None, None),
        ({"bbox": None, "text": "a box of [1, 2, 3, 4]", "boxes": 3}, None, None),
        ({"boxes": [BOX, BOX]}, [BOX, BOX], None),
        ({"bounding_box": BOX}, [BOX], None),
        ({"bboxes": "[[10, 20, 30, 40]]"}, [BOX], None),
        ({"boxes": []}, [], None),
        ({"bbox_xyxy": [BOX]}, [BOX], "xyxy"),
        ({"objects": {"bbox": [BOX], "category": [1]}}, [BOX], None),
        ({"objects": '{"bbox": [[10, 20, 30, 40]]}'}, [BOX], None),
        ({"objects": {"bbox": []}}, [], None),
        ({"objects": []}, [], None),
        ({"objects": [{"bbox": BOX}, {"label": "x"}]}, [BOX, [None]], None),
        ({"annotations": [{"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 40}]}, [BOX], "xyxy"),
        ({"gt": [{"box": BOX}]}, [BOX], None),
        ({"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 40}, [BOX], "xyxy"),
        ({"XMin": "10", "YMin": "20", "XMax": "30", "YMax": "40"}, [BOX], "xyxy"),
        ({"x1": [10, 1], "y1": [20, 2], "x2": [30, 3], "y2": [40, 4]}, [BOX, [1, 2, 3, 4]], "xyxy"),
        ({"x": 10, "y": 20, "w": 30, "h": 40}, [BOX], None),
        ({"cx": 10, "cy": 20, "width": 30, "height": 40}, [BOX], "cxcywh"),
        ({"bbox_x": 10, "bbox_y": 20, "bbox_w": 30, "bbox_h": 40}, [BOX], None),
        ({"boxes": [{"x": 10, "y": 20, "w": 30, "h": 40}]}, [BOX], None),
        ({"rect_left": 10, "rect_top": 20, "rect_w": 30, "rect_h": 40}, [BOX], None),
        ({"xmin_px": 10, "ymin_px": 20, "xmax_px": 30, "ymax_px": 40}, [BOX], "xyxy"),
        ({"width": 640, "height": 480, **CORNERS}, [BOX], "xyxy"),
        ({"bbox": CORNERS}, [BOX], "xyxy"),
        ({"bbox": [{**CORNERS, "label": "dog"}]}, [BOX], "xyxy"),
        ({"bbox": "(10, 20, 30, 40)"}, [BOX], None),
        ({"objects": "[{'bbox': (10, 20, 30, 40), 'label': None}]"}, [BOX], None),
        ({"annotation": {"object": [{"bndbox": CORNERS}]}}, [BOX], "xyxy"),
        ({"a": {"b": {"c": {"boxes": [BOX]}}}}, [BOX], None),
        ({"objects": {"7": CORNERS, "8": CORNERS}}, [BOX, BOX], "xyxy"),
        ({"objects": [{"bbox": BOX}, {"bbox": [BOX, BOX]}]}, [BOX] * 3, None),
        ({"annotations": [{"coordinates": WIDE}]}, [BOX], "cxcywh"),
        ({"faces": [BOX]}, [BOX], None),
        ({"xyxy": BOX}, [BOX], "xyxy"),
        ({"objects": {}}, [], None),
        ({"text": "(1, 2or 3)", "more": "[0x] a \\d"}, None, None),
        ({**dict.fromkeys(CORNERS), "width": 640, "height": 480}, None, None),
        ({"left": None, "top": None, "width": 640, "height": 480}, None, None),
        ({"regions": ["head"], "position": {"x": 1, "y": 2}, "vector": BOX}, None, None),
    ],
)
def test_boxes_of_other_names_are_read(
    fields: dict[str, Any], boxes: Any, box_format: str | None
) -> None:
    record = settled(fields)

    assert record.error is None
    assert (record.bbox, record.box_format) == (boxes, box_format)


@pytest.mark.parametrize(
    "fields",
    [
        {"boxes": [BOX], "objects": {"bbox": [BOX]}},
        {"boxes": "10 20 30 40"},
        {"boxes": "(" + "1, " * 100_000 + ")"},
        {"boxes": "(" * 5_000 + "1"},
        {"normalized_bboxes": [[0.1, 0.2, 0.3, 0.4]]},
        {"bounding_boxes": {"a": 1}},
        {"xmin": [1, 2], "ymin": [1], "xmax": [1], "ymax": [2]},
        {**CORNERS, "xmax": None},
        {**CORNERS, "xmin": ""},
        {"box_2d": BOX},  # Gemini's: y, x, y, x
        {"coords": [BOX]},
        {"shapes": [{"points": [[1, 2], [3, 4]]}]},
        {"objects": [{"segmentation": [[1, 2, 3, 4, 5, 6]]}]},
        {"objects": [{"bbox": BOX}, {"bbox": CORNERS}]},
        {"result": [{"original_width": 640, "value": WIDE}]},
    ],
)
def test_what_cannot_be_read_is_an_error_and_no_proposal(fields: dict[str, Any]) -> None:
    record = settled(fields)
    assert record.error is not None
    assert record.error.code == "bbox-misnamed"

    proposed = settled(fields, propose=True)
    assert (proposed.error, proposed.bbox) == (None, None)


def test_img2dataset_s_fields_are_no_boxes_of_label_studio() -> None:
    fields = {"caption": "a", "key": "0", "status": "success", "width": 256, "height": 205,
              "original_width": 1920, "original_height": 1536, "exif": "{}"}  # fmt: skip
    assert (settled(fields).bbox, settled(fields).error) == (None, None)
    with_box = settled({**fields, **CORNERS})
    assert with_box.error is None
    assert with_box.bbox == settled(CORNERS).bbox
    assert settled({**fields, **WIDE, "rotation": 3}).error is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"xmin": "nan", "ymin": "nan", "xmax": "nan", "ymax": "nan"},
        {"x": "NaN", "y": 1, "w": 3, "h": 3},
        {"bbox": "(1e999, 0, 1, 1)"},
        {"bbox": "[-Infinity, 0, 1, 1]"},
    ],
)
def test_sides_that_are_no_numbers_spoil_their_box_alone(fields: dict[str, Any]) -> None:
    """As pandas and Python write them: one in a million would keep the others from the queue."""
    record = settled(fields)
    assert dump_lines([record])
    assert record.bbox is not None
    assert check_boxes(record.bbox, "xywh", (640, 480)) != [None]


def test_a_setting_proposes_where_there_is_nothing() -> None:
    assert settled({"bbox": []}, propose=True).bbox is None
    assert settled({"bbox": [BOX]}, propose=True).bbox == [BOX]


def test_names_tell_the_shape_and_the_setting_the_unit() -> None:
    sides = {"xmin": 0.1, "ymin": 0.2, "xmax": 0.3, "ymax": 0.4}
    assert settled(sides, box_format="xywh-normalized").box_format == "xyxy-normalized"


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"width": 640, "height": 480}, (640, 480)),
        ({"image_width": "640", "image_height": "480"}, (640, 480)),
        ({"width": 0.5, "height": 0.5}, None),
        ({"width": True, "height": 480}, None),
        ({"x": 1, "y": 2, "width": 3, "height": 4}, None),
    ],
)
def test_declared_size(fields: dict[str, Any], size: tuple[int, int] | None) -> None:
    assert settled(fields).declared_wh == size


def test_a_table_with_boxes_is_known_by_a_row_without() -> None:
    assert has_box_fields({"file_name": "a", "bbox": ""})
    assert has_box_fields({"file_name": "a", "xmin": "", "ymin": "", "xmax": "", "ymax": ""})
    assert has_box_fields({"file_name": "a", "objects": {"bbox": []}})
    assert not has_box_fields({"file_name": "a", "text": "b", "width": 3, "height": 4})


_scalars = (
    st.none() | st.booleans() | st.integers(-5, 900) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["[[1, 2, 3, 4]]", "(1, 2, 3, 4)", "[1, 2", "{'a': 1}", "1"])
    | st.sampled_from(["nan", "(1e999, 1)"])
)  # fmt: skip
_NAMES = {
    *("bbox", "boxes", "objects", "annotations", "points", "box_2d", "coordinates", "bndbox"),
    *("original_width", "bbox_xyxy", "segmentation", "cx", "cy", "left", "top"),
    *CORNERS, *WIDE, "w", "h",
}  # fmt: skip
_names = st.sampled_from(sorted(_NAMES))
_values = st.recursive(
    _scalars | st.lists(st.integers(0, 9), min_size=4, max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=5),
)


@given(fields=st.dictionaries(_names, _values, max_size=6))
def test_whatever_stands_in_a_record_it_is_boxes_none_or_an_error(fields: dict[str, Any]) -> None:
    has_box_fields(fields)
    record = settled(plain_fields(fields))
    assert record.bbox is None or isinstance(record.bbox, list)
    assert record.bbox is None or record.error is None
    assert dump_lines([record])  # whatever it is, it can be written down

"""Boxes that count in another size than the picture's as shown."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from regioncap.errors import RecordError
from regioncap.views.declared import as_shown, check_declared, counted_size
from regioncap.views.pixels import decode
from regioncap.views.render import render_record
from tests.support.records import make_record, view_settings

STORED = (60, 40)
BOX = (10, 20, 14, 28)


def encoded(orientation: int) -> bytes:
    """A picture whose box is white in the pixels as stored."""
    image = Image.new("RGB", STORED)
    image.paste((255, 255, 255), BOX)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_turned_as_the_pixels_are(orientation: int) -> None:
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(orientation))))
    assert shown.getbbox() == as_shown(BOX, STORED, shown.size, orientation)
    assert decode(encoded(orientation)).orientation == orientation


def test_render_turns_boxes_when_it_is_asked_to() -> None:
    record = make_record([[10, 20, 4, 8]])
    record.declared_wh = STORED

    turned, _ = render_record(record, encoded(6), view_settings(boxes_of="declared"))
    as_given, _ = render_record(record, encoded(6), view_settings())

    assert (turned.width, turned.height) == (40, 60)
    assert turned.bbox == [[12, 10, 8, 4]]
    assert turned.regions[0].box_xyxy == (12, 10, 20, 14)
    assert as_given.bbox == [[10, 20, 4, 8]]


def test_a_copy_is_scaled_and_anything_else_refused() -> None:
    record = make_record([[10, 20, 4, 8]])
    record.declared_wh = (120, 80)
    scaled, _ = render_record(record, encoded(1), view_settings(boxes_of="declared"))
    assert scaled.bbox == [[5, 10, 2, 4]]

    record.declared_wh = (80, 120)
    refused, _ = render_record(record, encoded(1), view_settings(boxes_of="declared"))
    assert refused.error is not None
    assert refused.error.code == "size-differs"


def test_crowds_are_left_out_when_it_is_asked_for() -> None:
    record = make_record([[1, 2, 9, 9], [20, 20, 9, 9]])
    record.meta["iscrowd"] = [1, 0]

    kept, _ = render_record(record, encoded(1), view_settings())
    skipped, _ = render_record(record, encoded(1), view_settings(skip_crowd=True))

    assert [region.status for region in kept.regions] == ["missing", "missing"]
    assert [region.status for region in skipped.regions] == ["skipped", "missing"]
    assert [shown.number for shown in skipped.views[0].regions] == [2]

    record.meta["iscrowd"] = [1, 1]
    none, pictures = render_record(record, encoded(1), view_settings(skip_crowd=True))
    assert (none.error, none.views, pictures) == (None, [], [])


sizes = st.tuples(st.integers(1, 5_000), st.integers(1, 5_000))


@given(sizes, sizes, st.integers(1, 8))
def test_what_is_counted_in_is_shown_inside(
    declared: tuple[int, int], size: tuple[int, int], orientation: int
) -> None:
    try:
        counted = counted_size(declared, size, orientation, "declared")
    except RecordError:
        assert check_declared(declared, size, orientation) is not None
        return
    box = as_shown((0, 0, *counted), counted, size, orientation)
    assert box == pytest.approx((0, 0, *size))

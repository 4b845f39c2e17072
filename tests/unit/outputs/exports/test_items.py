"""Exported pictures lie the right way up."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from regioncap.errors import RecordError
from regioncap.outputs.exports.base import Item
from regioncap.outputs.exports.items import _with_picture, upright
from regioncap.views.pixels import MAX_PIXELS
from tests.support.exported import region, result


def encoded(kind: str, orientation: int = 1) -> bytes:
    image = Image.new("RGB", (40, 20), (250, 10, 10))
    image.paste((10, 10, 250), (0, 0, 20, 20))  # the left half is blue
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=exif)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_upright_picture_stays_as_it_is(kind: str, extension: str) -> None:
    data = encoded(kind)

    picture = upright(data)

    assert (picture.data, picture.extension) == (data, extension)


def test_turned_picture_is_turned_for_good() -> None:
    picture = upright(encoded("JPEG", orientation=6))

    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (20, 40)
        assert not image.getexif()
        top, bottom = image.getpixel((10, 5)), image.getpixel((10, 35))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[2] > 200
    assert bottom[0] > 200


@pytest.mark.parametrize(
    ("captions", "has_picture"), [(["a fox", None], True), ([None, None], False)]
)
def test_what_a_person_captioned_of_a_failed_record_comes_with_its_picture(
    captions: list[str | None], has_picture: bool
) -> None:
    failed = {"code": "no-caption", "message": "no", "stage": "caption"}
    regions = [region(n, [1, 2, 3, 4], said) for n, said in enumerate(captions, 1)]
    record = Item(result(0, regions, error=failed), "s3://b/images/a.png")

    brought = _with_picture(lambda _: encoded("PNG"), "all", MAX_PIXELS, record)

    assert (brought.picture is not None) == has_picture


def test_what_someone_is_to_caption_comes_so_that_it_is_seen() -> None:
    failed = {"code": "no-caption", "message": "no", "stage": "caption"}
    record = Item(result(0, [region(1, [1, 2, 3, 4], None)], error=failed), "s3://b/images/a.tif")

    brought = _with_picture(lambda _: encoded("TIFF"), "unshown", MAX_PIXELS, record)

    assert brought.picture is not None
    assert brought.picture.extension == "jpg"


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_picture_may_be_as_large_as_the_settings_say(kind: str) -> None:
    data = encoded(kind, orientation=6)
    assert upright(data, max_pixels=800).extension == "jpg"
    with pytest.raises(RecordError, match="more than 799 pixels"):
        upright(data, max_pixels=799)


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        upright(data)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", "ICO"])
def test_picture_that_browsers_do_not_show_becomes_a_jpeg(kind: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 20), (250, 10, 10)).save(out, kind)

    picture = upright(out.getvalue())

    assert picture.extension == "jpg"
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.format == "JPEG"

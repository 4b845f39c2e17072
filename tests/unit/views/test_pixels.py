"""Any picture comes out upright, in sRGB and within limits, or is refused by name."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from regioncap.errors import RecordError
from regioncap.job import Grid
from regioncap.views.pixels import decode, encode_jpeg, probe
from regioncap.views.sizes import fit_size


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def corner_colours(image: Image.Image) -> list[tuple[int, ...]]:
    w, h = image.size
    pixels = [image.getpixel(xy) for xy in ((2, 2), (w - 3, 2), (2, h - 3), (w - 3, h - 3))]
    return [pixel for pixel in pixels if isinstance(pixel, tuple)]


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def four_corners() -> Image.Image:
    """40x20: red, green over blue, white."""
    image = Image.new("RGB", (40, 20))
    for xy, colour in zip(((0, 0), (20, 0), (0, 10), (20, 10)), (RED, GREEN, BLUE, WHITE),
                          strict=True):  # fmt: skip
        image.paste(colour, (*xy, xy[0] + 20, xy[1] + 10))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode__any_orientation_is_set_upright(orientation: int) -> None:
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = four_corners() if undo is None else four_corners().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, exif=exif)

    picture = decode(data)

    assert picture.size_wh == picture.image.size == probe(data) == (40, 20)
    assert corner_colours(picture.image) == [RED, GREEN, BLUE, WHITE]


def test_decode__hidden_colours_of_transparent_pixels_stay_hidden() -> None:
    data = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))

    assert set(decode(data).image.get_flattened_data()) == {WHITE}


def test_decode__transparent_palette() -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)

    data = encoded(palette, transparency=1)

    assert set(decode(data).image.get_flattened_data()) == {WHITE}


@pytest.mark.parametrize(("top", "expected"), [(65535, 255), (4095, 255), (1023, 255)])
def test_decode__deep_grey_is_scaled_not_clipped(top: int, expected: int) -> None:
    ramp = np.linspace(0, top, 64, dtype=np.uint16).reshape(8, 8)
    data = encoded(Image.fromarray(ramp))

    values = np.asarray(decode(data).image)[..., 0]

    assert values.max() == expected
    assert len(np.unique(values)) > 50


def test_decode__cmyk() -> None:
    data = encoded(four_corners().convert("CMYK"), "JPEG", quality=95)

    red, *_ = corner_colours(decode(data).image)

    assert red[0] > 180
    assert max(red[1:]) < 80


def test_decode__a_profile_is_converted_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB", 5000)).tobytes()
    broken = encoded(four_corners(), icc_profile=b"no profile")
    plain = encoded(four_corners(), icc_profile=lab)

    assert corner_colours(decode(broken).image)[0] == RED
    assert corner_colours(decode(plain).image)[0] == pytest.approx(RED, abs=3)


def test_decode__only_the_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)

    assert set(decode(data).image.get_flattened_data()) == {RED}


def test_decode__a_large_jpeg_is_decoded_small() -> None:
    data = encoded(Image.new("RGB", (2400, 1600)), "JPEG")

    picture = decode(data, budget_pixels=300_000)

    assert picture.size_wh == (2400, 1600)
    assert picture.image.size == (1200, 800)  # a half: a quarter would be below 672x448


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image-unreadable"),
        (b"<svg/>", "image-unreadable"),
        (encoded(four_corners(), "TGA"), "image-unreadable"),
        (encoded(four_corners(), "PCX"), "image-unreadable"),
        (encoded(four_corners(), "DDS"), "image-unreadable"),
        (encoded(four_corners(), "EPS"), "image-unreadable"),
        (encoded(Image.effect_noise((300, 300), 60), "JPEG")[:-900], "image-unreadable"),
        (encoded(Image.effect_noise((300, 300), 60))[:-900], "image-unreadable"),
        (b"\xff\xd8\xff" + bytes(500), "image-unreadable"),
    ],
)
def test_decode__what_is_no_picture_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode(data)

    assert caught.value.code == code


@pytest.mark.parametrize("limit", [None, 5_000])
def test_decode__leaves_pillow_its_own_limit(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for form in ("PNG", "JPEG"):
        decode(encoded(Image.new("RGB", (100, 100)), form), max_pixels=10_000)
    with pytest.raises(RecordError):
        decode(encoded(Image.new("RGB", (300, 300))), max_pixels=10_000)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_decode__limits_are_inclusive() -> None:
    data = encoded(Image.new("RGB", (100, 100)))

    decode(data, max_bytes=len(data), max_pixels=10_000)
    for limits in ({"max_bytes": len(data) - 1}, {"max_pixels": 9_999}):
        with pytest.raises(RecordError) as caught:
            decode(data, **limits)
        assert caught.value.code == "image-too-large"


@given(st.binary(max_size=300))
def test_decode__noise_is_always_a_record_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        decode(data)


@given(
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.integers(4096, 4_000_000),
    st.sampled_from([14, 28, 32, 48]),
)
def test_fit_size__inside_the_budget_in_whole_cells(
    w: int, h: int, max_pixels: int, cell_px: int
) -> None:
    if max(w, h) > 200 * min(w, h):
        with pytest.raises(RecordError, match="times as long"):
            fit_size((w, h), max_pixels, cell_px)
        return

    fitted = fit_size((w, h), max_pixels, cell_px)

    assert all(side % cell_px == 0 and side >= cell_px for side in fitted)
    # One cell is the least, so a very thin picture may exceed a tiny budget.
    assert fitted[0] * fitted[1] <= max_pixels or min(fitted) == cell_px
    # What a caption worker would have made anew, and again and again.
    assert Grid(cell_px=cell_px, max_pixels=max_pixels).keeps(fitted)


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        ((640, 427), (644, 420)),
        ((4000, 3000), (1148, 840)),
        ((1, 1), (448, 448)),
        ((100, 50), (644, 336)),
    ],
)
def test_fit_size(size_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit_size(size_wh, 1_003_520) == expected


def test_encode_jpeg__keeps_full_colour_resolution_and_no_metadata() -> None:
    image = four_corners()
    image.info["exif"] = b"secret"

    again = Image.open(io.BytesIO(encode_jpeg(image)))

    assert "exif" not in again.info
    assert corner_colours(again.convert("RGB"))[0] == pytest.approx(RED, abs=8)

"""Pictures made to break things: refused with a reason, or read as a person would see them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, features

from regioncap.errors import RecordError
from regioncap.views.pixels import FORMATS, decode, probe
from regioncap.views.sizes import fit_size

WIDTH, HEIGHT = 60, 40


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bomb() -> bytes:
    """20,000 x 20,000 pixels in less than 50 kB."""
    data = png(20_000, 20_000, bytes(2501 * 20_000), depth=1, colour=0)
    assert len(data) < 50_000
    return data


def photo() -> Image.Image:
    """Red left, blue right, and a green spot at the top left."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :30, 0] = 200
    pixels[:, 30:, 2] = 200
    pixels[2:14, 2:14] = (0, 200, 0)
    return Image.fromarray(pixels)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "image-unreadable"),
    "text": (lambda: b"<html>404</html>", "image-unreadable"),
    "png signature alone": (lambda: b"\x89PNG\r\n\x1a\n", "image-unreadable"),
    "bomb": (bomb, "image-too-large"),
    "bomb with a small body": (lambda: png(65_000, 65_000, b"\0"), "image-too-large"),
    "truncated jpeg": (lambda: encoded(photo(), "JPEG")[:-200], "image-unreadable"),
    "truncated png": (lambda: encoded(photo())[:-60], "image-unreadable"),
    "truncated webp": (lambda: encoded(photo(), "WEBP")[:-40], "image-unreadable"),
    "png with a lying header": (lambda: png(WIDTH, HEIGHT, bytes(10)), "image-unreadable"),
    "png with no size": (lambda: png(0, 0, b""), "image-unreadable"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image-unreadable"),
    "postscript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "image-unreadable",
    ),
    "pdf": (lambda: b"%PDF-1.7\n", "image-unreadable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, code = REFUSED[name]
    with pytest.raises(RecordError) as refused:
        decode(make())
    assert refused.value.code == code


def test_more_bytes_than_allowed() -> None:
    with pytest.raises(RecordError) as refused:
        decode(encoded(photo()), max_bytes=100)
    assert refused.value.code == "image-too-large"


def test_bombs_are_refused_from_the_header_alone() -> None:
    with pytest.raises(RecordError) as refused:
        probe(bomb())
    assert refused.value.code == "image-too-large"


def writable_formats() -> list[str]:
    Image.init()
    # PDF is written by Pillow and read by none of its plugins; MPO is JPEG with more behind it.
    return sorted(set(Image.SAVE) - set(FORMATS) - {"PDF", "MPO"})


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning:PIL")
@pytest.mark.parametrize("form", writable_formats())
def test_formats_that_are_not_on_the_list(form: str) -> None:
    data = b""
    for mode in ("RGB", "L", "1", "P", "RGBA", "F"):
        try:
            data = encoded(photo().convert(mode), form)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            continue
        break
    if not data:
        pytest.skip("Pillow was built without it")
    with pytest.raises(RecordError) as refused:
        decode(data)
    assert refused.value.code == "image-unreadable"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_land_on_the_same_thing_in_all_orientations(form: str, orientation: int) -> None:
    raw = _turned(photo(), orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {}
    if form == "WEBP":
        options = {"lossless": True}
    picture = decode(encoded(raw, form, exif=exif, **options))
    assert picture.size_wh == (WIDTH, HEIGHT) == picture.image.size
    spot = np.asarray(picture.image)[4:12, 4:12].reshape(-1, 3).mean(0)
    assert np.allclose(spot, (0, 200, 0), atol=12)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """What a camera would store for this orientation."""
    turns = Image.Transpose
    undo = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE, 6: turns.ROTATE_90, 7: turns.TRANSVERSE, 8: turns.ROTATE_270,
    }  # fmt: skip
    return image.transpose(undo[orientation]) if orientation in undo else image


def test_nonsense_exif_is_no_reason_to_refuse() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)
    assert decode(data).size_wh == (WIDTH, HEIGHT)


def mean(data: bytes) -> list[float]:
    image = decode(data).image
    assert image.mode == "RGB"
    return [float(x) for x in np.asarray(image).reshape(-1, 3).mean(0)]


def test_cmyk() -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = mean(encoded(ink, "JPEG"))
    assert red > 180
    assert green < 80
    assert blue < 80


def test_sixteen_bits() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    image = decode(encoded(Image.fromarray(ramp))).image
    values = np.asarray(image)[..., 0]
    assert values.min() < 2
    assert values.max() > 253
    assert abs(float(values.mean()) - 127.5) < 2


def test_palette_with_transparency_shows_the_ground() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert mean(encoded(image, transparency=0)) == [255, 255, 255]


def test_hidden_colours_do_not_show() -> None:
    assert mean(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))) == [255, 255, 255]


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animated_shows_its_first_frame(form: str) -> None:
    if form == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow was built without WebP")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#00ff00", "#ff0000", "#0000ff")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
    assert mean(data) == [0, 255, 0]


def test_one_pixel() -> None:
    picture = decode(encoded(Image.new("RGB", (1, 1), "#123456")))
    assert picture.size_wh == (1, 1)
    assert min(fit_size((1, 1), 1_003_520)) >= 28


def test_too_thin_for_the_model() -> None:
    data = encoded(Image.new("RGB", (30_000, 10)))
    assert decode(data).size_wh == (30_000, 10)
    with pytest.raises(RecordError) as refused:
        decode(data, budget_pixels=1_003_520)
    assert refused.value.code == "image-too-thin"


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_raise_anything_else(seed: int) -> None:
    draw = np.random.default_rng(seed)
    data = bytearray(encoded(photo(), ("JPEG", "PNG", "WEBP")[seed % 3]))
    for place in draw.integers(0, len(data), 8):
        data[place] = draw.integers(256)
    try:
        outcome = decode(bytes(data), budget_pixels=200_000).image.mode
    except RecordError as error:
        outcome = error.code
    assert outcome in {"RGB", "image-unreadable", "image-too-large", "image-too-thin"}

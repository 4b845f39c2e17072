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
from regioncap.views.formats import READ
from regioncap.views.pixels import decode, probe
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
    # PDF is written by Pillow and read by none of its plugins; MPO is JPEG with more behind it, and
    # DIB the inside of a BMP.
    read = {each.plugin for each in READ.values()}
    return sorted(set(Image.SAVE) - read - {"PDF", "MPO"})


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


#: How each format is written without loss that matters here; packages register their plugins.
WRITTEN: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "GIF": {},
    "AVIF": {"quality": 95},
    "JPEG2000": {},
    "PPM": {},
    "ICO": {"sizes": [(WIDTH, HEIGHT)]},
    "HEIF": {"quality": 95},
    "JXL": {"lossless": True},
}
#: Formats that say how a picture is to be turned, as these plugins write them.
TURNING = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]


@pytest.fixture(autouse=True, scope="module")
def plugins() -> None:
    """Lets Pillow write what the extra `formats` reads."""
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()


def test_every_format_that_is_read_is_tried() -> None:
    assert {each.plugin for each in READ.values()} == set(WRITTEN)


@pytest.mark.parametrize("form", WRITTEN)
def test_pictures_of_every_format(form: str) -> None:
    data = encoded(photo(), form, **WRITTEN[form])
    picture = decode(data)
    assert probe(data) == picture.size_wh == (WIDTH, HEIGHT)
    shown = np.asarray(picture.image).astype(int)
    assert np.abs(shown - np.asarray(photo()).astype(int)).mean() < 6


@pytest.mark.parametrize("form", WRITTEN)
def test_limits_hold_for_every_format(form: str) -> None:
    data = encoded(photo(), form, **WRITTEN[form])
    for look in (probe, decode):
        with pytest.raises(RecordError) as refused:
            look(data, max_pixels=WIDTH * HEIGHT - 1)
        assert refused.value.code == "image-too-large"
    with pytest.raises(RecordError) as refused:
        decode(data, max_bytes=len(data) - 1)
    assert refused.value.code == "image-too-large"


@pytest.mark.parametrize("form", WRITTEN)
def test_pictures_that_are_cut_off(form: str) -> None:
    noise = Image.effect_noise((WIDTH, HEIGHT), 90).convert("RGB")
    options = {"quality": 95} if form == "JPEG" else WRITTEN[form]
    data = encoded(noise, form, **options)
    for length in range(2, len(data) - 64, max(1, len(data) // 40)):
        try:
            mode = decode(data[:length]).image.mode
        except RecordError as error:
            mode = error.code
        assert mode == "image-unreadable"


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_texts_of_a_png_are_no_reason_to_refuse_it(kind: bytes) -> None:
    text = b"x" * 3_000_000
    packed = {b"tEXt": b"a\0" + text, b"zTXt": b"a\0\0" + zlib.compress(text),
              b"iTXt": b"a\0\1\0\0\0" + zlib.compress(text)}  # fmt: skip
    data = encoded(photo())
    for at in (33, len(data) - 12):  # before the pixels, behind them
        told = data[:at] + chunk(kind, packed[kind]) + data[at:]
        assert decode(told).size_wh == (WIDTH, HEIGHT) == probe(told)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (60, 40), (40, 60), (1, 300), (800, 450), (9000, 4)])
def test_sizes_in_headers_of_jpeg_xl(size: tuple[int, int], boxed: bool) -> None:
    data = encoded(Image.new("RGB", size, "red"), "JXL", use_container=boxed, effort=1)
    assert probe(data) == size == probe(data[:200])


def test_formats_whose_decoders_take_most_have_a_limit_of_their_own() -> None:
    tiles = encoded(Image.new("L", (7_100, 7_100)), "JPEG2000")
    with pytest.raises(RecordError, match="the limit of its format") as refused:
        probe(tiles)
    assert refused.value.code == "image-too-large"


def test_icon_that_is_larger_than_its_table_says() -> None:
    inside = encoded(Image.new("L", (12_000, 12_000)))
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inside), 22)
    with pytest.raises(RecordError) as refused:
        decode(struct.pack("<HHH", 0, 1, 1) + entry + inside)
    assert refused.value.code == "image-too-large"


def test_very_many_tiles() -> None:
    tiles = encoded(Image.new("L", (240, 240)), "JPEG2000", tile_size=(1, 1))
    assert decode(tiles).size_wh == (240, 240)


def test_colours_of_a_tiff() -> None:
    lab = Image.new("RGB", (16, 16), (200, 40, 40))
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        lab, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert converted is not None
    assert np.allclose(mean(encoded(converted, "TIFF")), (200, 40, 40), atol=4)
    half = Image.fromarray(np.full((16, 16), 0.5, np.float32))
    assert np.allclose(mean(encoded(half, "TIFF")), 127, atol=1)
    dark = np.full((16, 16), np.nan, np.float32)
    dark[:8] = 400.0
    assert len(mean(encoded(Image.fromarray(dark), "TIFF"))) == 3


@pytest.mark.parametrize("form", TURNING)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_land_on_the_same_thing_in_all_orientations(form: str, orientation: int) -> None:
    raw = _turned(photo(), orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(raw, form, exif=exif.tobytes(), **WRITTEN[form])
    picture = decode(data)
    assert picture.size_wh == (WIDTH, HEIGHT) == picture.image.size == probe(data)
    spot = np.asarray(picture.image)[4:12, 4:12].reshape(-1, 3).mean(0)
    assert np.allclose(spot, (0, 200, 0), atol=20)


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


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "TIFF", "MPO", "AVIF"])
def test_animated_shows_its_first_frame(form: str) -> None:
    if form == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow was built without WebP")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#00ff00", "#ff0000", "#0000ff")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert np.allclose(mean(data), (0, 255, 0), atol=3)


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


def test_a_white_picture_takes_no_time() -> None:
    """Once each byte of a run of 0xFF was looked at as often as there were others behind it."""
    white = Image.new("RGB", (1000, 1000), "white")
    for form in ("BMP", "TIFF", "PPM"):
        assert decode(encoded(white, form)).size_wh == (1000, 1000)
    data = encoded(photo(), "JPEG")
    assert decode(data[:-2] + b"\xff" * 1_000_000 + data[-2:]).size_wh == (WIDTH, HEIGHT)


@pytest.mark.parametrize("seed", range(120))
def test_flipped_bytes_never_raise_anything_else(seed: int) -> None:
    draw = np.random.default_rng(seed)
    form = list(WRITTEN)[seed % len(WRITTEN)]
    data = bytearray(encoded(photo(), form, **WRITTEN[form]))
    for place in draw.integers(0, len(data), 8):
        data[place] = draw.integers(256)
    try:
        outcome = decode(bytes(data), budget_pixels=200_000).image.mode
    except RecordError as error:
        outcome = error.code
    assert outcome in {"RGB", "image-unreadable", "image-too-large", "image-too-thin"}

"""From hostile bytes to a clean picture, and back to bytes; pure.

Only formats on the list of `formats` are opened, each by its own decoder alone; sizes are checked
on the header before a pixel is decoded, and what comes out is always 8-bit RGB in sRGB, the right
way up, first frame only.
"""

from __future__ import annotations

import io
import math
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from regioncap.errors import RecordError
from regioncap.packages import install_line, is_installed
from regioncap.views import formats, jxl, png
from regioncap.views.boxes import Size
from regioncap.views.sizes import CELL_PX, fit_size

#: Most pixels of a picture, where nothing else is set.
MAX_PIXELS = 100_000_000

#: From this factor on, bicubic filtering would skip pixels.
_AREA_FROM = 1.5
#: Encoders of progressive JPEGs make some ten scans.
_MOST_SCANS = 100
#: A marker of a JPEG that is neither a filler, nor stuffed, nor a restart. Fillers before it are
#: not matched: at each byte of a long run of them all that follow would be looked at.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
#: Rows that are computed with at a time.
_STRIP = 256
_ORIENTATION = 0x0112
_JPEGS = {"JPEG", "MPO"}
#: Formats whose decoders turn the picture themselves.
_TURNED = {"TIFF", "HEIF", "JXL"}
#: Stands nowhere else in a JPEG 2000, whose decoder shows what there is of one that is cut off.
_END_OF_CODESTREAM = b"\xff\xd9"
_SIDEWAYS = {5, 6, 7, 8}

# Pillow only warns between one and two times its limit; here the limit is the limit.
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Of broken metadata, and of icons of another size than their table says: nothing to be done.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class _PillowsLimit:
    """Pillow's own check of sizes has one limit for the whole process, whose user may need another.

    While threads have several limits, the latest holds; sizes are checked here besides.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: int | None = None

    @contextmanager
    def of(self, max_pixels: int) -> Iterator[None]:
        """Sets the limit; after the last that needs one it is as it was."""
        with self._lock:
            if not self._users:
                self._before = Image.MAX_IMAGE_PIXELS
            self._users += 1
            Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    Image.MAX_IMAGE_PIXELS = self._before


_pillows_limit = _PillowsLimit()


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture."""

    #: RGB, (height, width, 3); perhaps smaller than the original, where that was asked for.
    pixels: NDArray[np.uint8]
    #: Size of the original as shown, orientation applied, pixels.
    size_wh: Size
    #: EXIF's orientation of the original, 1 to 8; it is applied.
    orientation: int = 1

    @property
    def image(self) -> Image.Image:
        """The same for Pillow, as a copy."""
        return Image.fromarray(self.pixels)


def decode(
    data: bytes,
    *,
    max_bytes: int = 50_000_000,
    max_pixels: int = MAX_PIXELS,
    budget_pixels: int | None = None,
    cell_px: int = CELL_PX,
) -> Picture:
    """Decodes a picture and sets it the right way up.

    Args:
        data: An encoded picture.
        max_bytes: Longest data accepted.
        max_pixels: Largest width times height accepted.
        budget_pixels: Size that the picture will be fitted to; a JPEG much larger than that is
            decoded at a half, a quarter or an eighth, which is several times faster.
        cell_px: As `fit_size` takes it, for that size.

    Raises:
        RecordError: It is too large, of no allowed format, or broken.
    """
    if len(data) > max_bytes:
        raise RecordError(
            f"the image has {len(data):,} bytes, more than {max_bytes:,}",
            code="image-too-large",
            hint="the limit is REGIONCAP_MAX_IMAGE_BYTES",
        )
    image = _open(data, max_pixels)
    if image.format == "JPEG2000" and _END_OF_CODESTREAM not in data:
        raise RecordError(
            "the image, a damaged JPEG 2000, is cut off",
            code="image-unreadable",
            hint="does it open in a viewer? part of it may be missing",
        )
    orientation = _orientation(image, data)
    sideways = orientation in _SIDEWAYS
    size_wh = (image.height, image.width) if sideways else image.size
    least_wh = image.size
    if budget_pixels is not None:
        target = fit_size(size_wh, budget_pixels, cell_px)
        least_wh = target[::-1] if sideways else target
    try:
        rgb = _plain_jpeg(image, data, least_wh)
        if rgb is None:
            limit, _ = _limit(formats.READ[formats.name_of(data)], max_pixels)
            with _pillows_limit.of(limit):
                rgb = np.asarray(_any_picture(image, least_wh))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_many_pixels(max_pixels, "the limit is REGIONCAP_MAX_IMAGE_PIXELS") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on broken data
        raise RecordError(
            f"the image, a damaged {image.format}, cannot be decoded: {error}",
            code="image-unreadable",
            hint="does it open in a viewer? part of it may be missing",
        ) from error
    return Picture(_upright(rgb, orientation), size_wh, orientation)


def _plain_jpeg(image: Image.Image, data: bytes, least_wh: Size) -> NDArray[np.uint8] | None:
    """Decodes the most usual kind of picture the fast way; None leaves it to Pillow.

    libjpeg-turbo asked directly takes about half of what Pillow's incremental decoder does.
    """
    if image.format not in _JPEGS or image.mode != "RGB" or _needs_profile(image):
        return None
    factor = _reduction(image.size, least_wh)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_width=-(-image.width // factor),
            min_height=-(-image.height // factor),
            min_factor=1,
        )
    except ValueError:
        return None  # stricter than Pillow, which knows what can be forgiven
    return pixels


def _reduction(size_wh: Size, least_wh: Size) -> int:
    """By how much a JPEG may be reduced in decoding: 1, 2, 4 or 8.

    The sizes in between, as three eighths, have no vector code and take longer than the next larger
    one.
    """
    times = min(have // max(1, wanted) for have, wanted in zip(size_wh, least_wh, strict=True))
    return next(factor for factor in (8, 4, 2, 1) if times >= factor or factor == 1)


def _any_picture(image: Image.Image, least_wh: Size) -> Image.Image:
    said_wh = image.size
    if image.format in _JPEGS:
        image.draft(None, least_wh)  # keeps at least the size asked for
        said_wh = image.size
    image.load()
    if image.size != said_wh:  # what is inside differs from what was checked
        raise ValueError(f"it says {said_wh[0]}x{said_wh[1]} and is {image.width}x{image.height}")
    return _to_rgb(image)


def _upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turns and mirrors the pixels as the EXIF tag Orientation (TIFF 6.0, tag 274) tells."""
    shown = stored.transpose(1, 0, 2) if orientation in _SIDEWAYS else stored
    if orientation in {3, 4, 7, 8}:
        shown = shown[::-1]
    if orientation in {2, 3, 6, 7}:
        shown = shown[:, ::-1]
    return np.ascontiguousarray(shown)


def probe(data: bytes, max_pixels: int = MAX_PIXELS) -> Size:
    """Size of the picture as shown, from its header alone; raises as `decode` does.

    The first bytes of the data are enough if they hold the header: some 64 KiB of a JPEG or a PNG.
    """
    return probe_turn(data, max_pixels)[0]


def probe_turn(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[Size, int]:
    """As `probe`, and EXIF's orientation, 1 to 8."""
    known = formats.READ.get(formats.name_of(data))
    if known is not None and known.plugin == "JXL":
        return _jxl_size(data, *_limit(known, max_pixels)), 1
    image = _open(data, max_pixels)
    orientation = _orientation(image, data)
    sideways = orientation in _SIDEWAYS
    return (image.height, image.width) if sideways else image.size, orientation


def is_turned(data: bytes, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether EXIF asks viewers to turn or mirror the picture; raises as `decode` does."""
    return _orientation(_open(data, max_pixels), data) != 1


def _open(data: bytes, max_pixels: int) -> Image.Image:
    known = formats.READ.get(formats.name_of(data))
    if known is None or not _is_there(known):
        raise _unknown(data)
    max_pixels, hint = _limit(known, max_pixels)
    if known.plugin == "JXL":
        _jxl_size(data, max_pixels, hint)
    try:
        _load_plugin(known.package)
        whole = png.without_texts(data) if known.plugin == "PNG" else data
        with _pillows_limit.of(max_pixels):
            image = Image.open(io.BytesIO(whole), formats=(known.plugin,))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_many_pixels(max_pixels, hint) from None
    except UnidentifiedImageError:
        raise _unknown(data) from None
    except Exception as error:
        raise _damaged(data, error) from error
    _check_size(image.size, max_pixels, hint)
    _check_scans(image, data)
    return image


def _is_there(known: formats.Format) -> bool:
    return not known.package or is_installed(known.package)


def _limit(known: formats.Format, max_pixels: int) -> tuple[int, str]:
    """Most pixels of a picture of a format, and where that is said."""
    if known.max_pixels is not None and known.max_pixels < max_pixels:
        return known.max_pixels, f"the limit of its format, whose decoder takes most; {_CONVERT}"
    return max_pixels, "the limit is REGIONCAP_MAX_IMAGE_PIXELS"


def _jxl_size(data: bytes, max_pixels: int, hint: str) -> Size:
    if not _is_there(formats.READ["JPEG XL"]):
        raise _unknown(data)
    try:
        size_wh = jxl.size_of(data)
    except ValueError as error:
        raise _damaged(data, error) from error
    _check_size(size_wh, max_pixels, hint)
    return size_wh


def _damaged(data: bytes, error: Exception) -> RecordError:
    return RecordError(
        f"the image, a damaged {formats.name_of(data)}, cannot be opened: {error}",
        code="image-unreadable",
    )


def _load_plugin(package: str) -> None:
    """Lets Pillow know of the plugin in a package."""
    if package == "pillow_heif":
        import pillow_heif

        pillow_heif.register_heif_opener()
    elif package == "pillow_jxl":
        import pillow_jxl  # noqa: F401 - registers itself


def _check_size(size_wh: Size, max_pixels: int, hint: str) -> None:
    if size_wh[0] * size_wh[1] > max_pixels:
        raise RecordError(
            f"the image has {size_wh[0]}x{size_wh[1]} pixels, more than {max_pixels:,}",
            code="image-too-large",
            hint=hint,
        )


def _too_many_pixels(max_pixels: int, hint: str) -> RecordError:
    return RecordError(
        f"the image has more than {max_pixels:,} pixels", code="image-too-large", hint=hint
    )


def _unknown(data: bytes) -> RecordError:
    """Why Pillow knows no picture in the data, as far as its first bytes tell."""
    name = formats.name_of(data)
    known = formats.READ.get(name)
    if not data:
        what, hint = "the image file is empty", ""
    elif known is not None and not _is_there(known):
        what = f"the image is {_a(name)} picture, for which a package is missing"
        hint = f"{install_line('formats')}, where you submit and for all workers; or {_CONVERT}"
    elif known is not None:
        what = f"the image is a damaged {name}, or one of a kind that is not read"
        hint = "does it open in a viewer? save it anew"
    elif name:
        what, hint = f"the image is {_a(name)} picture, which is not read", _CONVERT
    else:
        what = "the image is of no known format"
        hint = f"formats read: {', '.join(formats.READ)}"
    return RecordError(what, code="image-unreadable", hint=hint)


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"


_CONVERT = "convert it to JPEG or PNG, with `magick IN OUT.jpg` for instance"


def _orientation(image: Image.Image, data: bytes) -> int:
    try:
        if image.format in _TURNED:
            return 1
        if image.format == "PNG":
            # The plugin's own would decode all pixels to look for EXIF behind them.
            image.info.setdefault("exif", png.exif_of(data))
            return int(Image.Image.getexif(image).get(_ORIENTATION, 1))
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no reason to refuse a picture
        return 1


def _check_scans(image: Image.Image, data: bytes) -> None:
    """Lets JPEGs pass that do not come in very many scans: each takes the time of a picture.

    Raises:
        RecordError: This one does.
    """
    if image.format not in _JPEGS:
        return
    if sum(1 for _ in islice(_scans(data), _MOST_SCANS + 1)) > _MOST_SCANS:
        raise RecordError(
            f"the image has more than {_MOST_SCANS} scans",
            code="image-unreadable",
            hint="save it anew",
        )


def _scans(data: bytes) -> Iterator[int]:
    """Where the scans of a JPEG's first picture begin (ITU-T T.81, annex B)."""
    position = 2
    while found := _MARKER.search(data, position):
        kind, position = found[1], found.end()
        if kind == b"\xd9":
            return
        if kind == b"\xda":
            yield position
        position += int.from_bytes(data[position : position + 2], "big")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F"}:
        image = _eight_bits(image)
    elif image.mode == "LAB":
        image = _of_lab(image)
    elif image.mode in {"P", "PA", "LA", "RGBa", "La"} or "transparency" in image.info:
        image = image.convert("RGBA")
    image = _to_srgb(image)
    if image.mode == "RGBA":
        # Plain conversion would show whatever colour hides under transparent pixels.
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales deep grey pictures by the bit depth that their brightest pixel needs.

    Fractions are taken for parts of white. A row of strips at a time: as floats, all would take
    eight times the memory of the picture.
    """
    values = np.asarray(image)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    top = float(finite.max(initial=0))
    if values.dtype.kind == "f" and 0 < top <= 1:
        times = 255.0
    else:
        depth = max(8, min(32, math.ceil(math.log2(max(top, 1.0) + 1))))
        times = 255.0 / (2.0 ** (depth + depth % 2) - 1)
    out = np.empty(values.shape, np.uint8)
    for begin in range(0, len(values), _STRIP):
        strip = np.nan_to_num(values[begin : begin + _STRIP].astype(np.float64))
        out[begin : begin + _STRIP] = np.clip(strip * times, 0, 255)
    return Image.fromarray(out)


def _of_lab(image: Image.Image) -> Image.Image:
    """Of CIE L*a*b*, which Pillow converts by profiles alone."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted or image


def _needs_profile(image: Image.Image) -> bool:
    profile: bytes = image.info.get("icc_profile") or b""
    return bool(profile) and b"sRGB" not in profile


def _to_srgb(image: Image.Image) -> Image.Image:
    if not _needs_profile(image) or image.mode not in {"RGB", "RGBA", "CMYK", "L"}:
        return image
    profile = image.info["icc_profile"]
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile is common and harmless
    return converted or image


def size_of(pixels: NDArray[np.uint8]) -> Size:
    """Width and height of an array (height, width, 3)."""
    return pixels.shape[1], pixels.shape[0]


def fit(pixels: NDArray[np.uint8], size_wh: Size) -> NDArray[np.uint8]:
    """Resizes: by averaging areas when it shrinks much, else with bicubic filtering.

    OpenCV takes a fifth of Pillow's time for this; the render worker needs it, a producer does not.
    """
    width, height = size_of(pixels)
    if (width, height) == size_wh:
        return pixels
    import cv2

    shrinks = width > _AREA_FROM * size_wh[0] and height > _AREA_FROM * size_wh[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    fitted: NDArray[np.uint8] = cv2.resize(pixels, size_wh, interpolation=how)
    return fitted


def encode_jpeg(picture: Image.Image | NDArray[np.uint8], quality: int = 92) -> bytes:
    """JPEG with full colour resolution (4:4:4): coloured lines stay sharp; no metadata.

    Args:
        picture: RGB; an array (height, width, 3) is encoded as it lies, without a copy.
        quality: 1 to 100.
    """
    return bytes(simplejpeg.encode_jpeg(np.asarray(picture), quality, "RGB", "444"))

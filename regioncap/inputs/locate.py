"""Where a record's picture lies: an object in a store, or a file of this machine.

Whatever the user may read is read, by the rules of `places`. A service that takes the files of
others confines them: with `confine_images` a path is data from outside, and neither it nor a link
may leave the folder. Of stores, only listed buckets are read.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import RecordError
from regioncap.inputs.places import BESIDE, Places, existing
from regioncap.records import InputRecord
from regioncap.services.store import parse_s3_uri
from regioncap.settings import Settings


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture on this machine."""

    #: As the record names it.
    image: str
    path: Path
    #: The folder that paths are relative to.
    root: Path
    size_bytes: int
    #: By which rule it was found; empty where its place is known.
    rule: str = ""
    #: Another file that the same name means, and that differs.
    other: Path | None = None

    def read(self, limit_bytes: int = -1) -> bytes:
        """The file's bytes, or the first of them.

        Raises:
            RecordError: It cannot be read.
        """
        try:
            with self.path.open("rb", buffering=0) as file:
                return file.read(limit_bytes)
        except OSError as error:
            raise _missing(self.image, self.root, error) from None


@dataclass(frozen=True, slots=True)
class ImageData:
    """A picture that came with its record."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return len(self.data)

    def read(self, limit_bytes: int = -1) -> bytes:
        """The picture's bytes, or the first of them."""
        return self.data if limit_bytes < 0 else self.data[:limit_bytes]


#: Where a picture is.
Place = str | ImageFile | ImageData


class Locator:
    """Finds pictures by the names that records give them.

    Args:
        settings: Limits, and the buckets that may be named.
        root: Folder that paths are read relative to.
        image_root: The folder that the user names for pictures, if any.
    """

    def __init__(self, settings: Settings, root: Path, image_root: Path | None = None) -> None:
        self._root = (image_root or root).resolve()
        self._settings = settings
        self._places = Places(root, image_root)

    def find(self, record: InputRecord) -> Place:
        """The picture that a record holds, or that its `image` names; raises as `locate` does."""
        image, picture = record.image or "", record.picture
        if isinstance(picture, bytes):
            check_size(image, len(picture), self._settings.max_image_bytes)
            return ImageData(picture)
        if picture is not None:
            path = picture.resolve()
            self._check_confined(image, path)
            return self._sized_file(image, path, picture.parent)
        return self.locate(image)

    def locate(self, image: str) -> str | ImageFile:
        """An s3:// URI as it is, or the file that a path names.

        Raises:
            RecordError: It is neither, may not be read, or is too large.
        """
        if image.startswith("s3://"):
            return checked_uri(image, self._settings)
        if "://" in image or image.startswith("data:"):
            local = image.startswith("file://")
            raise RecordError(
                f"image {image[:80]!r} is a URL",
                code="image-url",
                hint="leave file:// away"
                if local
                else "only paths and s3:// URIs are read; download it first",
            )
        return self._checked_file(image)

    def _checked_file(self, image: str) -> ImageFile:
        if self._settings.confine_images:
            return self._confined_file(image)
        try:
            found = self._places.find(image)
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing(image, self._root, error) from None
        if found is None:
            return self._sized_file(image, self._root / image, self._root)
        if found.rule == BESIDE and found.other is not None:
            raise ambiguous(image, found.path, found.other, "either may be meant")
        return self._sized_file(image, found.path, self._root, found.rule, found.other)

    def _confined_file(self, image: str) -> ImageFile:
        try:
            path = (existing(self._root, image) or self._root / image).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing(image, self._root, error) from None
        self._check_confined(image, path)
        return self._sized_file(image, path, self._root, "below the folder of pictures")

    def _check_confined(self, image: str, path: Path) -> None:
        if self._settings.confine_images and not path.is_relative_to(self._root):
            raise RecordError(
                f"image {image!r} lies outside {self._root}",
                code="image-outside",
                hint="confine_images is set; name the folder that holds it with --image-root",
            )

    def _sized_file(
        self, image: str, path: Path, root: Path, rule: str = "", other: Path | None = None
    ) -> ImageFile:
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise _missing(image, root, error) from None
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            # A pipe would be waited for, and a device read for ever; of a folder, reading tells.
            raise _missing(image, root, ValueError("it is no file"))
        check_size(image, found.st_size, self._settings.max_image_bytes)
        return ImageFile(image, path, root, found.st_size, rule, other)


def check_size(image: str, size_bytes: int, limit_bytes: int) -> None:
    """Lets pictures pass that are not too large.

    Raises:
        RecordError: This one is; a size of one byte too many may stand for any larger one.
    """
    if size_bytes > limit_bytes:
        raise RecordError(
            f"image {image!r} has more than {limit_bytes:,} bytes",
            code="image-too-large",
            hint="the limit is REGIONCAP_MAX_IMAGE_BYTES",
        )


def checked_uri(uri: str, settings: Settings) -> str:
    """Returns the s3:// name of a picture that may be read.

    Raises:
        RecordError: It is none, or names a bucket that is not listed, or of our own what lies
            beside our folder.
    """
    try:
        bucket, name = parse_s3_uri(uri)
    except ValueError as error:
        raise RecordError(f"image is {error}", code="bad-image-uri") from None
    if bucket in settings.s3_source_buckets:
        return uri
    if bucket != settings.s3_bucket:
        raise RecordError(
            f"bucket {bucket!r} may not be read from",
            code="bucket-not-allowed",
            hint="list it in REGIONCAP_S3_SOURCE_BUCKETS, for submit and workers",
        )
    if settings.s3_prefix and not name.startswith(f"{settings.s3_prefix}/"):
        raise RecordError(
            f"{uri} lies beside {settings.s3_prefix}/ and may not be read",
            code="bucket-not-allowed",
            hint="list our own bucket, too, in REGIONCAP_S3_SOURCE_BUCKETS, for submit and workers",
        )
    return uri


def ambiguous(image: str, one: Path, other: Path, what: str) -> RecordError:
    """The error of a name that means two files that differ."""
    return RecordError(
        f"image {image!r} is in two places, with different pictures, {one} and {other}: {what}",
        code="image-ambiguous",
        hint="give absolute paths",
    )


def _missing(image: str, root: Path, error: Exception) -> RecordError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    is_here = root.resolve() == Path().resolve()
    places = f"{root}" if is_here else f"{root} and the working folder"
    return RecordError(
        f"image {image[:200]!r} cannot be read: {reason}",
        code="image-missing",
        hint=f"looked for in {places}; --image-root names another folder",
    )

"""Where a record's picture lies: an object in a store, or a file below one folder.

What an input line names is data from outside: paths may not leave the folder, and only listed
buckets are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regioncap.errors import RecordError
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
        root: Folder that paths are read relative to and may not leave.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self._root = root.resolve()
        self._settings = settings

    def find(self, record: InputRecord) -> Place:
        """The picture that a record holds, or that its `image` names; raises as `locate` does."""
        image, picture = record.image or "", record.picture
        if isinstance(picture, bytes):
            check_size(image, len(picture), self._settings.max_image_bytes)
            return ImageData(picture)
        if picture is not None:
            return self._sized_file(image, picture.resolve(), picture.parent)
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
        try:
            path = (self._root / image).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing(image, self._root, error) from None
        if not path.is_relative_to(self._root):
            raise RecordError(
                f"image {image!r} lies outside {self._root}",
                code="image-outside",
                hint="name the folder that holds it with --image-root",
            )
        return self._sized_file(image, path, self._root)

    def _sized_file(self, image: str, path: Path, root: Path) -> ImageFile:
        try:
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise _missing(image, root, error) from None
        check_size(image, size, self._settings.max_image_bytes)
        return ImageFile(image, path, root, size)


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
        RecordError: It is none, or names a bucket that is not listed.
    """
    try:
        bucket, _ = parse_s3_uri(uri)
    except ValueError as error:
        raise RecordError(f"image is {error}", code="bad-image-uri") from None
    if bucket not in {settings.s3_bucket, *settings.s3_source_buckets}:
        raise RecordError(
            f"bucket {bucket!r} may not be read from",
            code="bucket-not-allowed",
            hint="list it in REGIONCAP_S3_SOURCE_BUCKETS, for submit and workers",
        )
    return uri


def _missing(image: str, root: Path, error: Exception) -> RecordError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return RecordError(
        f"image {image[:200]!r} cannot be read: {reason}",
        code="image-missing",
        hint=f"paths are read relative to {root}; --image-root names another folder",
    )

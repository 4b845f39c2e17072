"""Originals: the pictures that records name, as the stages fetch them."""

from __future__ import annotations

from regioncap.errors import NotFoundError, RecordError
from regioncap.records import InputRecord
from regioncap.services.store import Store, parse_s3_uri
from regioncap.settings import Settings


class Originals:
    """Reads source pictures from the buckets that may be read.

    Args:
        store: The object store.
        settings: Names the buckets and the largest picture.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._limit_bytes = settings.max_image_bytes
        self._buckets = {settings.s3_bucket, *settings.s3_source_buckets}

    def read(self, record: InputRecord) -> bytes:
        """The encoded source picture of a record.

        Raises:
            RecordError: There is none, or it may not be read.
            StoreError: The store is away.
        """
        try:
            bucket, key = parse_s3_uri(record.source or "")
        except ValueError as error:
            raise RecordError(str(error), code="bad-image-uri") from None
        if bucket not in self._buckets:
            raise RecordError(f"bucket {bucket!r} may not be read", code="bucket-not-allowed")
        try:
            return self._store.get(key, bucket=bucket, limit_bytes=self._limit_bytes)
        except NotFoundError:
            raise RecordError(f"there is no object {record.source}", code="image-missing") from None

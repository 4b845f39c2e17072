"""Originals: the pictures that records name, as the stages fetch them."""

from __future__ import annotations

from regioncap.errors import NotFoundError, RecordError
from regioncap.inputs.locate import checked_uri
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings


class Originals:
    """Reads source pictures from the buckets that may be read.

    Args:
        store: The object store.
        settings: Names the buckets and the largest picture.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def read(self, record: InputRecord) -> bytes:
        """The encoded source picture of a record.

        Raises:
            RecordError: There is none, or it may not be read.
            StoreError: The store is away.
        """
        uri = checked_uri(record.source or "", self._settings)
        try:
            return self._store.get_uri(uri, limit_bytes=self._settings.max_image_bytes)
        except NotFoundError:
            raise RecordError(f"there is no object {uri}", code="image-missing") from None

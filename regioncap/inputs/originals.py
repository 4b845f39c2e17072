"""Originals: the pictures that records name, as the stages and the outputs fetch them."""

from __future__ import annotations

from regioncap import keys
from regioncap.errors import NotFoundError, RecordError, StoreDeniedError
from regioncap.inputs.locate import check_size, checked_uri
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings

#: A source that was refused so often before is asked for once more; a permission may be about to be
#: given.
REFUSALS = 2


class Originals:
    """Reads source pictures from the buckets that may be read.

    Args:
        store: The object store.
        settings: Names the buckets and the largest picture.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def read(self, record: InputRecord, refusals: int = REFUSALS) -> bytes:
        """The encoded source picture of a record.

        Args:
            record: The record.
            refusals: How often it was refused before, as far as the caller asks again.

        Raises:
            RecordError: There is none, or it may not be read.
            StoreDeniedError: It may not be read now and is to be asked for again, or the store
                refuses all that the worker asks of it.
            StoreError: The store is away.
        """
        return self.fetch(record.source or "", refusals)

    def fetch(self, uri: str, refusals: int = REFUSALS) -> bytes:
        """A picture by its s3:// name; otherwise as `read`."""
        checked_uri(uri, self._settings)
        try:
            return self._get(uri)
        except StoreDeniedError as error:
            if refusals < REFUSALS:
                raise
            # Where nothing at all is allowed any more, that is no fault of this picture.
            any(self._store.list_keys(keys.OPEN))
            code = error.message.rpartition(": ")[2]
            raise RecordError(
                f"the store does not let the workers read {uri}: {code}",
                code="source-refused",
                hint=f"{error.hint}; then run it again: regioncap retry JOB",
            ) from error

    def _get(self, uri: str) -> bytes:
        limit_bytes = self._settings.max_image_bytes
        try:
            data = self._store.get_uri(uri, limit_bytes=limit_bytes)
        except NotFoundError:
            raise RecordError(f"there is no object {uri}", code="image-missing") from None
        check_size(uri, len(data), limit_bytes)
        return data

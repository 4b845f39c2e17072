"""Originals: the pictures that records name, as the stages and the outputs fetch them."""

from __future__ import annotations

from regioncap import keys
from regioncap.errors import NotFoundError, RecordError, StoreDeniedError
from regioncap.inputs.locate import check_size, checked_uri
from regioncap.parallel import REAL, Runtime
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings

#: Before a source that is refused is asked for again: a permission may be about to be given.
_PAUSES_S = (0.5, 1.5)


class Originals:
    """Reads source pictures from the buckets that may be read.

    Args:
        store: The object store.
        settings: Names the buckets and the largest picture.
        runtime: The clock.
    """

    def __init__(self, store: Store, settings: Settings, runtime: Runtime = REAL) -> None:
        self._store = store
        self._runtime = runtime
        self._settings = settings

    def read(self, record: InputRecord) -> bytes:
        """The encoded source picture of a record.

        Raises:
            RecordError: There is none, or it may not be read.
            StoreError: The store is away, or refuses all that the worker asks of it.
        """
        return self.fetch(record.source or "")

    def fetch(self, uri: str) -> bytes:
        """A picture by its s3:// name; raises as `read` does."""
        checked_uri(uri, self._settings)
        for pause_s in _PAUSES_S:
            try:
                return self._get(uri)
            except StoreDeniedError:
                self._runtime.sleep(pause_s)
        try:
            return self._get(uri)
        except StoreDeniedError as error:
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

"""Originals: the pictures that records name, as the stages fetch them."""

from __future__ import annotations

from regioncap.errors import NotFoundError, RecordError, StoreDeniedError
from regioncap.inputs.locate import checked_uri
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
            StoreError: The store is away, or refuses what is in our own bucket.
        """
        uri = checked_uri(record.source or "", self._settings)
        for pause_s in (*_PAUSES_S, None):
            try:
                return self._store.get_uri(uri, limit_bytes=self._settings.max_image_bytes)
            except NotFoundError:
                raise RecordError(f"there is no object {uri}", code="image-missing") from None
            except StoreDeniedError as error:
                if uri.startswith(self._store.uri("")):
                    raise
                if pause_s is None:
                    raise RecordError(
                        f"the store does not let the workers read {uri}",
                        code="source-refused",
                        hint="let them, and then run it again: regioncap retry JOB",
                    ) from error
                self._runtime.sleep(pause_s)
        raise AssertionError("unreachable")

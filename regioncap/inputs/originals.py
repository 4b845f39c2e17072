"""Originals: the pictures that records name, as the stages and the outputs fetch them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from regioncap import keys
from regioncap.errors import NotFoundError, RecordError, StoreDeniedError, StoreLateError
from regioncap.inputs.locate import check_size, checked_uri
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings

#: How often a source that is refused, or that is not there, is asked for again: a permission may be
#: about to be given, and some stores show an object a little later.
REFUSALS, LATE = 2, 1

#: How often the caller has asked before, by the code of the error that it got.
Asked = Callable[[str], int]


def for_the_last_time(_: str) -> int:
    """Of who does not ask again."""
    return sys.maxsize


class Originals:
    """Reads source pictures from the buckets that may be read.

    Args:
        store: The object store.
        settings: Names the buckets and the largest picture.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def read(self, record: InputRecord, asked: Asked = for_the_last_time) -> bytes:
        """The encoded source picture of a record.

        Args:
            record: The record.
            asked: How often the caller has asked before; by default nobody asks again.

        Raises:
            RecordError: There is none, or it may not be read.
            StoreDeniedError: It may not be read now and is to be asked for again, or the store
                refuses all that the worker asks of it.
            StoreLateError: It is not there, and is to be asked for again.
            StoreError: The store is away.
        """
        return self.fetch(record.source or "", asked)

    def fetch(self, uri: str, asked: Asked = for_the_last_time) -> bytes:
        """A picture by its s3:// name; otherwise as `read`."""
        checked_uri(uri, self._settings)
        limit_bytes = self._settings.max_image_bytes
        try:
            data = self._store.get_uri(uri, limit_bytes=limit_bytes)
        except StoreDeniedError as error:
            if asked(StoreDeniedError.code) < REFUSALS:
                raise
            # Where nothing at all is allowed any more, that is no fault of this picture.
            any(self._store.list_keys(keys.OPEN))
            code = error.message.rpartition(": ")[2]
            raise RecordError(
                f"the store does not let the workers read {uri}: {code}",
                code="source-refused",
                hint=f"{error.hint}; then run it again: regioncap retry JOB",
            ) from error
        except NotFoundError:
            if asked(StoreLateError.code) < LATE:
                raise StoreLateError(f"the store does not show {uri}") from None
            raise RecordError(f"there is no object {uri}", code="image-missing") from None
        check_size(uri, len(data), limit_bytes)
        return data

"""Marked pictures of jobs that do not keep them: removed when results stand, drawn again on demand.

Such a picture follows from the source and the job: drawn again it is the same, byte for byte, by
the same version of RegionCap and with the same `max_pixels`, where the job's model sets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from regioncap import keys
from regioncap.errors import RecordError
from regioncap.job import Job
from regioncap.jobs import grids
from regioncap.records import InputRecord, RenderedRecord
from regioncap.services.store import Store
from regioncap.views.render import render_record
from regioncap.views.view import Limits, ViewSettings


class Redrawn:
    """Draws the pictures of a job's records again.

    Args:
        store: Where the job lies.
        job: The job.
        limits: As the render workers have them.
        original: Brings a source by its s3:// name, or raises RecordError.
    """

    def __init__(
        self, store: Store, job: Job, limits: Limits, original: Callable[[str], bytes]
    ) -> None:
        self._job = job
        self._how = ViewSettings.of(job, limits, grids.of_job(store, job))
        self._original = original

    def pictures(self, record: InputRecord) -> list[tuple[str, bytes]]:
        """Key and JPEG of each picture that the engine saw; none where there is none.

        Args:
            record: The record as submitted.
        """
        if record.source is None or record.error is not None:
            return []
        try:
            data = self._original(record.source)
        except RecordError:
            return []
        return render_record(record, data, self._how)[1]

    def first(self, record: InputRecord) -> bytes | None:
        """What `image_with_bbox` would name; None where it would name nothing."""
        key = keys.marked_key(self._job.job, record.index)
        return dict(self.pictures(record)).get(key)


def remove(store: Store, records: Iterable[RenderedRecord]) -> None:
    """Removes the pictures of records; those that are gone are no error."""
    store.delete_all(view.key for record in records for view in record.all_views)

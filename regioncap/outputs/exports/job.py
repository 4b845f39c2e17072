"""The export of a job: which format, what of the results, and how many there were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regioncap.job import Job
from regioncap.outputs import exports
from regioncap.outputs.exports.base import About, Item
from regioncap.outputs.exports.items import only_verified, read_items
from regioncap.services.store import Store


@dataclass(slots=True)
class Exported:
    """What was written."""

    path: Path
    format: str
    #: Records written, failed ones among them, and those that the job has.
    records: int = 0
    failed: int = 0
    of: int = 0


def export_job(
    store: Store,
    job: Job,
    output: Path,
    original: Callable[[str], bytes],
    *,
    max_pixels: int,
    format_name: str | None = None,
    bom: bool = False,
    verified: bool = False,
    on_record: Callable[[], None] = lambda: None,
) -> Exported:
    """Writes an export of the results so far, of pictures with so many pixels at most.

    See `Client.export`.
    """
    name = format_name or exports.name_for(output)
    chosen = exports.get(name, bom=bom)
    done = Exported(output, name, of=job.records)
    about = About(job=job.job, title=job.name or f"Job {job.job}", created=job.created)

    def counted(items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            done.records += 1
            done.failed += item.record["error"] is not None
            on_record()
            yield item

    items = read_items(store, job, original, chosen.pictures, max_pixels)
    exports.export(chosen, counted(only_verified(items) if verified else items), output, about)
    return done

"""What jobs and results look like in a notebook: a small gallery, by `_repr_html_`.

All texts are escaped: what a model, an input or a file says is text and nothing else. Pictures lie
in the page itself, small, since a notebook is kept without the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from regioncap.errors import RegionCapError
from regioncap.jobs.status import JobStatus
from regioncap.outputs.pages import data_url, template
from regioncap.plurals import counted
from regioncap.views.marks.palette import PALETTE, text_rgb

#: Records of a small gallery, and regions that one of them tells of.
_RECORDS = 4
_REGIONS = 12
_WIDTH_PX = 300
_TEMPLATE = "regioncap/outputs/notebook/notebook.html.j2"
_COLOURS = {each.name: (each.rgb, text_rgb(each.rgb)) for each in PALETTE}
_GREY = ((224, 224, 224), (0, 0, 0))

#: Brings a picture by its s3:// name, small; None where there is none.
Picture = Callable[[str], bytes | None]


class JobId(str):
    """A job's id, which in a notebook shows how far the job is, and its first results."""

    __slots__ = ("_html",)
    _html: Callable[[], str]

    @classmethod
    def of(cls, job_id: str, html: Callable[[], str]) -> JobId:
        """The id of a job, shown by a function."""
        made = cls(job_id)
        made._html = html
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # what shows it is of this process

    def _repr_html_(self) -> str:
        return self._html()


class Result(dict[str, Any]):
    """A result: the fields of its line; in a notebook its picture with the captions."""

    def __init__(self, record: dict[str, Any], picture: Picture) -> None:
        super().__init__(record)
        self._picture = picture

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def _repr_html_(self) -> str:
        return gallery([self], self._picture)


class Results(Iterator[Result]):
    """Results of a job as a stream, in input order; in a notebook the first of them.

    Args:
        read: Begins to read them; asks for nothing before the first is wanted.
        picture: Brings their pictures.
        status: Tells how far the job is, for a notebook.
    """

    def __init__(
        self,
        read: Callable[[], Generator[dict[str, Any]]],
        picture: Picture,
        status: Callable[[], JobStatus],
    ) -> None:
        self._read = read
        self._picture = picture
        self._status = status
        self._records = read()
        #: A generator cannot be asked by two threads at a time.
        self._lock = threading.Lock()

    def __next__(self) -> Result:
        with self._lock:
            return Result(next(self._records), self._picture)

    def close(self) -> None:
        """Ends the stream; waits for what is being fetched."""
        with self._lock:
            self._records.close()

    def _repr_html_(self) -> str:
        return job_html(self._status(), self._read(), self._picture)


class Jobs(list[JobStatus]):
    """Some jobs, the newest first; in a notebook a table."""

    def _repr_html_(self) -> str:
        columns = ("job", "name", "state", "records", "done", "failed", "submitted (UTC)")
        rows = [
            (
                status.job, status.name, status.state, f"{status.records:,}", f"{status.done:,}",
                f"{status.failed:,}", f"{status.created:%Y-%m-%d %H:%M}",
            )
            for status in self
        ]  # fmt: skip
        return _page(columns=columns, rows=rows, foot="" if rows else "no jobs yet")


def job_html(status: JobStatus, records: Iterable[dict[str, Any]], picture: Picture) -> str:
    """How far a job is, and its first results."""
    shown = list(islice(records, _RECORDS))
    more = status.done - len(shown)
    foot = f"and {counted(more, 'more record')}" if more > 0 else ""
    return _page(head=status.parts(), records=[_card(each, picture) for each in shown], foot=foot)


def gallery(records: Iterable[dict[str, Any]], picture: Picture) -> str:
    """Some results with their pictures."""
    return _page(records=[_card(each, picture) for each in records])


def _page(**shown: Any) -> str:
    empty = {"head": (), "records": (), "columns": (), "rows": (), "foot": ""}
    return template(_TEMPLATE).render(empty | shown)


def _card(record: dict[str, Any], picture: Picture) -> dict[str, Any]:
    regions, error = record["regions"], record["error"]
    more = len(regions) - _REGIONS
    return {
        "name": str(record["image"] or f"line {record['line']}"),
        "error": f"{error['code']}: {error['message']}" if error else "",
        "image_caption": record.get("image_caption"),
        "picture": _picture_url(record, picture),
        "width": _WIDTH_PX,
        "regions": [_region(each) for each in regions[:_REGIONS]],
        "more_regions": f"and {counted(more, 'more region')}" if more > 0 else "",
    }


def _picture_url(record: dict[str, Any], picture: Picture) -> str:
    uri = record["image_with_bbox"]
    try:
        jpeg = picture(uri) if uri else None
    except RegionCapError:
        return ""  # removed, or the store is away: the captions are there
    return data_url(jpeg) if jpeg else ""


def _region(region: dict[str, Any]) -> dict[str, Any]:
    fill, ink = _COLOURS.get(region.get("colour") or "", _GREY)
    names = ("caption", "status", "why")
    return {
        "number": region["region"],
        "fill": "rgb({}, {}, {})".format(*fill),
        "ink": "rgb({}, {}, {})".format(*ink),
        **{name: region[name] for name in names},
    }

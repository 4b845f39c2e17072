"""The addresses of the page, and what each answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast, get_args
from urllib.parse import urlencode

import anyio.to_thread
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from producer import words
from producer.site import window
from producer.site.access import Access
from producer.site.catalogue import Jobs
from producer.site.pictures import Kind, Pictures
from regioncap import keys
from regioncap.client import Client
from regioncap.errors import NotFoundError, RegionCapError, ServiceError, UsageError
from regioncap.job import Job
from regioncap.jobs import picks
from regioncap.jobs.status import JobStatus
from regioncap.outputs.audit import record_flags
from regioncap.outputs.gallery.page import GalleryRecord, GallerySummary, gallery_values
from regioncap.outputs.pages import asset, csp_hash, template
from regioncap.plurals import counted

#: Requests worked on at a time; more wait.
_THREADS = 16
#: A picture of a job does not change but by a retry of its record.
_PICTURE_CACHE = "private, max-age=600"
_CLEAN_CACHE = "private, max-age=86400, immutable"


def make_app(client: Client, token: str | None, host: str, port: int) -> ASGIApp:
    """The page of a store.

    Args:
        client: Reaches the store, and Redis if there is one.
        token: What lets people in; None for everybody.
        host: The address that the server listens at.
        port: Its port.
    """
    site = Site(client)
    app = Starlette(
        routes=[
            Route("/", site.jobs),
            Route("/favicon.ico", site.icon),
            Route("/jobs/{job}", site.job),
            Route("/jobs/{job}/progress", site.progress),
            Route("/jobs/{job}/pictures/{index:int}/{kind}", site.picture),
        ],
        exception_handlers={
            RegionCapError: site.error,
            HTTPException: site.no_page,
        },
        lifespan=_limited,
    )
    return Access(app, token, host, port)


@asynccontextmanager
async def _limited(_: Starlette) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


class Site:
    """What each address answers. Handlers are plain functions: they run in threads.

    Args:
        client: Reaches the store, and Redis if there is one.
    """

    def __init__(self, client: Client) -> None:
        self._bucket = client.store.uri("").rstrip("/")
        self._store = client.store
        self._jobs = Jobs(client)
        self._pictures = Pictures(client, self._jobs.job)

    def jobs(self, request: Request) -> Response:
        """The list of jobs, the newest first."""
        after = request.query_params.get("after", "")
        text = request.query_params.get("text", "").strip()
        only_open = request.query_params.get("which") == "open"
        if after:
            keys.check_job_id(after)
        page = self._jobs.page(after=after, only_open=only_open, text=text)
        values = {
            "bucket": self._bucket,
            "page": page,
            "text": text,
            "only_open": only_open,
            "after": after,
            "next": _address("/", which="open" if only_open else "", text=text, after=page.rest)
            if page.rest
            else "",
        }
        return _page("jobs.html.j2", values)

    def job(self, request: Request) -> Response:
        """A job: how far it is, why records failed, and a page of its gallery."""
        job, status = self._found(request)
        query = request.query_params
        which, text = query.get("which", ""), query.get("text", "").strip()
        shards = self._jobs.done_shards(status)
        wanted: list[window.Wanted] = [window.saying(text)] if text else []
        if which in {"failed", "uncaptioned"}:
            shards = self._jobs.failing_shards(status)
            wanted.append(picks.failed if which == "failed" else picks.uncaptioned)
        elif which == "flagged":
            wanted.append(window.flagged(job))
        backwards = "before" in query
        start = _number(query.get("before", query.get("from", "0")), job)
        found = window.read_window(
            self._store, job, shards, wanted, start=start - backwards, backwards=backwards
        )
        values = gallery_values(
            _gallery_records(job, found.records),
            GallerySummary(job.name or job.job, _facts(job, status)),
            script=asset("producer/site/site.js"),
            style=asset("producer/site/site.css"),
        )
        turns = _turns(found, start, backwards=backwards, which=which, text=text)
        values |= (
            turns
            | _progress(status)
            | {
                "job": job,
                "which": which,
                "text": text,
                "links": {
                    name: _address(f"/jobs/{job.job}", which=name, text=text)
                    for name in ("", *get_args(picks.Pick))
                },
                "reasons": self._jobs.reasons(status) if _has_failures(status) else None,
            }
        )
        return _page("job.html.j2", values)

    def progress(self, request: Request) -> Response:
        """How far a job is, as a piece of its page."""
        _, status = self._found(request)
        return _page("progress.html.j2", _progress(status))

    def picture(self, request: Request) -> Response:
        """The picture of a record."""
        job = self._jobs.job(request.path_params["job"])
        kind = request.path_params["kind"]
        if kind not in get_args(Kind):
            raise NotFoundError("there is no such picture")
        try:
            jpeg = self._pictures.jpeg(job, request.path_params["index"], cast("Kind", kind))
        except NotFoundError:
            # A list of jobs asks for the small picture of each, whether there is one or not.
            return Response(status_code=204 if kind == "small" else 404)
        cache = _PICTURE_CACHE if kind == "marked" else _CLEAN_CACHE
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": cache})

    def icon(self, _: Request) -> Response:
        """What a tab of the browser shows."""
        return Response(
            asset("producer/site/icon.svg"),
            media_type="image/svg+xml",
            headers={"Cache-Control": _CLEAN_CACHE},
        )

    def error(self, _: Request, error: Exception) -> Response:
        """What went wrong, in the words of the command."""
        assert isinstance(error, RegionCapError)  # noqa: S101 - the type that it is registered for
        status = 500
        if isinstance(error, NotFoundError | UsageError):
            status = 404
        elif isinstance(error, ServiceError):
            status = 503
        return _page("error.html.j2", {"error": error}, status)

    def no_page(self, request: Request, error: Exception) -> Response:
        """There is no such address, or it is asked in another way."""
        assert isinstance(error, HTTPException)  # noqa: S101 - as in `error`
        if error.status_code != 404:
            return Response(status_code=error.status_code, headers=error.headers)
        return self.error(request, NotFoundError("there is no such page"))

    def _found(self, request: Request) -> tuple[Job, JobStatus]:
        job = self._jobs.job(keys.check_job_id(request.path_params["job"]))
        return job, self._jobs.status(job.job)


def _page(name: str, values: dict[str, Any], status: int = 200) -> Response:
    """A page, whose policy allows the script and the style that stand in it and nothing else."""
    known = _assets() | {"words": words, "counted": counted, "now": datetime.now(UTC)} | values
    policy = (
        "default-src 'none'; img-src 'self'; connect-src 'self'; form-action 'self';"
        f" script-src {known['script_hash']}; style-src {known['style_hash']};"
        " base-uri 'none'; frame-ancestors 'none'"
    )
    text = template(f"producer/site/{name}").render(known)
    return HTMLResponse(
        # Half of a surrogate pair may stand in a caption, and is no UTF-8.
        text.encode("utf-8", "replace"),
        status,
        headers={"Content-Security-Policy": policy},
    )


def _assets() -> dict[str, Any]:
    script = asset("producer/site/site.js")
    style = asset("regioncap/outputs/gallery/gallery.css") + asset("producer/site/site.css")
    return {
        "script": Markup(script),  # noqa: S704 # ships with the package
        "style": Markup(style),  # noqa: S704
        "script_hash": csp_hash(script),
        "style_hash": csp_hash(style),
    }


def _gallery_records(job: Job, records: list[dict[str, Any]]) -> Iterator[GalleryRecord]:
    language = window.language_of(job)
    for record in records:
        flags: dict[int, list[str]] = {}
        for flag in record_flags(record, language):
            flags.setdefault(flag.region, []).append(flag.name)
        regions = [{**each, "flags": flags.get(each["region"], [])} for each in record["regions"]]
        base = f"/jobs/{job.job}/pictures/{record['index']}"
        yield GalleryRecord(
            {**record, "regions": regions},
            clean=f"{base}/clean" if record["width"] else None,
            marked=f"{base}/marked" if _has_marked(job, record) else None,
        )


def _has_marked(job: Job, record: dict[str, Any]) -> bool:
    if job.settings.keep_marked:
        return bool(record["image_with_bbox"])
    return bool(record["valid_bboxes_num"]) and job.settings.region_mode != "crop"


def _turns(
    found: window.Window, start: int, *, backwards: bool, which: str, text: str
) -> dict[str, Any]:
    """Where the pages beside this one begin, and what stands on this one."""
    shown = [record["index"] for record in found.records]
    before: int | None
    after: int | None
    if backwards:
        # What lies behind the page is known to be there: the reader came from it.
        before, after = (None if found.rest is None else found.rest + 1), start
    else:
        before, after = (start or None), found.rest
    return {
        "shown": shown,
        "previous": None if before is None else _address("", which=which, text=text, before=before),
        "next": None if after is None else _address("", which=which, text=text, **{"from": after}),
        #: The time was over before the page was full.
        "cut": found.rest is not None and len(shown) < window.PAGE_RECORDS,
    }


def _progress(status: JobStatus) -> dict[str, Any]:
    passed_s = status.worked_s
    if passed_s is None:
        passed_s = ((status.finished or datetime.now(UTC)) - status.created).total_seconds()
    passed_s = max(1e-3, passed_s)
    per_s, left = status.done / passed_s, status.records - status.done
    return {
        "status": status,
        "per_s": per_s,
        "left_s": left / per_s if status.done and not status.rests else None,
        "took_s": passed_s,
    }


def _has_failures(status: JobStatus) -> bool:
    return bool(status.failed or status.regions > status.regions_ok)


def _facts(job: Job, status: JobStatus) -> dict[str, str]:
    settings = job.settings
    facts = {
        "job": job.job if job.name else "",
        "from": job.source,
        "labels": ", ".join(f"{key}={value}" for key, value in job.labels.items()),
        "queue": settings.queue if settings.queue != "caption" else "",
        "prompt": settings.prompt if settings.prompt != "default" else "",
        "audit": status.audit.line() if status.audit else "",
        "results": status.results,
    }
    return {name: value for name, value in facts.items() if value}


def _address(path: str, **query: object) -> str:
    given = {name: value for name, value in query.items() if value not in {"", None}}
    return f"{path}?{urlencode(given)}" if given else path or "?"


def _number(text: str, job: Job) -> int:
    """A record's index as an address names it; one that lies outside is the nearest one."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise UsageError(f"{text[:40]!r} is no number of a record", code="bad-address")
    return min(int(text), job.records)

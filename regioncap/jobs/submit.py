"""Submitting: from input lines to a job in the store and messages in the queue.

Sources are uploaded under the hash of their bytes, so that no picture is sent twice. All of a job
is in the store before its first message is sent: if Redis is away then, nothing is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from regioncap import keys
from regioncap.errors import NotFoundError, RecordError, UsageError
from regioncap.inputs.distinct import Distinct
from regioncap.inputs.source import no_records
from regioncap.inputs.totals import Totals
from regioncap.inputs.validate import Checked, Checker, header_of
from regioncap.job import Grid, Job
from regioncap.jobs import catalogue
from regioncap.jobs.keyed import Claim
from regioncap.keys import FRESH
from regioncap.parallel import REAL, Runtime, map_ahead
from regioncap.plurals import counted
from regioncap.records import InputRecord, Problem, dump_lines
from regioncap.services.store import Store
from regioncap.settings import Settings
from regioncap.views.formats import extension_of
from regioncap.views.prompts import (
    FOR_FIELDS,
    built_in,
    of_sentence,
    parse_template,
    template_of,
)
from regioncap.views.region_schema import RegionSchema, load_schema

#: Input parts that are being written, and those taken and not yet written.
_PARTS_AT_A_TIME = 4
_PARTS_AHEAD = 8
_DEFAULT_GRID = Grid()


@dataclass(frozen=True, slots=True)
class Words:
    """What a job asks, checked."""

    settings: Settings
    #: Text of the user's own prompt template; empty for one that is built in.
    template: str
    schema: RegionSchema | None


@dataclass(slots=True)
class Tally:
    """What a submission has done so far."""

    #: Records that cannot be captioned, as it shows already.
    rejected: int = 0
    #: Pictures that were sent.
    uploaded: int = 0
    uploaded_bytes: int = 0
    #: Pictures that were in the store already, each once.
    known: int = 0
    #: Whether the job was there, under its key, before it was submitted.
    job_was_there: bool = False
    #: What was found of the records.
    totals: Totals = field(default_factory=Totals)


class Uploader:
    """Brings the pictures of records into the store.

    Args:
        store: Where they go.
        settings: Limits, and the buckets that may be named.
        checker: Finds the pictures, and checks what it is given of them.
        tally: Counted up as pictures are dealt with.
        sends: Whether pictures are sent that are not there yet.
        runtime: The clock and the threads.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        checker: Checker,
        tally: Tally,
        *,
        sends: bool = True,
        runtime: Runtime = REAL,
    ) -> None:
        self._store = store
        self._max_pixels = settings.max_image_pixels
        self._checker = checker
        self._tally = tally
        self._sends = sends
        self._turns = runtime.condition()
        self._runtime = runtime
        #: Keys that a thread is bringing.
        self._in_hand: set[str] = set()
        self._dealt_with = Distinct()

    def upload(self, record: InputRecord) -> tuple[InputRecord, Checked]:
        """Sets the record's source, or its error; and says what was found of it."""
        if record.error is not None:
            return record, self._checker.rejected(record)
        try:
            return record, self._bring(record)
        except RecordError as error:
            checked = self._checker.unreadable(record, error)
            record.error, record.picture = Problem.of(error, "submit"), None
            return record, checked

    def _bring(self, record: InputRecord) -> Checked:
        place = self._checker.locator.find(record)
        record.picture = None  # not needed any more, and perhaps large
        if isinstance(place, str):
            record.source = place
            return self._checker.checked(record, place, None)
        data = place.read()
        header = header_of(data, self._max_pixels)
        record.source = self._store.uri(self._put(data))
        return self._checker.checked(record, place, header)

    def _is_known(self, key: str) -> bool:
        """Whether a picture is there, and stays until the job says that it needs it."""
        written = self._store.modified(key)
        if written is None:
            return False
        if self._runtime.now() - written > FRESH:
            try:
                self._store.touch(key)
            except NotFoundError:
                return False  # removed just now
        return True

    def _put(self, data: bytes) -> str:
        key = keys.image_key(hashlib.sha256(data).hexdigest(), extension_of(data))
        if not self._sends:
            self._note(key, known=True)
            return key
        with self._turn(key):
            known = self._is_known(key)
            if not known:
                self._store.put(key, data)
            self._note(key, known=known, sent_bytes=0 if known else len(data))
        return key

    def _note(self, key: str, *, known: bool, sent_bytes: int = 0) -> None:
        """Counts a picture up, but for one that this submission has brought or found before."""
        with self._turns:
            is_new = self._dealt_with.is_new(key)
            self._tally.known += known and is_new
            self._tally.uploaded += not known
            self._tally.uploaded_bytes += sent_bytes

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """One thread at a time for each key: neighbours often name the same picture."""
        with self._turns:
            self._turns.wait_for(lambda: key not in self._in_hand)
            self._in_hand.add(key)
        try:
            yield
        finally:
            with self._turns:
                self._in_hand.remove(key)
                self._turns.notify_all()


def template_text(prompt: str) -> str:
    """Text of the user's own prompt template, checked; empty for one that is built in.

    Args:
        prompt: The name of a template, a TOML file, or what to ask: a sentence of several words.

    Raises:
        UsageError: The file cannot be read or is no template, or there is no such template.
    """
    if len(prompt.split()) > 1 and not prompt.endswith(".toml"):
        return of_sentence(prompt)
    if not prompt.endswith(".toml"):
        built_in(prompt)
        return ""
    try:
        text = Path(prompt).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{prompt} cannot be read: {error}", code="no-prompt-file") from error
    parse_template(text, prompt)
    return text


def words_of(settings: Settings) -> Words:
    """What a job of these settings asks.

    Raises:
        UsageError: As `template_text`; `bad-schema`; or the two do not fit.
    """
    if not settings.region_schema:
        return Words(settings, template_text(settings.prompt), None)
    schema = load_schema(settings.region_schema)
    if settings.prompt == "default":
        settings = settings.for_job({"prompt": FOR_FIELDS})
    text = template_text(settings.prompt)
    if template_of(settings.prompt, text).answer != "json":
        raise UsageError(
            f"the prompt template {settings.prompt} asks for text, and a schema needs JSON",
            code="bad-prompt-template",
            hint=f"leave --prompt out, or take {FOR_FIELDS} or a template with answer = 'json'",
        )
    return Words(settings, text, schema)


def submit(
    records: Iterable[InputRecord],
    *,
    store: Store,
    settings: Settings,
    root: Path,
    image_root: Path | None = None,
    source: str = "",
    name: str = "",
    labels: dict[str, str] | None = None,
    prompt_template: str = "",
    region_schema: RegionSchema | None = None,
    grid: Grid = _DEFAULT_GRID,
    key: str = "",
    on_progress: Callable[[Tally], None] = lambda _: None,
    threads: int = 8,
    runtime: Runtime = REAL,
) -> tuple[Job, Tally]:
    """Uploads pictures, writes the input parts and then job.json; queues nothing.

    Args:
        records: The records, from 0 on, in order.
        store: Where all goes.
        settings: The job's settings are taken from here.
        root: Folder that image paths are relative to.
        image_root: The folder that the user names for pictures, if any.
        source: Where the records came from, for people to read.
        name: The user's name for the job.
        labels: The user's labels.
        prompt_template: Text of the prompt template, if it is the user's own.
        region_schema: Which fields are asked for beside captions.
        grid: How the model takes pictures.
        key: The user's key, under which there is to be one job; see `regioncap.jobs.keyed`.
        on_progress: Called from the caller's thread after each record.
        threads: Uploads at a time.
        runtime: The clock and the threads.

    Returns:
        The job and what was done. With a key it is the one that was there, if there was one.

    Raises:
        UsageError: There are no records; or the key is that of another job (`key-taken`).
        StoreError: The store cannot be reached; there is no job then.
    """
    tally = Tally()
    claim = Claim(store, key) if key else None
    standing = None if claim is None else claim.standing
    checker = Checker(settings, root, source, image_root)
    uploader = Uploader(store, settings, checker, tally, sends=standing is None, runtime=runtime)
    job_id = keys.new_job_id()
    if claim is not None:
        claim.check_asked(settings.job_settings(), prompt_template, region_schema)

    def put(part: tuple[int, list[InputRecord]]) -> None:
        shard, held = part
        if shard >= keys.MAX_SHARDS:
            raise UsageError(
                f"more than {keys.MAX_SHARDS:,} shards of {counted(settings.shard_size, 'record')}",
                code="too-many-shards",
                hint="give a larger --shard-size, or submit the input in parts",
            )
        if claim is not None and standing is not None:
            claim.check_shard(shard, held)
            return
        if claim is not None:
            claim.content.add(shard, held)
        store.put(keys.part_key(job_id, "input", shard), dump_lines(held), "application/x-ndjson")

    uploaded = map_ahead(
        uploader.upload,
        records,
        threads=threads,
        size_bytes=InputRecord.held_bytes,
        runtime=runtime,
    )
    with closing(uploaded):
        seen = (_count(tally, *each, on_progress) for each in uploaded)
        parts = enumerate(_batches(seen, settings.shard_size))
        written = map_ahead(
            put, parts, threads=_PARTS_AT_A_TIME, ahead=_PARTS_AHEAD, runtime=runtime
        )
        shards = sum(1 for _ in written)
    if not shards:
        raise no_records(source)
    if claim is not None and standing is not None:
        claim.check_end(tally.totals.records)
        tally.job_was_there = True
        return standing, tally
    job = Job(
        job=job_id,
        created=runtime.now(),
        name=name,
        labels=labels or {},
        key=key,
        source=source,
        records=tally.totals.records,
        shards=shards,
        rejected=tally.rejected,
        settings=settings.job_settings(),
        prompt_template=prompt_template,
        region_schema=region_schema,
        grid=grid,
    )
    if claim is None:
        catalogue.save(store, job)
        return job, tally
    taken = claim.take(job)
    tally.job_was_there = taken.job != job.job
    return taken, tally


def _batches(records: Iterator[InputRecord], size: int) -> Iterator[list[InputRecord]]:
    while batch := list(islice(records, size)):
        yield batch


def _count(
    tally: Tally, record: InputRecord, checked: Checked, on_progress: Callable[[Tally], None]
) -> InputRecord:
    tally.rejected += record.error is not None
    tally.totals.add(checked)
    on_progress(tally)
    return record

"""Reuse: captions of earlier jobs, found by a fingerprint of all that they depend on.

When a record is captioned, one object is written besides the results:

    captions/<2 digits>/<fingerprint>.json     the captions, and which job made them

The fingerprint is the SHA-256 of all that an answer depends on: the picture's bytes, its boxes and
marks, the words, the sampling, the engine, the model and its revision. A job submitted with
`--reuse` looks each record up under its fingerprint: one GET a record, whatever the number of
earlier jobs. A change of anything makes another fingerprint, so that nothing ever needs to be
thrown away. What it costs is one PUT of about 1 KB a record, next to the three or more requests
that the record's pictures take; `keep_captions = false` saves it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress

from pydantic import BaseModel, Field, ValidationError

from regioncap import keys
from regioncap.captions.conversation import Captioned
from regioncap.engines.base import Engine
from regioncap.errors import StoreError
from regioncap.job import Job
from regioncap.records import EngineAnswer, Region, RenderedRecord, dump_json
from regioncap.services.store import Store
from regioncap.views import prompts

#: Fields of a region that engines write, and versions before knew nothing of.
_UNKNOWN = {"attributes", "verified", "verified_as"}
#: Part of each fingerprint; a new one makes all earlier captions unknown.
_VERSION = 1


class _Kept(BaseModel):
    """A captioned record as it is kept."""

    #: Where the captions were made.
    job: str
    index: int
    answers: list[EngineAnswer] = Field(default_factory=list)
    #: As earlier versions kept them.
    texts: list[str] = Field(default_factory=list)
    finish_reason: str | None
    regions: list[Region]
    image_caption: str | None = None


def fingerprint(record: RenderedRecord, job: Job, engine: Engine) -> str | None:
    """What names the captions of a record: hexadecimal SHA-256.

    Args:
        record: As rendered, before it is captioned.
        job: The record's job.
        engine: The engine that would caption it.

    Returns:
        None if there is nothing to caption, or the picture's hash is not known.
    """
    if record.error is not None or record.source_sha256 is None or not record.all_views:
        return None
    sampled = {"temperature", "top_p", "max_tokens", "seed"}
    parts = {
        "version": _VERSION,
        "image": record.source_sha256,
        # What engines write of a region is not known yet.
        "regions": [region.model_dump(exclude=_UNKNOWN) for region in record.regions],
        # The key of the marked picture differs from job to job; the picture does not.
        "views": [view.model_dump(exclude={"key"}) for view in record.views],
        # Regions left out are asked for again in words of the template's own.
        "template": [
            prompts.template_of(job.settings.prompt, job.prompt_template).version,
            job.prompt_template,
        ],
        "sampling": job.settings.model_dump(include=sampled),
        "engine": [engine.name, engine.model, engine.model_revision],
    }
    if job.settings.verify != "no":
        parts["verify"] = job.settings.verify
    if job.region_schema is not None:
        parts["schema"] = job.region_schema
    if record.whole is not None:
        parts["whole"] = record.whole.model_dump(exclude={"key"})
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class KeptCaptions:
    """The captions of all jobs, by fingerprint.

    Args:
        store: Where they lie.
        pool: Runs requests to the store.
    """

    def __init__(self, store: Store, pool: Executor) -> None:
        self._store = store
        self._pool = pool

    def find(
        self, records: Sequence[RenderedRecord], names: Mapping[int, str]
    ) -> dict[int, Captioned]:
        """Captions made earlier.

        Args:
            records: Records of one shard.
            names: Their fingerprints, by index.

        Returns:
            By index, those that are known.
        """
        asked = [record for record in records if record.index in names]
        caption_keys = [keys.captions_key(names[record.index]) for record in asked]
        found = self._pool.map(self._store.find, caption_keys)
        taken = (_take_over(r, text) for r, text in zip(asked, found, strict=True) if text)
        return {captioned.record.index: captioned for captioned in taken if captioned}

    def keep(self, done: Sequence[Captioned], names: Mapping[int, str], job: Job) -> None:
        """Keeps captions for later jobs; those that are not whole are left out.

        A store that fails now fails the results too, or costs a later job these captions.
        """
        whole = [each for each in done if each.record.index in names and _is_whole(each)]
        with suppress(StoreError):
            for _ in self._pool.map(lambda each: self._put(each, names, job), whole):
                pass

    def _put(self, captioned: Captioned, names: Mapping[int, str], job: Job) -> None:
        index = captioned.record.index
        kept = _Kept(
            job=job.job,
            index=index,
            answers=captioned.answers,
            finish_reason=captioned.finish_reason,
            regions=captioned.record.regions,
            image_caption=captioned.record.image_caption,
        )
        key = keys.captions_key(names[index])
        self._store.put(key, dump_json(kept), "application/json")


def _take_over(record: RenderedRecord, text: bytes) -> Captioned | None:
    try:
        kept = _Kept.model_validate_json(text)
    except ValidationError:
        return None  # of another version: captioned anew, and overwritten
    same = record.model_copy(update={"regions": kept.regions, "image_caption": kept.image_caption})
    return Captioned(
        same,
        answers=kept.answers or [EngineAnswer(text=text) for text in kept.texts],
        finish_reason=kept.finish_reason,
        reused={"job": kept.job, "index": kept.index},
    )


def _is_whole(captioned: Captioned) -> bool:
    """Whether the engine said something of every region, so that asking again is no use."""
    record = captioned.record
    if record.whole is not None and record.image_caption is None:
        return False
    return record.error is None and all(
        region.status in {"ok", "refused"} or not region.is_asked_for for region in record.regions
    )

"""The audit of a job: flags by region, summed up, with near duplicates over all of its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from regioncap.errors import StoreError
from regioncap.job import Job
from regioncap.jobs import audits, catalogue, picks, results
from regioncap.jobs.audits import DuplicateGroup, FlaggedRegion, JobAudit
from regioncap.outputs.audit.flags import CaptionedRegion, Flag, flags
from regioncap.outputs.audit.near_duplicates import NearDuplicates
from regioncap.services.store import Store
from regioncap.views import prompts

_EXAMPLES = 3
_GROUPS = 10


def record_flags(record: Mapping[str, Any], language: str = "") -> list[Flag]:
    """What looks wrong with the captions of one result.

    Regions that no caption was asked for have no flags: their box or the record is at fault.

    Args:
        record: A result in the output's form.
        language: ISO 639-1 code of the language asked for; empty if any will do.
    """
    return flags(_asked(record), language=language)


def _asked(record: Mapping[str, Any]) -> list[CaptionedRegion]:
    if record["error"] is not None:
        return []
    return [
        CaptionedRegion(
            region=region["region"],
            status=region["status"],
            caption=region["caption"],
            why=region["why"],
            colour=region.get("colour", ""),
            verified=region.get("verified"),
            verified_as=region.get("verified_as"),
        )
        for region in record["regions"]
        if region["view"] is not None
    ]


class Auditor:
    """Goes through the results of a job in order, each once.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        self._language = prompts.template_of(job.settings.prompt, job.prompt_template).language
        self._report = JobAudit(job=job.job)
        self._by_flag: Counter[str] = Counter()
        self._duplicates = NearDuplicates()
        self._examples: dict[str, list[FlaggedRegion]] = {}

    def look(self, record: Mapping[str, Any]) -> list[FlaggedRegion]:
        """Counts a result, and says what was found in it."""
        asked = _asked(record)
        found = flags(asked, language=self._language)
        self._count(record, asked, found)
        findings = [_flagged_region(record, flag) for flag in found]
        for finding in findings:
            examples = self._examples.setdefault(finding.flag, [])
            if len(examples) < _EXAMPLES:
                examples.append(finding)
        for region in asked:
            key = f"{record['index']}/{region.region}"
            first = self._duplicates.add(key, region.caption or "")
            if first is not None:
                repeats = Flag(region.region, picks.NEAR_DUPLICATE, first)
                findings.append(_flagged_region(record, repeats))
        return findings

    def _count(
        self, record: Mapping[str, Any], asked: list[CaptionedRegion], found: list[Flag]
    ) -> None:
        report = self._report
        report.records += 1
        report.failed += picks.failed(record)
        report.records_flagged += picks.flagged(flag.name for flag in found)
        report.regions += len(asked)
        report.regions_flagged += len({flag.region for flag in found})
        self._by_flag.update(flag.name for flag in found)

    def annotated(self, record: dict[str, Any]) -> dict[str, Any]:
        """The result with the names of its flags in `regions[].flags`, as the gallery takes it."""
        names: dict[int, list[str]] = {}
        for finding in self.look(record):
            names.setdefault(finding.region, []).append(finding.flag)
        regions = [
            {**region, "flags": names.get(region["region"], [])} for region in record["regions"]
        ]
        return {**record, "regions": regions}

    def report(self) -> JobAudit:
        """The sums so far."""
        report = self._report.model_copy()
        report.flags = dict(self._by_flag.most_common())
        report.near_duplicates = self._duplicates.duplicates
        report.duplicate_groups = [
            DuplicateGroup(first=group.key, count=group.count, caption=group.caption)
            for group in self._duplicates.largest(_GROUPS)
        ]
        report.examples = [finding for found in self._examples.values() for finding in found]
        return report


def audit_job(
    store: Store,
    job: Job,
    on_finding: Callable[[FlaggedRegion], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> JobAudit:
    """Audits the results so far; what is said of a finished job is kept for others to tell.

    Args:
        store: Where they lie.
        job: The job.
        on_finding: Called for each finding.
        tell: Told if it cannot be kept.
    """
    before = catalogue.find_success(store, job.job)
    auditor = Auditor(job)
    for record in results.read(store, job):
        for finding in auditor.look(record):
            on_finding(finding)
    report = auditor.report()
    after = catalogue.find_success(store, job.job)
    # Results that changed meanwhile are not those that it looked at.
    if before is not None and after is not None and before.finished == after.finished:
        report.finished = after.finished
        try:
            audits.keep(store, report)
        except StoreError as error:
            tell(f"not kept for status and gallery: {error.message}")
    return report


def _flagged_region(record: Mapping[str, Any], flag: Flag) -> FlaggedRegion:
    region = record["regions"][flag.region - 1]
    return FlaggedRegion(
        index=record["index"],
        id=record["id"],
        image=record["image"],
        region=flag.region,
        flag=flag.name,
        detail=flag.detail,
        caption=region["caption"],
    )


def flagged_indices(store: Store, job: Job) -> set[int]:
    """Records, by index, in which a caption has a flag of its own; near duplicates are none."""
    language = prompts.template_of(job.settings.prompt, job.prompt_template).language
    return {
        record["index"] for record in results.read(store, job) if record_flags(record, language)
    }

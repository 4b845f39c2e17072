"""What an audit said of a finished job, kept beside it, so that all tell the same numbers.

`regioncap audit` writes `jobs/<job>/audit.json`; status and gallery read it while the results are
still those that it looked at.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field, ValidationError

from regioncap import keys
from regioncap.errors import NewerFormatError
from regioncap.job import Summary
from regioncap.plurals import counted
from regioncap.records import SCHEMA_VERSION, FormatVersion, dump_json
from regioncap.services.store import Store


class FlaggedRegion(BaseModel):
    """A flagged region."""

    index: int
    id: str | int | None = None
    image: str | None = None
    region: int
    flag: str
    detail: str = ""
    caption: str | None = None


class DuplicateGroup(BaseModel):
    """Captions that are nearly the same."""

    #: The first that has it, as record index and region: `12/3`.
    first: str
    count: int
    caption: str


class JobAudit(BaseModel):
    """What the audit says of a job so far."""

    schema_version: FormatVersion = SCHEMA_VERSION
    job: str
    #: When the results that it looked at were finished; None if they were not.
    finished: datetime | None = None
    records: int = 0
    #: Records without any caption; what their regions lack is not counted below.
    failed: int = 0
    records_flagged: int = 0
    #: Regions that a caption was asked for.
    regions: int = 0
    regions_flagged: int = 0
    #: Regions by flag, the most frequent first.
    flags: dict[str, int] = Field(default_factory=dict)
    #: Captions that nearly repeat an earlier one; a lower bound in very large jobs.
    near_duplicates: int = 0
    duplicate_groups: list[DuplicateGroup] = Field(default_factory=list)
    #: The first few regions of each flag.
    examples: list[FlaggedRegion] = Field(default_factory=list)

    def line(self) -> str:
        """The sums in one line for people."""
        of_records = f"in {counted(self.records_flagged, 'record')}"
        flagged = f"{counted(self.regions_flagged, 'region')} {of_records} flagged"
        return (
            f"{flagged if self.regions_flagged else 'none flagged'}, "
            f"{counted(self.near_duplicates, 'near duplicate')}"
        )


def keep(store: Store, audit: JobAudit) -> None:
    """Keeps the audit of a finished job.

    Raises:
        StoreError: The store is away, or does not let this user write.
    """
    store.put(keys.audit_key(audit.job), dump_json(audit), "application/json")


def kept(store: Store, job_id: str, success: Summary) -> JobAudit | None:
    """The audit of the results that stand; None if there is none, or it is of earlier ones."""
    text = store.find(keys.audit_key(job_id))
    if text is None:
        return None
    try:
        audit = JobAudit.model_validate_json(text)
    except (ValidationError, NewerFormatError):
        return None  # another version's: the next audit replaces it
    return audit if audit.finished == success.finished else None

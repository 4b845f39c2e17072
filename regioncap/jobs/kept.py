"""Earlier versions of a job's results: what a change replaces is kept first.

    jobs/<job>/versions/0001/_SUCCESS           of the results as they were; written first
    jobs/<job>/versions/0001/part-00000.jsonl   a part that was changed after it
    jobs/<job>/versions/0002/...                before the next change

The part of a version is in its folder, or else in that of the next version that has it, or else in
the results.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property

from regioncap import keys
from regioncap.job import Job
from regioncap.services.store import Store


class Version:
    """The results as a `_SUCCESS` names them.

    Args:
        store: Where they lie.
        job: The job.
        success: That `_SUCCESS`, whole.
    """

    def __init__(self, store: Store, job: Job, success: bytes) -> None:
        self._store = store
        self._job = job.job
        self._success = success

    def keep(self, shard: int, part: bytes) -> bool:
        """Keeps a part that is to be replaced; False if this version has other bytes."""
        sha256 = hashlib.sha256(part).hexdigest()
        if self._hashes.get(keys.part_key(self._job, "results", shard)) != sha256:
            return False
        self._store.put_new(self.prefix + keys.part_name(shard), part, "application/x-ndjson")
        return True

    @cached_property
    def prefix(self) -> str:
        """What the version's objects start with; it has its number from now on."""
        number = 1
        while True:
            prefix = keys.version_prefix(self._job, number)
            if self._store.put_new(f"{prefix}_SUCCESS", self._success, "application/json"):
                return prefix
            number += 1

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {part["key"]: part["sha256"] for part in json.loads(self._success)["parts"]}


def newest(store: Store, job_id: str) -> bytes | None:
    """`_SUCCESS` of the last version before the results."""
    number, success = 1, None
    while kept := store.find(f"{keys.version_prefix(job_id, number)}_SUCCESS"):
        number, success = number + 1, kept
    return success

"""What is promised holds in every life; and where a cure is taken away, a life shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from regioncap import keys
from regioncap.inputs.originals import REFUSALS
from regioncap.jobs import catalogue, finish, markers, retry
from regioncap.jobs.kept import Version
from regioncap.jobs.trial import Trial
from regioncap.services.leases import Pulse
from regioncap.services.store import Store
from regioncap.services.waits import Look
from tests.simulation.run import Met, fault_names, live, live_some, table, tell
from tests.simulation.s3 import Conditions

#: More are lived by `make simulate`.
LIVES = 24
#: A missing cure is noticed within so many lives.
SOON = 600


@pytest.mark.parametrize("nth", range(2))
def test_every_promise_holds(nth: int) -> None:
    broken, met, sums = live_some(range(nth * LIVES // 2, (nth + 1) * LIVES // 2))

    assert not broken
    assert met.total() > LIVES // 2
    assert sums["answers of the engine"] >= sums["records"] / 2  # cancelled jobs have none


@pytest.mark.parametrize("conditions", ["ignored", "unknown"])
def test_every_promise_holds_in_a_store_without_conditions(conditions: Conditions) -> None:
    broken, _, _ = live_some(range(LIVES // 2), conditions)

    assert not broken


def test_a_life_is_the_same_each_time() -> None:
    told = list(tell(7))

    assert told == list(tell(7))
    assert any("submit" in line for line in told)


def test_the_table_has_a_row_for_each_fault_also_for_one_that_met_nobody() -> None:
    met = Met(
        {("killed", "submit", "s3 put job.json"): 3, ("killed", "janitor", "s3 list open"): 1}
    )
    rows = {line[:28].strip(): line[28:].split() for line in table(met)}

    assert rows["killed"] == ["4", "3", "0", "0", "0", "0", "0", "0", "0", "1"]
    assert set(fault_names()) <= rows.keys()
    assert rows["paused"] == ["0"] * 10


def _put(store: Store, key: str, data: bytes, *_: str, **__: bool) -> str:
    """A write that asks nothing of what is there."""
    store.put(key, data)
    found = store.find_tagged(key)
    return found.etag if found else "gone"


def unconditional_replacing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "put_matching", _put)


def unconditional_making(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "put_new", _put)


class _Any(str):
    """Equal to every ETag."""

    __hash__ = str.__hash__

    def __ne__(self, other: object) -> bool:
        return False


def trust_in_redis(patch: pytest.MonkeyPatch) -> None:
    known = finish._known

    def trusted(*given: Any) -> list[dict[str, Any] | None]:
        return [summary and summary | {"etag": _Any()} for summary in known(*given)]

    patch.setattr(finish, "_known", trusted)


def words_not_spared(patch: pytest.MonkeyPatch) -> None:
    wish = retry._wish
    patch.setattr(retry, "_wish", lambda part, flagged, **_: wish(part, flagged, edited=True))


def nothing_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Version, "keep", lambda *_: True)
    patch.setattr(Version, "prefix", "")


def retries_overlooked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(catalogue, "parts", _parts_but_retries)


def _parts_but_retries(
    store: Store, job_id: str, kind: keys.Parts, parts: Any = catalogue.parts
) -> set[int]:
    return set() if kind == "retry" else parts(store, job_id, kind)


@contextmanager
def _unmarked(*_: Any, **__: Any) -> Iterator[None]:
    yield


def no_markers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(markers, "changing", _unmarked)


def nobody_in_doubt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trial, "try_out", lambda *_, **__: None)


def leases_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pulse, "left_s", math.inf)


def refused_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Look, "tries_of", lambda *_: REFUSALS)


CURES = (
    unconditional_replacing, unconditional_making, trust_in_redis, words_not_spared, nothing_kept,
    retries_overlooked, no_markers,
    nobody_in_doubt, leases_for_ever, refused_at_once,
)  # fmt: skip


@pytest.mark.more  # of the test, not of the product
@pytest.mark.parametrize("take_away", CURES)
def test_a_cure_that_is_missing_is_noticed(
    take_away: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(monkeypatch)

    assert any(live(seed)[0] for seed in range(SOON))

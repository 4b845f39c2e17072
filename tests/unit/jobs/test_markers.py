"""Changes of one job: kept apart by the store's conditions, or else by their markers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from regioncap import keys
from regioncap.errors import StoreError
from regioncap.jobs import markers
from regioncap.parallel import Runtime
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation import s3
from tests.simulation.gate import Gate

JOB = "20260101-000000-aaaaaa"


class Clock(Gate, Runtime):
    """The time of store and client."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now_s(self) -> float:
        return self.moment.timestamp()

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def store_that(conditions: s3.Conditions, clock: Clock) -> Store:
    server = s3.with_bucket(conditions)
    return s3.store_of(server, Settings(), clock)


@pytest.mark.parametrize("conditions", ["ignored", "unknown"])
def test_without_conditions_one_at_a_time(conditions: s3.Conditions, clock: Clock) -> None:
    store = store_that(conditions, clock)

    with markers.changing(store, JOB, alone=clock):
        with pytest.raises(StoreError, match="being changed") as caught:  # noqa: SIM117
            with markers.changing(store, JOB, alone=clock):
                pytest.fail("two at once")
        with markers.changing(store, "20260101-000000-bbbbbb", alone=clock):
            pass  # another job is another matter
        assert "docs/stores.md" in caught.value.hint
    with markers.changing(store, JOB, alone=clock):
        pass
    assert len(markers.settled(store, JOB, clock)) == 3


def test_without_conditions_one_that_died_is_waited_for_an_hour(clock: Clock) -> None:
    store = store_that("ignored", clock)
    store.put(keys.open_key(JOB, "dead"), b"a change is being made")

    with pytest.raises(StoreError), markers.changing(store, JOB, alone=clock):
        pytest.fail("too early")
    clock.moment += timedelta(hours=1, seconds=1)
    with markers.changing(store, JOB, alone=clock):
        pass


def test_with_conditions_nobody_waits(clock: Clock) -> None:
    store = store_that("kept", clock)

    with (
        markers.changing(store, JOB, alone=clock),
        markers.changing(store, JOB, alone=clock),
    ):
        pass

"""A suspect shard is run in halves: the innocent together, and the bad record is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis

from regioncap.records import InputRecord
from regioncap.services.attempts import RECORD_DEATHS, Attempts, Quarantine
from tests.simulation.valkey import Client, Server

JOB = "20260101-000000-aaaaaa"
RECORDS = [InputRecord(index=index, line=index + 1) for index in range(64, 96)]


class DiedError(Exception):
    """The process is gone."""


class Turns:
    """Turns at a shard with bad records, until one comes to its end.

    Args:
        bad: Their places.
    """

    def __init__(self, bad: set[int]) -> None:
        self._bad = bad
        self._client: redis.Redis = Client(Server(lambda: 0.0))
        #: How many records were run together, in each go.
        self.goes: list[int] = []
        self.deaths = 0

    def run(self) -> list[str]:
        while True:
            attempts = Attempts(self._client, JOB, "caption", 2)
            try:
                return Quarantine(attempts).in_halves(
                    RECORDS, self._work, lambda record, problem: f"{record.index} {problem.code}"
                )
            except DiedError:
                self.deaths += 1

    def _work(self, records: Sequence[InputRecord]) -> list[str]:
        self.goes.append(len(records))
        if any(record.index in self._bad for record in records):
            raise DiedError
        return [f"{record.index} ok" for record in records]


def test_where_none_is_bad_it_takes_two_goes() -> None:
    turns = Turns(set())
    assert turns.run() == [f"{record.index} ok" for record in RECORDS]
    assert turns.goes == [16, 16]


@pytest.mark.parametrize("bad", [64, 77, 95])
def test_one_bad_record_is_found_in_steps_that_halve(bad: int) -> None:
    turns = Turns({bad})
    found = turns.run()
    assert [line for line in found if not line.endswith("ok")] == [f"{bad} poison"]
    assert len(found) == len(RECORDS)
    assert turns.deaths == 4 + RECORD_DEATHS  # 16, 8, 4, 2, and alone


def test_all_are_bad() -> None:
    turns = Turns({record.index for record in RECORDS})
    assert turns.run() == [f"{record.index} poison" for record in RECORDS]

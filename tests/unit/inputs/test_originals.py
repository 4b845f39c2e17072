"""A source that may not be read is its record's error; that nothing may be read is nobody's."""

from __future__ import annotations

import pytest

from regioncap.errors import RecordError, StoreDeniedError
from regioncap.inputs.originals import REFUSALS, Originals
from regioncap.records import InputRecord
from regioncap.settings import Settings
from tests.simulation import s3
from tests.simulation.gate import Gate


class Counted(Gate):
    def __init__(self) -> None:
        self.requests = 0

    def enter(self, request: str) -> None:
        self.requests += 1


@pytest.fixture
def server() -> s3.S3Server:
    made = s3.S3Server()
    made.buckets |= {"regioncap": {}, "partner": {}}
    return made


@pytest.fixture
def gate() -> Counted:
    return Counted()


@pytest.fixture
def originals(server: s3.S3Server, gate: Counted) -> Originals:
    settings = Settings(s3_source_buckets=["partner"])
    return Originals(s3.store_of(server, settings, gate), settings)


def source(uri: str) -> InputRecord:
    return InputRecord(index=0, line=1, source=uri)


@pytest.mark.parametrize("locked", ["partner/", "partner/locked.png", "regioncap/locked.png"])
def test_refused__the_records_error_after_a_few_tries(
    locked: str, server: s3.S3Server, gate: Counted, originals: Originals
) -> None:
    server.denied.add(locked)
    uri = f"s3://{locked.split('/', maxsplit=1)[0]}/locked.png"

    for times in range(REFUSALS):
        with pytest.raises(StoreDeniedError):  # the shard waits, and is tried again
            originals.read(source(uri), {"store-refused": times}.__getitem__)
    with pytest.raises(RecordError) as caught:
        originals.read(source(uri), {"store-refused": REFUSALS}.__getitem__)

    assert caught.value.code == "source-refused"
    assert uri in caught.value.message
    assert gate.requests == 3 + 1  # and whether anything is allowed


def test_refused__all_of_our_own_bucket(server: s3.S3Server, originals: Originals) -> None:
    server.denied.add("regioncap/")

    with pytest.raises(StoreDeniedError):
        originals.read(source("s3://regioncap/images/x.png"))

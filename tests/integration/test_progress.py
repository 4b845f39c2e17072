"""Progress counts each shard once, and says what to do where Redis cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from regioncap.errors import QueueError
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.settings import load_settings

JOB = "20260101-000000-aaaaaa"


@pytest.fixture
def progress(stack_settings: dict[str, str]) -> Iterator[Progress]:
    with connect(load_settings(**stack_settings)) as client:
        yield Progress(client, JOB)
        client.delete(*client.keys(f"regioncap:{JOB}:*"))


def summary(records: int, failed: int) -> dict[str, object]:
    return {"sha256": f"{records}-{failed}", "counts": {"records": records, "failed": failed}}


def test_note_part__counts_a_shard_once(progress: Progress) -> None:
    assert progress.note_part(0, summary(32, 1)) == 1
    assert progress.note_part(0, summary(32, 1)) == 1
    assert progress.note_part(7, summary(5, 0)) == 2

    assert progress.counts() == {"shards": 2, "records": 37, "failed": 1}
    assert progress.done() == {0, 7}


def test_note_part__a_corrected_part_replaces_its_counts(progress: Progress) -> None:
    progress.note_part(0, summary(32, 5))
    progress.note_part(0, summary(32, 0))

    assert progress.counts() == {"shards": 1, "records": 32, "failed": 0}
    assert progress.parts([0]) == [summary(32, 0)]


def test_parts__come_in_the_order_asked(progress: Progress) -> None:
    progress.note_part(7, summary(5, 0))
    progress.note_part(2000, summary(32, 1))

    assert progress.parts([2000, 3, 7]) == [summary(32, 1), None, summary(5, 0)]
    assert progress.failed() == {2000}


def test_rendered(progress: Progress) -> None:
    for shard in (3, 3, 100_000):
        progress.note_rendered(shard)

    assert progress.rendered() == 2


def test_unreachable__names_the_setting() -> None:
    client = connect(load_settings(broker_url="redis://127.0.0.1:1/0"))

    with pytest.raises(QueueError, match="REGIONCAP_BROKER_URL"):
        Progress(client, "x").counts()


def test_refused__shows_no_password(stack_settings: dict[str, str]) -> None:
    url = stack_settings["broker_url"].replace(":@", ":").replace("://:", "://:wrong-")
    with pytest.raises(QueueError, match="password") as caught:
        Progress(connect(load_settings(broker_url=url)), "x").counts()

    assert "wrong-" not in str(caught.value)

"""A folder of a shared bucket: everything lies below it, laid out as in a bucket of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap import keys
from regioncap.errors import RecordError
from regioncap.inputs.originals import Originals
from regioncap.jobs.results import read
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.stages import Stages
from tests.support.success import load_success


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    settings = load_settings(
        **stack_settings | {"s3_bucket": "shared", "s3_prefix": "/team/captions/"}
    )
    Store(settings).ensure_bucket()
    return settings


@pytest.fixture
def whole(settings: Settings) -> Store:
    """The bucket, with what others have in it."""
    return Store(settings.model_copy(update={"s3_prefix": ""}))


def test_a_job_lies_below_it(settings: Settings, whole: Store, tmp_path: Path) -> None:
    whole.put("jobs/20260101-000000-aaaaaa/job.json", b"of others")
    stages = Stages(settings)
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)
    lines = list(read(stages.store, job))
    stages.engine.close()

    below = "team/captions/"
    assert [line["error"] for line in lines] == [None, None]
    assert lines[0]["result_file"].startswith(f"s3://shared/{below}jobs/{job.job}/results/")
    assert Store(settings).get_uri(lines[0]["image_with_bbox"])
    names = [key for key in whole.list_keys("") if job.job in key]
    assert all(name.startswith(below) for name in names)
    assert sorted(stages.store.list_keys(keys.prefix(job.job))) == sorted(
        name.removeprefix(below) for name in names if not name.startswith(below + keys.ENDS)
    )
    _, parts = load_success(stages.store.get(keys.success_key(job.job)))
    assert [part["key"] for part in parts] == [keys.part_key(job.job, "results", 0)]
    assert whole.exists("jobs/20260101-000000-aaaaaa/job.json")


def test_what_lies_beside_it_is_not_read(settings: Settings, whole: Store) -> None:
    whole.put("other/private.png", b"x")
    whole.put("team/captions-of-others/private.png", b"x")
    whole.put("team/captions/own.png", b"own")

    def fetch(name: str, settings: Settings) -> bytes:
        record = InputRecord(index=0, line=1, source=f"s3://shared/{name}")
        return Originals(Store(settings), settings).read(record)

    assert fetch("team/captions/own.png", settings) == b"own"
    for name in "other/private.png", "team/captions-of-others/private.png":
        with pytest.raises(RecordError, match="lies beside team/captions/") as caught:
            fetch(name, settings)
        assert caught.value.code == "bucket-not-allowed"
    listed = settings.model_copy(update={"s3_source_buckets": ["shared"]})
    assert fetch("other/private.png", listed) == b"x"

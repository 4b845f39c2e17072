"""Originals: pictures come from the buckets that may be read; whatever is missing is named."""

from __future__ import annotations

import pytest

from regioncap.errors import RecordError
from regioncap.inputs.originals import Originals
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    settings = load_settings(**stack_settings | {"s3_source_buckets": ["theirs"]})
    for bucket in (settings.s3_bucket, "theirs", "nobodys"):
        store = Store(settings.model_copy(update={"s3_bucket": bucket}))
        store.ensure_bucket()
        store.put("pictures/a.png", bucket.encode())
        store.put("pictures/large.png", bytes(10))
    return settings.model_copy(update={"max_image_bytes": 9})


def read(settings: Settings, source: str | None) -> bytes:
    record = InputRecord(index=0, line=1, image="a.png", source=source)
    return Originals(Store(settings), settings).read(record)


def test_it_is_read_from_the_own_bucket_and_those_allowed(settings: Settings) -> None:
    own = settings.s3_bucket

    assert read(settings, f"s3://{own}/pictures/a.png") == own.encode()
    assert read(settings, "s3://theirs/pictures/a.png") == b"theirs"


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("s3://nobodys/pictures/a.png", "bucket-not-allowed", "'nobodys'"),
        ("s3://theirs/pictures/b.png", "image-missing", "s3://theirs/pictures/b.png"),
        ("pictures/a.png", "bad-image-uri", "pictures/a.png"),
        (None, "bad-image-uri", ""),
        ("s3://theirs/pictures/large.png", "image-too-large", "more than 9 bytes"),
    ],
)
def test_why_there_is_none(settings: Settings, source: str | None, code: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(settings, source)

    assert caught.value.code == code
    assert words in caught.value.message

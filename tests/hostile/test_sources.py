"""Images named so as to read what is not the user's to read: refused, by producer and workers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.inputs.validate import Checker
from regioncap.jobs.render import RenderStage
from regioncap.jobs.submit import Tally, Uploader
from regioncap.jobs.turn import Turn
from regioncap.records import InputRecord
from regioncap.services.store import Store
from regioncap.settings import Settings

SECRET = "s3cret"


@pytest.fixture
def settings(stack_settings: dict[str, str]) -> Settings:
    return Settings(**stack_settings)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    (tmp_path / "secret.png").write_bytes(out.getvalue())
    root = tmp_path / "input"
    (root / "sub").mkdir(parents=True)
    (root / "own.png").write_bytes(out.getvalue())
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "up").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    return root


NAMES = {
    "own.png": None,
    "sub/../own.png": None,
    "../secret.png": "image-outside",
    "sub/../../secret.png": "image-outside",
    "link.png": "image-outside",
    "up/secret.png": "image-outside",
    "/etc/passwd": "image-outside",
    "/proc/self/environ": "image-outside",
    "loop.png": "image-missing",
    "sub": "image-missing",
    "own.png\0.jpg": "image-missing",
    "x" * 5000: "image-missing",
    "~/own.png": "image-missing",
    "file:///etc/passwd": "image-url",
    "http://169.254.169.254/latest/meta-data/": "image-url",
    "https://example.org/a.png": "image-url",
    "HTTP://[::ffff:169.254.169.254]/": "image-url",
    "gopher://127.0.0.1:6379/_FLUSHALL": "image-url",
    "data:image/png;base64,AAAA": "image-url",
    "s3://somebody-else/a.png": "bucket-not-allowed",
    "s3://": "bad-image-uri",
    "s3:///a.png": "bad-image-uri",
}


@pytest.mark.parametrize("name", NAMES)
def test_producer(stack: Any, settings: Settings, folder: Path, name: str) -> None:
    confined = settings.model_copy(update={"confine_images": True})
    checker = Checker(confined, folder, "in.jsonl")
    uploader = Uploader(Store(settings), confined, checker, Tally())
    record, _ = uploader.upload(InputRecord(index=0, line=1, image=name))
    assert (record.error.code if record.error else None) == NAMES[name]
    assert (record.source is None) == (record.error is not None)


SOURCES = {
    "file:///etc/passwd": "bad-image-uri",
    "/etc/passwd": "bad-image-uri",
    "http://169.254.169.254/latest/meta-data/": "bad-image-uri",
    "http://[fe80::1]/": "bad-image-uri",
    "https://127.0.0.1/": "bad-image-uri",
    "s3://somebody-else/a.png": "bucket-not-allowed",
    "s3://regioncap/nothing.png": "image-missing",
    "s3://regioncap/../../etc/passwd": "bad-image-uri",
    "s3://regioncap/a//b.png": "image-missing",
    "s3://regioncap/a\0.png": "bad-image-uri",
    "s3://regioncap/" + "x" * 2000: "bad-image-uri",
    "s3://regioncap/a?versionId=1#b": "image-missing",
    "s3://regioncap/\u202e.png": "bad-image-uri",
}


@pytest.mark.parametrize("source", SOURCES)
def test_worker(stack: Any, settings: Settings, source: str) -> None:
    unused: Any = None
    stage = RenderStage(Store(settings), settings, unused, unused)
    record = InputRecord(index=0, line=1, image="a.png", source=source)
    found = stage._fetch(record, Turn())
    assert not isinstance(found, bytes)
    assert found.code == SOURCES[source]

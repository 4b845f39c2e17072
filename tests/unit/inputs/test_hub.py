"""Data sets of the hub, brought by its own client from a stand-in on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from regioncap.errors import UsageError
from regioncap.inputs.hub import bring
from regioncap.inputs.source import open_source
from regioncap.settings import load_settings
from tests.support.datasets import BOXES, DATASETS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers what the client asks of a hub with one data set, `ours/boxes`."""

    files: dict[str, bytes]
    status = 200

    def do_HEAD(self) -> None:
        self.answer(is_head=True)

    def do_GET(self) -> None:
        self.answer(is_head=False)

    def answer(self, *, is_head: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.status != 200:
            self.send(self.status, b"{}", {})
        elif path.startswith("/api/datasets/ours/boxes/revision/"):
            siblings = [{"rfilename": name} for name in self.files]
            self.say({"id": "ours/boxes", "sha": COMMIT, "siblings": siblings})
        elif path.startswith("/api/datasets/ours/boxes/tree/"):
            self.say([
                {"type": "file", "oid": _hash(data), "size": len(data), "path": name}
                for name, data in self.files.items()
            ])  # fmt: skip
        elif path.startswith("/datasets/ours/boxes/resolve/"):
            data = self.files[path.split("/", 6)[6]]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_hash(data)}"'}
            self.send(200, data, headers, is_head=is_head)
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def say(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(
        self, status: int, data: bytes, headers: dict[str, str], *, is_head: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not is_head and self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def _hash(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    folder = DATASETS["parquet_hub"](tmp_path / "made")
    data = next(folder.glob("*.parquet")).read_bytes()
    files = {"README.md": b"# boxes", "data/train-0.parquet": data}
    handler = type("OneHub", (Hub,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Another test of this process may have loaded the client while it was told to be offline.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield handler
        server.shutdown()


@pytest.mark.parametrize(
    "name",
    ["hf:ours/boxes", "hf:ours/boxes@main", "hf:ours/boxes/data", "hf://datasets/ours/boxes"],
)
def test_a_data_set_is_brought_and_read(hub: type[Hub], name: str, tmp_path: Path) -> None:
    settings = load_settings(hf_cache_dir=tmp_path / "cache")
    with open_source(name, io.BytesIO(), None, settings) as source:
        records = list(source.records)

    assert (source.name, source.reading.form) == (name, "Parquet")
    assert [record.bbox for record in records] == [BOXES, []]
    assert all(isinstance(record.picture, bytes) for record in records)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("hf:ours/other", "no-hub-dataset"),
        ("hf:ours/boxes/no/such", "no-hub-dataset"),
        ("hf:boxes", "bad-hub-name"),
        ("hf:ours/boxes/../../x", "bad-hub-name"),
        ("hf:", "bad-hub-name"),
        ("hf:ours/my--boxes", "bad-hub-name"),
        ("hf:ours/boxes.", "bad-hub-name"),
    ],
)
def test_what_is_not_there(hub: type[Hub], name: str, code: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        bring(name, tmp_path / "cache")
    assert caught.value.code == code


def test_a_hub_that_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UsageError) as caught:
        bring("hf:ours/boxes", tmp_path / "cache")
    assert caught.value.code == "hub-unavailable"


def test_a_proxy_that_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UsageError) as caught:
        bring("hf:ours/boxes", tmp_path / "cache")
    assert caught.value.code == "hub-unavailable"

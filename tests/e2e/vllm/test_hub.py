"""Models on the Hub: from a small server that speaks the Hub's protocol, and from caches."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from regioncap.engines.model import resolve_model
from regioncap.errors import EngineStartError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "tiny/Qwen2.5-VL-Tiny"
WEIGHTS = "model.safetensors"


class HubHandler(BaseHTTPRequestHandler):
    """As much of the Hub as a client needs to fetch the files of one folder."""

    def __init__(self, folder: Path, status: int, *args: object) -> None:
        self.folder, self.status = folder, status
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if self.status != 200:
            self._send(json.dumps({"error": "refused"}).encode(), self.status)
        elif path == f"/api/models/{NAME}/revision/main":
            self._send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": []}).encode())
        elif path.startswith(f"/api/models/{NAME}/tree/{COMMIT}"):
            tree = [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _etag(p)}
                for p in sorted(self.folder.iterdir())
            ]
            self._send(json.dumps(tree).encode())
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            file = self.folder / path.rsplit("/", 1)[1]
            self._send(file.read_bytes(), etag=_etag(file))
        else:
            self._send(b"{}", 404)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, body: bytes, status: int = 200, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", COMMIT)
        if etag:
            self.send_header("ETag", f'"{etag}"')
        if status != 200:
            self.send_header("X-Error-Code", "RepoNotFound" if status == 404 else "")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


StartHub = Callable[..., ThreadingHTTPServer]


@pytest.fixture
def start_hub(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartHub]:
    """Starts a hub with the tiny model on it and points the client there."""
    servers: list[ThreadingHTTPServer] = []
    # The client reads this variable when it is first imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def start(status: int = 200) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(HubHandler, tiny_model, status))
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_is_fetched_into_the_cache_and_found_there_offline(
    start_hub: StartHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_hub()
    fetched = resolve_model(NAME, hf_cache_dir=tmp_path)
    assert (fetched.name, fetched.revision) == (NAME, COMMIT)
    assert fetched.folder.is_relative_to(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert resolve_model(NAME, hf_cache_dir=tmp_path) == fetched


def test_is_laid_in_a_folder_of_its_own_in_the_download_folder(
    start_hub: StartHub, tiny_model: Path, tmp_path: Path
) -> None:
    start_hub()
    fetched = resolve_model(NAME, download_dir=tmp_path)
    assert fetched.folder == tmp_path / "Qwen2.5-VL-Tiny"
    assert fetched.revision == COMMIT
    assert (fetched.folder / WEIGHTS).read_bytes() == (tiny_model / WEIGHTS).read_bytes()


def test_what_was_fetched_before_serves_when_the_hub_is_away(
    start_hub: StartHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_hub()
    fetched = resolve_model(NAME, hf_cache_dir=tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert resolve_model(NAME, hf_cache_dir=tmp_path) == fetched


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [(404, "hub-model-missing", "HF_TOKEN"), (401, "hub-model-missing", "HF_TOKEN")],
)
def test_the_hub_refuses(
    start_hub: StartHub, tmp_path: Path, status: int, code: str, hint: str
) -> None:
    start_hub(status)
    with pytest.raises(EngineStartError) as caught:
        resolve_model(NAME, hf_cache_dir=tmp_path)
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_the_hub_cannot_be_reached(
    start_hub: StartHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EngineStartError) as caught:
        resolve_model(NAME, hf_cache_dir=tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("hub-unreachable", 4)
    assert f"hf download {NAME}" in caught.value.hint


def test_offline_and_not_here(tmp_path: Path, vllm_environment: dict[str, str]) -> None:
    with pytest.raises(EngineStartError) as caught:
        resolve_model(NAME, download_dir=tmp_path)
    assert caught.value.code == "hub-unreachable"
    assert "HF_HUB_OFFLINE" in caught.value.hint

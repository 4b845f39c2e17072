"""A small chat server in the OpenAI API's words; it answers, refuses and fails as it is told."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image


@dataclass
class Behaviour:
    """What the server does; tests change it while it runs."""

    models: list[str] = field(default_factory=lambda: ["tiny"])
    models_status: int = 200
    #: Statuses of the next answers; 200 when used up.
    statuses: list[int] = field(default_factory=list)
    #: Status for requests whose words contain "bad".
    bad_status: int = 200
    finish_reason: str = "stop"
    #: What it says; None for the words of the question.
    says: str | None = None
    #: Sent as they are in place of each answer to a question, and of the list of models.
    sends: bytes | None = None
    lists: bytes | None = None
    only_new_field: bool = False
    delay_s: float = 0.0
    #: From one byte of an answer to the next; 0 for all at once.
    trickle_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    pause: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, behaviour: Behaviour, *args: Any) -> None:
        self.behaviour = behaviour
        super().__init__(*args)

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model"} for name in self.behaviour.models]
        self._send(self.behaviour.models_status, {"object": "list", "data": models})

    def do_POST(self) -> None:
        does = self.behaviour
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with does.lock:
            does.bodies.append(body)
            does.headers.append({k.lower(): v for k, v in self.headers.items()})
            does.running += 1
            does.most_running = max(does.most_running, does.running)
            status = does.statuses.pop(0) if does.statuses else 200
        if does.delay_s:
            does.pause.wait(does.delay_s)
        words = json.dumps(body["messages"])
        if not _decodes(body["messages"]):
            status = 400
        if "bad" in words:
            status = does.bad_status
        if does.only_new_field and "max_tokens" in body:
            status = 400
        with does.lock:
            does.running -= 1
        self._send(status, self._answer(body) if status == 200 else self._error(status))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        words = body["messages"][-1]["content"][-1].get("text", "")
        says = f"answer to {words}" if self.behaviour.says is None else self.behaviour.says
        message = {"role": "assistant", "content": says, "refusal": None}
        finish = self.behaviour.finish_reason
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        }

    def _error(self, status: int) -> dict[str, Any]:
        message = f"status {status} for {self.headers['Authorization']}"
        if self.behaviour.only_new_field:
            message = "use 'max_completion_tokens' instead of 'max_tokens'"
        return {"error": {"message": message, "type": "test", "code": None, "param": None}}

    def _send(self, status: int, content: dict[str, Any]) -> None:
        instead = self.behaviour.sends if self.command == "POST" else self.behaviour.lists
        data = json.dumps(content).encode() if instead is None else instead
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        # The client honours it, so that its back-off takes no time here.
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        if self.behaviour.trickle_s and self.command == "POST":
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.behaviour.pause.wait(self.behaviour.trickle_s):
                    break
        else:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that gave up


@contextmanager
def serve_chat(behaviour: Behaviour) -> Iterator[str]:
    """Runs the server; gives the address of its API."""
    with Server(("127.0.0.1", 0), partial(Handler, behaviour)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        behaviour.pause.set()
        server.shutdown()
        thread.join()


def _decodes(messages: list[dict[str, Any]]) -> bool:
    """Whether the picture of a question is one, as a real server would find out."""
    parts = messages[-1]["content"]
    (url,) = (part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    try:
        Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).load()
    except OSError:
        return False
    return True

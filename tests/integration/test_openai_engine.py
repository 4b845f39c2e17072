"""The openai engine against a small server that answers, refuses and fails as it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from regioncap.engines.base import Answer, CaptionRequest, Prompt, Sampling
from regioncap.engines.openai import OpenAIEngine
from regioncap.errors import EngineDeadError, EngineStartError, RequestError

KEY = "sk-secret-of-this-test"
SCHEMA = {"type": "object", "properties": {"region1": {"type": "string"}}}


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
    only_new_field: bool = False
    delay_s: float = 0.0
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
        if "bad" in words:
            status = does.bad_status
        if does.only_new_field and "max_tokens" in body:
            status = 400
        with does.lock:
            does.running -= 1
        self._send(status, self._answer(body) if status == 200 else self._error(status))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        words = body["messages"][-1]["content"][-1].get("text", "")
        message = {"role": "assistant", "content": f"answer to {words}", "refusal": None}
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
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        # The client honours it, so that its back-off takes no time here.
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that gave up


@pytest.fixture
def does() -> Behaviour:
    return Behaviour()


@pytest.fixture
def url(does: Behaviour) -> Iterator[str]:
    with Server(("127.0.0.1", 0), partial(Handler, does)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        does.pause.set()
        server.shutdown()
        thread.join()


def request(number: int, words: str = "go", **fields: Any) -> CaptionRequest:
    prompt = fields.pop("prompt", Prompt("You look.", "Look.", f"{words} {number}"))
    sampling = fields.pop("sampling", Sampling(0.5, 0.8, 32, 7))
    return CaptionRequest(f"r-{number}", b"jpeg %d" % number, prompt, sampling)


def caption(
    engine: OpenAIEngine,
    requests: Sequence[CaptionRequest],
    change: Callable[[], object] = lambda: None,
) -> list[Answer | RequestError]:
    """Starts the engine, changes the server's behaviour, asks, and closes."""

    async def run() -> list[Answer | RequestError]:
        await engine.start()
        change()
        try:
            return await engine.caption(requests)
        finally:
            await engine.close()

    return asyncio.run(run())


def test_asks_and_answers_in_order(does: Behaviour, url: str) -> None:
    engine = OpenAIEngine("", base_url=url + "/", api_key=KEY, extra_body={"top_k": 20})
    answers = caption(engine, [request(n) for n in range(20)], does.bodies.clear)
    assert engine.model == "tiny"
    expected = [Answer(f"answer to go {n}", "stop", 11, 3) for n in range(20)]
    assert answers == expected
    by_words = {body["messages"][-1]["content"][-1]["text"]: body for body in does.bodies}
    body = by_words["go 3"]
    url_of_picture = "data:image/jpeg;base64," + base64.b64encode(b"jpeg 3").decode()
    assert body["messages"] == [
        {"role": "system", "content": "You look."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": url_of_picture}},
                {"type": "text", "text": "go 3"},
            ],
        },
    ]
    settings = {k: v for k, v in body.items() if k != "messages"}
    assert settings == {
        "model": "tiny", "temperature": 0.5, "top_p": 0.8, "max_tokens": 32, "seed": 7, "top_k": 20,
    }  # fmt: skip
    assert {headers["authorization"] for headers in does.headers} == {f"Bearer {KEY}"}


def test_asks_for_json(does: Behaviour, url: str) -> None:
    asked = request(1, prompt=Prompt(after="JSON", schema=SCHEMA), sampling=Sampling(0.0))
    caption(OpenAIEngine("tiny", base_url=url), [asked])
    body = does.bodies[-1]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert "seed" not in body
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_tries_again(does: Behaviour, url: str, status: int) -> None:
    engine = OpenAIEngine("tiny", base_url=url)
    answers = caption(
        engine, [request(n) for n in range(4)], lambda: does.statuses.extend([status] * 3)
    )
    assert all(isinstance(answer, Answer) for answer in answers)
    assert len(does.bodies) == 1 + 4 + 3


def test_no_more_at_once_than_allowed(does: Behaviour, url: str) -> None:
    does.delay_s = 0.02
    caption(OpenAIEngine("tiny", base_url=url, max_in_flight=3), [request(n) for n in range(12)])
    assert 1 < does.most_running <= 3


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_refused_request_is_an_error_of_its_own(does: Behaviour, url: str, status: int) -> None:
    does.bad_status = status
    engine = OpenAIEngine("tiny", base_url=url, api_key=KEY)
    good, bad, other = caption(engine, [request(1), request(2, "bad"), request(3)])
    assert isinstance(good, Answer)
    assert isinstance(other, Answer)
    assert isinstance(bad, RequestError)
    assert f"status {status}" in bad.message
    assert "r-2" in bad.message
    assert KEY not in str(bad)


def test_a_filtered_answer_is_an_error(does: Behaviour, url: str) -> None:
    def filter_answers() -> None:
        does.finish_reason = "content_filter"

    (answer,) = caption(OpenAIEngine("tiny", base_url=url), [request(1)], filter_answers)
    assert isinstance(answer, RequestError)
    assert answer.code == "server-refused-request"


def test_an_answer_cut_off_says_so(does: Behaviour, url: str) -> None:
    does.finish_reason = "length"
    (answer,) = caption(OpenAIEngine("tiny", base_url=url), [request(1)])
    assert isinstance(answer, Answer)
    assert answer.finish_reason == "length"


def test_a_request_that_takes_too_long_is_an_error(does: Behaviour, url: str) -> None:
    def stall() -> None:
        does.delay_s = 30

    engine = OpenAIEngine("tiny", base_url=url, timeout_s=0.5, max_retries=0)
    (answer,) = caption(engine, [request(1)], stall)
    assert isinstance(answer, RequestError)
    assert answer.code == "server-timeout"
    assert "REGIONCAP_OPENAI_TIMEOUT_S" in answer.hint


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503])
def test_a_server_that_serves_no_longer_is_dead(does: Behaviour, url: str, status: int) -> None:
    does.bad_status = status
    engine = OpenAIEngine("tiny", base_url=url, api_key=KEY, max_retries=1)
    with pytest.raises(EngineDeadError) as caught:
        caption(engine, [request(1), request(2, "bad"), request(3)])
    assert f"status {status}" in caught.value.message
    assert KEY not in str(caught.value)


def test_an_error_of_a_sick_server_is_not_the_requests(does: Behaviour, url: str) -> None:
    def sicken() -> None:
        does.bad_status = does.models_status = 500

    engine = OpenAIEngine("tiny", base_url=url, max_retries=1)
    with pytest.raises(EngineDeadError):
        caption(engine, [request(2, "bad")], sicken)


def test_a_server_that_went_away_is_dead(does: Behaviour, url: str) -> None:
    engine = OpenAIEngine("tiny", base_url=url, max_retries=0)

    async def run() -> None:
        await engine.start()
        engine._require_client().base_url = "http://127.0.0.1:9/v1"  # type: ignore[assignment]
        with pytest.raises(EngineDeadError):
            await engine.caption([request(1), request(2)])
        with pytest.raises(EngineDeadError):
            await engine.health()
        await engine.close()

    asyncio.run(run())


def test_the_newer_name_of_a_field_is_learned(does: Behaviour, url: str) -> None:
    does.only_new_field = True
    (answer,) = caption(OpenAIEngine("tiny", base_url=url), [request(1)])
    assert isinstance(answer, Answer)
    assert does.bodies[-1]["max_completion_tokens"] == 32


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"models": ["a", "b"]}, "server-model-missing", "a, b"),
        ({"models": []}, "server-model-missing", "none"),
        ({"models_status": 401}, "server-refused", "REGIONCAP_OPENAI_API_KEY"),
        ({"statuses": [404] * 9}, "server-refused", "model's name"),
        ({"statuses": [500] * 9}, "server-refused", "log"),
    ],
)
def test_why_it_may_not_start(
    does: Behaviour, url: str, change: dict[str, Any], code: str, words: str
) -> None:
    for name, value in change.items():
        setattr(does, name, value)
    engine = OpenAIEngine("tiny", base_url=url, api_key=KEY, max_retries=1)
    with pytest.raises(EngineStartError) as caught:
        asyncio.run(engine.start())
    assert caught.value.code == code
    assert words in caught.value.hint
    assert KEY not in str(caught.value)


def test_no_server() -> None:
    engine = OpenAIEngine("tiny", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(EngineStartError) as caught:
        asyncio.run(engine.start())
    assert caught.value.code == "server-unreachable"
    assert "REGIONCAP_OPENAI_BASE_URL" in caught.value.hint


def test_a_server_without_a_list_of_models_will_do(does: Behaviour, url: str) -> None:
    does.models_status = 404
    engine = OpenAIEngine("any", base_url=url)

    async def run() -> None:
        await engine.start()
        await engine.health()
        await engine.close()
        await engine.close()

    asyncio.run(run())


def test_the_key_is_not_logged(does: Behaviour, url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        engine = OpenAIEngine("tiny", base_url=url, api_key=KEY)
        caption(engine, [request(1)], lambda: does.statuses.append(500))
    assert KEY not in caplog.text + repr(engine)


def test_cancelling_leaves_nothing_behind(does: Behaviour, url: str) -> None:
    async def run() -> None:
        engine = OpenAIEngine("tiny", base_url=url)
        await engine.start()
        does.delay_s = 30
        call = asyncio.ensure_future(engine.caption([request(n) for n in range(3)]))
        while does.running < 3:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert len(asyncio.all_tasks()) == 1
        await engine.close()

    asyncio.run(run())

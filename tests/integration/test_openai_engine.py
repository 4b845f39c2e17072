"""The openai engine against a small server that answers, refuses and fails as it is told."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from PIL import Image

from regioncap.engines.base import Answer, CaptionRequest, Sampling
from regioncap.engines.openai import OpenAIEngine
from regioncap.errors import EngineAwayError, EngineStartError, RequestError
from regioncap.records import Prompt
from tests.support.chat_server import Behaviour, serve_chat

KEY = "sk-secret-of-this-test"
SCHEMA = {"type": "object", "properties": {"region1": {"type": "string"}}}


@pytest.fixture
def does() -> Behaviour:
    return Behaviour()


@pytest.fixture
def url(does: Behaviour) -> Iterator[str]:
    with serve_chat(does) as address:
        yield address


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (28, 28), (number, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def request(number: int, words: str = "go", **fields: Any) -> CaptionRequest:
    prompt = fields.pop("prompt", Prompt("You look.", "Look.", f"{words} {number}"))
    sampling = fields.pop("sampling", Sampling(0.5, 0.8, 32, 7))
    return CaptionRequest(f"r-{number}", picture(number), prompt, sampling)


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
    url_of_picture = "data:image/jpeg;base64," + base64.b64encode(picture(3)).decode()
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
    asked = request(1, prompt=Prompt(after="JSON", answer_schema=SCHEMA), sampling=Sampling(0.0))
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


def test_what_is_no_answer_is_an_error(does: Behaviour, url: str) -> None:
    def log_in() -> None:
        does.sends = b"<html>Please log in.</html>"

    (answer,) = caption(OpenAIEngine("tiny", base_url=url), [request(1)], log_in)
    assert isinstance(answer, RequestError)
    assert "r-1" in answer.message


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


def test_an_answer_that_trickles_is_cut_off(does: Behaviour, url: str) -> None:
    def trickle() -> None:
        does.trickle_s = 0.2

    engine = OpenAIEngine("tiny", base_url=url, timeout_s=0.5, max_retries=0)
    (answer,) = caption(engine, [request(1)], trickle)
    assert isinstance(answer, RequestError)
    assert answer.code == "server-timeout"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_and_gets_less(does: Behaviour, url: str, status: int) -> None:
    engine = OpenAIEngine("tiny", base_url=url, max_in_flight=8, max_retries=0)

    answers = caption(
        engine, [request(n) for n in range(6)], lambda: does.statuses.extend([status] * 20)
    )

    assert all(isinstance(answer, Answer) for answer in answers)
    assert len(does.bodies) == 1 + 6 + 20
    assert engine.pressure.limit < 8


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503])
def test_a_server_that_does_not_serve_is_away(does: Behaviour, url: str, status: int) -> None:
    does.bad_status = status
    engine = OpenAIEngine("tiny", base_url=url, api_key=KEY, max_retries=1, patience_s=0)
    with pytest.raises(EngineAwayError) as caught:
        caption(engine, [request(1), request(2, "bad"), request(3)])
    assert f"status {status}" in caught.value.message
    assert KEY not in str(caught.value)


def test_an_error_of_a_sick_server_is_not_the_requests(does: Behaviour, url: str) -> None:
    def sicken() -> None:
        does.bad_status = does.models_status = 500

    engine = OpenAIEngine("tiny", base_url=url, max_retries=1)
    with pytest.raises(EngineAwayError):
        caption(engine, [request(2, "bad")], sicken)


def test_a_server_that_went_away(does: Behaviour, url: str) -> None:
    engine = OpenAIEngine("tiny", base_url=url, max_retries=0)

    async def run() -> None:
        await engine.start()
        engine._require_client().base_url = "http://127.0.0.1:9/v1"
        with pytest.raises(EngineAwayError):
            await engine.caption([request(1), request(2)])
        with pytest.raises(EngineAwayError):
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
        ({"lists": b"<html>"}, "server-refused", "REGIONCAP_OPENAI_BASE_URL"),
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


def test_a_page_in_place_of_the_models_is_no_end_of_a_worker(does: Behaviour, url: str) -> None:
    async def run() -> None:
        engine = OpenAIEngine("tiny", base_url=url)
        await engine.start()
        does.lists = b"<html>Please log in.</html>"
        await engine.health()
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

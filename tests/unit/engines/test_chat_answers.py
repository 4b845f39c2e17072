"""Chat answers: read for what they say; what cannot be read is an error of its request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from regioncap.engines import chat_answers
from regioncap.engines.base import Answer, Sampling, first_request
from regioncap.errors import RequestError

REQUEST = first_request(Sampling())
#: Where a field lies, from the outside in.
Path = tuple[str | int, ...]
MESSAGE: Path = ("choices", 0, "message")


def answer(path: Path = (), value: Any = None) -> bytes:
    """What a server sends, with something else in one place."""
    message = {"role": "assistant", "content": "a cup", "refusal": None}
    said: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }
    if not path:
        return json.dumps(said).encode()
    inner: Any = said
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(said).encode()


def test_an_answer_as_the_api_has_it() -> None:
    assert chat_answers.read(REQUEST, answer()) == Answer("a cup", "stop", 11, 3)


@pytest.mark.parametrize("value", [None, {}, [], "many", 7, {"prompt_tokens_details": 1}])
def test_usage_that_is_none_counts_nothing(value: Any) -> None:
    assert chat_answers.read(REQUEST, answer(("usage",), value)) == Answer("a cup")


@pytest.mark.parametrize("value", [None, -1, True, 1.5, "11", [11], {}, 2**31, 10**40])
def test_what_is_no_number_of_tokens_counts_nothing(value: Any) -> None:
    read = chat_answers.read(REQUEST, answer(("usage", "prompt_tokens"), value))
    assert (read.prompt_tokens, read.completion_tokens) == (0, 3)
    read = chat_answers.read(REQUEST, answer(("usage", "completion_tokens"), value))
    assert (read.prompt_tokens, read.completion_tokens) == (11, 0)


@pytest.mark.parametrize("value", [None, "eos", 3, []])
def test_a_text_ended_by_itself_unless_it_was_cut_off(value: Any) -> None:
    read = chat_answers.read(REQUEST, answer(("choices", 0, "finish_reason"), value))
    assert read.finish_reason == "stop"
    assert (
        chat_answers.read(REQUEST, answer(("choices", 0, "finish_reason"), "length")).finish_reason
        == "length"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a "}, {"type": "text", "text": "cup"}], "a cup"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a cup"}], "a cup"),
        (["a ", "cup", None, 3, {"type": "text", "text": None}], "a cup"),
    ],
)
def test_a_text_may_be_in_parts_or_nothing(content: Any, text: str) -> None:
    assert chat_answers.read(REQUEST, answer((*MESSAGE, "content"), content)).text == text


@pytest.mark.parametrize("path", [("choices",), ("choices", 0), MESSAGE])
@pytest.mark.parametrize("value", [None, [], [None], "a cup", 7, True])
def test_what_has_no_message_is_no_answer(path: Path, value: Any) -> None:
    with pytest.raises(RequestError, match="no answer to request warm-up"):
        chat_answers.read(REQUEST, answer(path, value))


@pytest.mark.parametrize("content", [7, True, {"text": "a cup"}])
def test_what_is_no_text_is_no_answer(content: Any) -> None:
    with pytest.raises(RequestError, match="no answer to request warm-up"):
        chat_answers.read(REQUEST, answer((*MESSAGE, "content"), content))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"\xff\xfe{", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    with pytest.raises(RequestError, match="no answer to request warm-up"):
        chat_answers.read(REQUEST, body)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((*MESSAGE, "refusal"), "I will not.", "I will not."),
        (("choices", 0, "finish_reason"), "content_filter", "content filter"),
    ],
)
def test_a_refusal_is_one(path: Path, value: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        chat_answers.read(REQUEST, answer(path, value))
    assert caught.value.code == "server-refused-request"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}', ["a", "b"]),
        (b'{"data": [{"id": "a"}, {"id": null}, {}, null, "b", {"id": 3}]}', ["a"]),
        (b'{"data": null}', []),
        (b'{"data": {"id": "a"}}', []),
        (b"{}", []),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_models_of_a_server(body: bytes, names: list[str] | None) -> None:
    assert chat_answers.model_names(body) == names

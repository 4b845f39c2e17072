"""What chat servers answer, read field by field.

The client passes on whatever it gets: where the API has a number, servers leave it out or say null,
and where it has a text, some have a list of parts. What cannot be read is an error of that request.
"""

from __future__ import annotations

import json

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.errors import RequestError

#: No model takes so many tokens; a number beyond is none, and might not fit where it is added up.
_BEYOND_TOKENS = 2**31


def read(request: CaptionRequest, body: bytes) -> Answer:
    """The answer to a request.

    Args:
        request: What was asked.
        body: What the server sent, as JSON if all is well.

    Raises:
        RequestError: It is no answer, or refuses one (`server-refused-request`).
    """
    said = _json(body)
    choices = _field(said, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message, finish = _field(choice, "message"), _field(choice, "finish_reason")
    text, refusal = _text(_field(message, "content")), _field(message, "refusal")
    if finish == "content_filter" or refusal:
        raise RequestError(
            f"the server will not answer request {request.request_id}: "
            f"{refusal or 'its content filter stopped the answer'}",
            code="server-refused-request",
        )
    if not isinstance(message, dict) or text is None:
        raise RequestError(f"the server gave no answer to request {request.request_id}")
    usage = _field(said, "usage")
    return Answer(
        text=text,
        finish_reason="length" if finish == "length" else "stop",
        prompt_tokens=_count(_field(usage, "prompt_tokens")),
        completion_tokens=_count(_field(usage, "completion_tokens")),
    )


def model_names(body: bytes) -> list[str] | None:
    """The models that a server says it has; None where it says something else altogether."""
    said = _json(body)
    if not isinstance(said, dict):
        return None
    models = said.get("data")  # null where there are none
    names = [_field(model, "id") for model in models] if isinstance(models, list) else []
    return [name for name in names if isinstance(name, str)]


def _json(body: bytes) -> object:
    """A body as JSON; None for one that is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _field(value: object, name: str) -> object:
    """A field of an object; None where there is no such field, or no object."""
    return value.get(name) if isinstance(value, dict) else None


def _text(content: object) -> str | None:
    """The text of a message, which may be in parts; None if it is none."""
    if content is None:  # all that it had room for were thoughts
        return ""
    if isinstance(content, list):
        return "".join(map(_text_of_part, content))
    return content if isinstance(content, str) else None


def _text_of_part(part: object) -> str:
    text = _field(part, "text") if _field(part, "type") == "text" else part
    return text if isinstance(text, str) else ""


def _count(value: object) -> int:
    """A number of tokens; what is no such number counts as none."""
    # True is an int to Python.
    return value if type(value) is int and 0 <= value < _BEYOND_TOKENS else 0

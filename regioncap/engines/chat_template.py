"""A prompt as the text that a model's own chat template makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from regioncap.engines.base import chat_messages
from regioncap.errors import RequestError
from regioncap.records import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def chat_text(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """Lays a prompt out, the picture between the user's two texts.

    Templates differ in what they take of the system: a text, parts as of the user's words, or
    nothing; some leave out in silence what they do not take. The first form is taken in which the
    system's words come out; at last they stand before the user's.

    Raises:
        RequestError: The template takes no form.
    """
    refused: TemplateError | None = None
    for messages in _forms(prompt):
        try:
            text = str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
        except TemplateError as error:
            refused = error
        else:
            if prompt.system.strip() in text:
                return text
    raise RequestError(
        "the model's chat template "
        + (f"refuses the prompt: {refused}" if refused else "leaves out the system's words"),
        code="engine-request",
        hint="is this a model that takes pictures? its tokenizer_config.json or chat_template.json "
        "holds the template",
    )


def _forms(prompt: Prompt) -> Iterator[list[dict[str, Any]]]:
    messages = chat_messages(prompt, {"type": "image"})
    yield messages
    if prompt.system:
        system, user = messages
        words = {"type": "text", "text": prompt.system}
        yield [system | {"content": [words]}, user]
        words = {"type": "text", "text": f"{prompt.system}\n\n"}
        yield [user | {"content": [words, *user["content"]]}]

"""Prompts by the chat templates that models have."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import Environment, TemplateError

from regioncap.engines.chat_template import chat_text
from regioncap.errors import RequestError
from regioncap.records import Prompt
from tests.support.tiny_families import LLAVA_TEMPLATE

PROMPT = Prompt(system=" One line a region. ", before="Here it is:", after="Two regions.")
PARTS = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
)
QWEN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n" + PARTS + "<|im_end|>\n"
    "{% endfor %}"
)
#: As SmolVLM's and Idefics's.
PARTS_ALONE = (
    "{% for message in messages %}{{ message['role'].capitalize() }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}<image>{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}"
)
#: As LLaVA 1.6's for Mistral.
FIRST_PART = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<<SYS>>\n' + message['content'][0]['text'] + '\n<</SYS>>\n' }}{% else %}[INST] "
    + PARTS
    + " [/INST]{% endif %}{% endfor %}"
)
#: As that of the first Gemma.
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{{ message['role'] }}: " + PARTS + "{% endfor %}"
)
USERS_ALONE = (
    "{% for message in messages if message['role'] == 'user' %}user: " + PARTS + "{% endfor %}"
)


class Tokenizer:
    """Renders a template as transformers does."""

    def __init__(self, template: str) -> None:
        def refuse(why: str) -> None:
            raise TemplateError(why)

        environment = Environment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        self._template = environment.from_string(template)

    def apply_chat_template(self, messages: list[dict[str, Any]], **_: Any) -> str:
        return self._template.render(messages=messages, add_generation_prompt=True)


def text_of(template: str, prompt: Prompt = PROMPT) -> str:
    return chat_text(Tokenizer(template), prompt)


@pytest.mark.parametrize(
    ("template", "begins"),
    [
        pytest.param(QWEN, "<|im_start|>system\n One line a region. <|im_end|>", id="a text"),
        pytest.param(PARTS_ALONE, "System:  One line a region. \nUser: Here", id="parts"),
        pytest.param(LLAVA_TEMPLATE, " One line a region.  USER: <image>\nHere", id="llava"),
        pytest.param(FIRST_PART, "<<SYS>>\n One line a region. \n<</SYS>>", id="the first part"),
        pytest.param(NO_SYSTEM, "user:  One line a region. \n\nHere it is:", id="refuses"),
        pytest.param(USERS_ALONE, "user:  One line a region. \n\nHere it is:", id="leaves out"),
    ],
)
def test_all_words_and_the_picture_come_out_once(template: str, begins: str) -> None:
    text = text_of(template)
    assert text.startswith(begins)
    for part in ("One line a region.", "Here it is:", "<image>", "Two regions."):
        assert text.count(part) == 1, part


def test_without_words_of_the_system_there_is_none() -> None:
    assert text_of(NO_SYSTEM, Prompt(before="Describe.")) == "user: Describe.<image>"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('no pictures') }}", "refuses the prompt: no pictures"),
        ("{{ messages.gone.content }}", "refuses the prompt: .* has no attribute 'gone'"),
        ("Hello.", "leaves out the system's words"),
    ],
)
def test_a_template_that_takes_no_form_is_a_requests_error(template: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        text_of(template)

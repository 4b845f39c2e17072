"""The time that reading takes grows with the length of a text, whatever stands in it.

A model that runs wild repeats something until its longest answer is full. So this repeats all that
the patterns know, and the processor's time for four times as much may be ten times as long: linear
is four, quadratic sixteen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib import import_module

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from regioncap.captions import answers
from regioncap.evaluation import truth
from regioncap.outputs.audit.flags import CaptionedRegion, flags
from regioncap.outputs.audit.near_duplicates import NearDuplicates
from regioncap.views.chat_tokens import neutralize

pytestmark = pytest.mark.slow

MODULES = """
    captions.answers captions.json_answers captions.markdown captions.refusals captions.region_names
    captions.texts evaluation.truth outputs.audit.flags outputs.audit.languages views.chat_tokens
"""
PATTERNS = " ".join(
    value.pattern
    for name in MODULES.split()
    for value in vars(import_module(f"regioncap.{name}")).values()
    if isinstance(value, re.Pattern)
)
SPACES = [character for character in map(chr, range(0x3001)) if character.isspace()]
SIGNS = sorted({*re.findall(r"[^\w\s]", PATTERNS)})
WORDS = sorted({*re.findall(r"[^\W\d_]{2,}", PATTERNS)})
COMPOUNDS = [
    # names of regions
    "<region1>", "<region2> ", "</region1>", "< region", "Region 1 ", "Region 1: a. ", "区域1：",
    "一", "第", "①", "first ", "the first region ", "box 1", "\nbox 1:", "Regions 1 and 2 ", "&2",
    "1-", "and <region1> ", "<region1>, ", "<region1> to <region9>, ", "a <region1> A b ",
    "<region1> shows a. ", "<region1> a: ", "; in <region2>: ", "The man in <region1> waves. ",
    "in the ", "of ", "Caption: ", "n/a",
    # lists, sentences, lines
    "1. ", "1) a. ", "\n1. a", "\n  1. a", "(1)", "- ", "\n- a", "\n-", "• ", "\n• ", "\na", "\n ",
    "a ", "a. ", '."', "a\t \u00a0", "(a) ", "[a] ", "(", '"a" ', "x'", "é", "e\u0301", "9", "1, ",
    "1 %",
    # JSON
    '"1":"', '"1": "a", ', '{"1":"', '{"a":', "[1,", '["a",', '{"region":1,"caption":"a"},', '[{"',
    "region1:\"a\",", ",1:\"", "'1':'", "'1': 'a\"", "'1': 'a', ", "'1': 'a' ", '\\"', "\\", "\\n",
    # Markdown, HTML, chat tokens
    "**", "__a__", "*a* ", "_", "`a`", "```\n", "[a](b)", "[](", "| a ", "\n| a |", "\n> ", "\n# a",
    "\n---", "\n- - -", "\\*", "<br>", "</p>", "<b>", "&#", "&#9", "&#10;", "&lt;", "&nbsp;", "&a",
    "<think>", "</think>", "<|im_end|>", "<|", "|>", "[INST]", "\u200b", "\x00", "\ud800",
    # what declines, opens and closes
    "I'm sorry ", "I can't ", "as an ai ", "\nOverall, ", "Here is:\n", "closing\n ", "red box ",
]  # fmt: skip
ALL = [*SPACES, *SIGNS, *COMPOUNDS, *WORDS]
#: Heads and tails, between which a run stands.
FRAMES = [
    ("<region1> a", "b"),
    ("", ""),
    ("The man, x", "y of <region1> waves."),
    ('{"region1": "a', "b"),
    ("{'1': 'a", "b"),
    ("<region1> a <", "b"),
    ("1. a", "\n2. b"),
    ("I'm sorry ", ""),
    ("<region1> to <region40>: ", ""),
    ("&#", ";"),
]
WANTED = [[1, 2], [1], list(range(1, 41))]

#: Less time than this counts as this much, in seconds: clocks and caches are not exact.
LEAST_S = 0.005
Work = Callable[[str], object]


def seconds(work: Work, text: str) -> float:
    """Of this thread on a processor: waiting for others does not count."""
    start = time.thread_time()
    work(text)
    return time.thread_time() - start


def check_growth(work: Work, head: str, run: str, tail: str, longest: int) -> None:
    length, before = longest, LEAST_S
    while length > 512:
        length //= 4
    while length <= longest:
        text = head + run * (length // len(run)) + tail
        limit = 10 * max(before, LEAST_S)
        # Once may be the collector of garbage.
        tries = (seconds(work, text) for _ in range(3))
        took = next((took for took in tries if took <= limit), None)
        assert took is not None, f"{run!r} between {head!r} and {tail!r}, {len(text)} characters"
        length, before = 4 * length, took


def parse(numbers: list[int], *, json: bool = False, cut: bool = False) -> Work:
    reason = "length" if cut else "stop"
    return lambda text: answers.parse(text, numbers, finish_reason=reason, json=json)


def look(caption: str) -> None:
    """All else that reads captions and prompts."""
    flags([CaptionedRegion(1, caption=caption)], language="en")
    NearDuplicates().add("1", caption)
    truth.judge(caption, truth.Truth.of("cat"), [truth.Truth.of("dog")])
    neutralize(caption)


@pytest.mark.parametrize("runs", [SPACES, SIGNS, COMPOUNDS], ids=["spaces", "signs", "compounds"])
def test_answers_with_runs_of_one_piece(runs: list[str]) -> None:
    for run in runs:
        check_growth(parse([1, 2]), "<region1> a", run, "b", 16_384)


def test_captions_and_prompts_with_runs_of_one_piece() -> None:
    for run in [*SPACES, *SIGNS, "9", "a"]:
        check_growth(look, "a", run, "b", 16_384)


@pytest.mark.parametrize(
    "piece",
    [
        "In <region1>, thing {}. ",
        "<region1> and <region2> show thing {}. ",
        "<region{}> and ",
        "<region1> to <region{}>, ",
        "Go <region{}>. ",
        "{}. A thing. ",
        '"{}": "a", ',
        '{{"a {}": 1}} ',
        "[{},",
    ],
)
@pytest.mark.parametrize("numbers", WANTED[1:], ids=len)
def test_runs_that_count(piece: str, numbers: list[int]) -> None:
    def count(text: str) -> object:
        pieces = (piece.format(i % 10_000) for i in range(len(text) // len(piece)))
        return parse(numbers)("".join(pieces))

    check_growth(count, "", "x", "", answers.MAX_CHARS)


def test_json_that_begins_again_and_again() -> None:
    def nest(text: str) -> object:
        return parse([1], json=True)("[" * (len(text) // 300) + text)

    check_growth(nest, "", "1,", "", 65_536)


@pytest.mark.more
@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(
    st.sampled_from(FRAMES),
    st.lists(st.sampled_from(ALL), min_size=1, max_size=2).map("".join),
    st.sampled_from(WANTED),
    st.booleans(),
    st.booleans(),
)
def test_runs_as_long_as_an_answer_may_be(
    frame: tuple[str, str], run: str, numbers: list[int], json: bool, cut: bool
) -> None:
    head, tail = frame
    check_growth(parse(numbers, json=json, cut=cut), head, run, tail, answers.MAX_CHARS)

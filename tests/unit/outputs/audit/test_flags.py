"""The audit of captions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.captions.answers import CUT_OFF, REFUSED
from regioncap.outputs.audit.flags import (
    MAX_WORDS,
    MIN_WORDS,
    CaptionedRegion,
    Flag,
    flags,
)

GOOD = "A grey cat sleeps on a mat."


def names(*regions: CaptionedRegion, language: str = "") -> list[tuple[int, str]]:
    return [(flag.region, flag.name) for flag in flags(regions, language=language)]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (GOOD, []),
        ("A man in a shirt with the number 23 runs.", []),
        ("A red box stands on a blue shelf.", []),
        ("A house in a picture frame on a wall.", []),
        ("一只猫坐在垫子上。", []),
        ('A sign reads "I can\'t stop".', []),
        ("The red box contains a cat.", []),
        ("The yellow box contains a cat.", ["speaks-of-mark"]),
        ("A cat in a Yellow outline sits.", ["speaks-of-mark"]),
        ("The thing with number 3 is a cat.", ["speaks-of-mark"]),
        ("A cat labeled '1' sits there.", ["speaks-of-mark"]),
        ("A cat left of <region2> sits.", ["speaks-of-mark"]),
        ("Region 2 shows a sleeping cat.", ["speaks-of-mark"]),
        ("The bounding box encloses a cat.", ["speaks-of-mark"]),
        ("A cat highlighted with a red line.", ["speaks-of-mark"]),
        ("A cat.", ["too-short"]),
        ("Cat " * 151, ["too-long"]),
        ("A cat sits on a", ["cut-off"]),
        ("A cat, a dog,", ["cut-off"]),
        ("I'm sorry, but I can't help with that.", ["refusal"]),
        ("", ["empty"]),
        (" ... ", ["empty"]),
    ],
)
def test_one_caption(caption: str, expected: list[str]) -> None:
    other = CaptionedRegion(3, caption="Two boats lie at anchor.", colour="green")
    found = names(CaptionedRegion(1, caption=caption, colour="yellow"), other)
    assert found == [(1, name) for name in expected]


def test_any_colour_is_the_marks_where_it_is_not_known() -> None:
    assert names(CaptionedRegion(1, caption="The red box contains a cat.")) == [
        (1, "speaks-of-mark")
    ]


@pytest.mark.parametrize(
    ("status", "why", "name"),
    [
        ("missing", None, "empty"),
        ("invalid", CUT_OFF, "cut-off"),
        ("refused", REFUSED, "refusal"),
        ("skipped", None, "empty"),
    ],
)
def test_no_caption(status: str, why: str | None, name: str) -> None:
    assert names(CaptionedRegion(2, status, None, why)) == [(2, name)]


def test_repeats_whatever_case_and_signs() -> None:
    found = flags(
        [CaptionedRegion(4, caption=GOOD), CaptionedRegion(7, caption=GOOD.upper() + "!")]
    )
    assert found == [Flag(7, "repeats-region", "4")]


def test_two_empty_captions_do_not_repeat_each_other() -> None:
    assert names(CaptionedRegion(1), CaptionedRegion(2)) == [(1, "empty"), (2, "empty")]


@pytest.mark.parametrize(
    ("caption", "language", "flagged"),
    [
        (GOOD, "en", False),
        (GOOD, "de", True),
        ("Die Katze sitzt auf der Matte.", "en", True),
        ("一只猫坐在垫子上。", "en", True),
        ("一只猫坐在垫子上。", "zh", False),
        ("A sign that reads 出口 in the hall.", "en", False),
        ("Bicycle, helmet, gloves.", "de", False),
    ],
)
def test_language(caption: str, language: str, flagged: bool) -> None:
    expected = [(1, "other-language")] if flagged else []
    assert names(CaptionedRegion(1, caption=caption), language=language) == expected
    assert names(CaptionedRegion(1, caption=caption)) == []


def test_limits_are_inclusive() -> None:
    for count, expected in [
        (MIN_WORDS - 1, ["too-short"]),
        (MIN_WORDS, []),
        (MAX_WORDS, []),
        (MAX_WORDS + 1, ["too-long"]),
    ]:
        region = [CaptionedRegion(1, caption="word " * count)]
        assert [flag.name for flag in flags(region)] == expected


CAPTIONED = st.builds(
    CaptionedRegion,
    st.integers(1, 99),
    st.sampled_from(["ok", "refused", "missing", "invalid", "skipped"]),
    st.none() | st.text(),
    st.none() | st.just(CUT_OFF),
    st.sampled_from(["", "red"]),
)


@given(st.lists(CAPTIONED, unique_by=lambda region: region.region), st.sampled_from(["", "en"]))
def test_any_captions(regions: list[CaptionedRegion], language: str) -> None:
    found = flags(regions, language=language)
    pairs = [(flag.region, flag.name) for flag in found]
    assert len(pairs) == len(set(pairs))
    without = {region.region for region in regions if not (region.caption or "").strip()}
    assert without <= {flag.region for flag in found}

"""A caption is right, wrong, or mixed up with another region's."""

from __future__ import annotations

import pytest

from regioncap.evaluation.truth import Outcome, Truth, judge

RED_CIRCLE = Truth.of("red", "circle disc dot")
BLUE_SQUARE = Truth.of("blue", "square")
GREEN_CIRCLE = Truth.of("green", "circle disc dot")


@pytest.mark.parametrize(
    ("caption", "others", "outcome"),
    [
        ("A red circle.", [BLUE_SQUARE], "right"),
        ("Red dots on a wall", [BLUE_SQUARE], "right"),
        ("A disc in bright RED, beside a blue square", [BLUE_SQUARE], "right"),
        ("A blue square.", [BLUE_SQUARE], "mixed-up"),
        ("A blue circle.", [BLUE_SQUARE], "mixed-up"),
        ("A green disc.", [BLUE_SQUARE, GREEN_CIRCLE], "mixed-up"),
        ("A circle.", [GREEN_CIRCLE], "wrong"),
        ("A red thing next to a square.", [BLUE_SQUARE], "mixed-up"),
        ("A red thing.", [BLUE_SQUARE], "wrong"),
        ("Something red on grey", [Truth.of("grey", "ring")], "wrong"),
        ("Something grey", [Truth.of("grey", "ring")], "mixed-up"),
        ("A cat on a mat.", [BLUE_SQUARE, GREEN_CIRCLE], "wrong"),
        ("A blue square.", [], "wrong"),
        ("", [BLUE_SQUARE], "wrong"),
        ("A scarred encirclement", [BLUE_SQUARE], "wrong"),
    ],
)
def test_judge(caption: str, others: list[Truth], outcome: Outcome) -> None:
    assert judge(caption, RED_CIRCLE, others) == outcome


@pytest.mark.parametrize(
    ("caption", "outcome"),
    [("2 red dots", "right"), ("A red patch, about 2 % of the picture", "wrong")],
)
def test_shares_count_nothing(caption: str, outcome: Outcome) -> None:
    assert judge(caption, Truth.of("two 2 pair", "red"), []) == outcome


def test_reference_caption_needs_some_of_its_content_words() -> None:
    own = Truth.of_reference("a brown dog that is running over the grass")
    other = Truth.of_reference("a man with a hat")
    of_head = Truth.of_reference("head of the astronaut")
    of_helmet = Truth.of_reference("helmet with a dark visor")
    assert own is not None
    assert of_head is not None
    assert of_helmet is not None
    assert other is not None

    assert judge("A dog on grass.", own, [other]) == "right"
    assert judge("The head.", of_head, [other]) == "right"
    assert judge("A dark thing.", of_helmet, [other]) == "wrong"
    assert judge("A dark helmet.", of_helmet, [other]) == "right"
    assert judge("A dog.", own, [other]) == "wrong"
    assert judge("A man at work", own, [other]) == "mixed-up"


def test_reference_caption_without_content_is_none() -> None:
    assert Truth.of_reference("it is on the right of that") is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("boxes", "box"), ("cats", "cat"), ("cat's", "cat"), ("glass", "glass"), ("dishes", "dish"),
        ("horses", "horse"), ("houses", "house"), ("glasses", "glass"), ("axes", "axe"),
        ("caches", "cache"), ("buses", "bus"), ("faces", "face"), ("vases", "vase"),
    ],
)  # fmt: skip
def test_plurals_count(said: str, meant: str) -> None:
    assert judge(said, Truth.of(meant), []) == "right"
    assert judge(meant, Truth.of(said), []) == "right"

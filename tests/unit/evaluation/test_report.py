"""The page of an evaluation: what it shows, and that it trusts no model."""

from __future__ import annotations

from regioncap.evaluation.report import html
from regioncap.evaluation.scenes import Scene, make_scene
from regioncap.evaluation.scores import Judged, Result
from regioncap.evaluation.truth import Outcome

SCENES = {
    scene.name: scene
    for scene in (make_scene("shapes", layout, 3, seed=5) for layout in ("apart", "small"))
}
FIRST = next(iter(SCENES.values()))


def result(variant: str, *said: tuple[Scene, int, Outcome, str | None]) -> Result:
    return Result(
        variant,
        [
            Judged(scene.name, scene.kind, number, scene.truths[number - 1].text, caption, outcome)
            for scene, number, outcome, caption in said
        ],
    )


def page(*results: Result) -> str:
    return html(results, SCENES, {"engine": "<i>"})


def test_is_one_page_that_escapes_what_models_say() -> None:
    made = page(result("marks", (FIRST, 1, "wrong", "A cup & <x>.")))

    assert "&lt;i&gt;" in made
    assert "<x>" not in made
    assert "A cup &amp; &lt;x&gt;." in made
    assert "http" not in made.replace("http-equiv", "")


def test_scene_of_each_kind_is_shown_with_the_regions_that_are_not_right() -> None:
    second = SCENES["shapes-small-5"]
    made = page(
        result("a", (FIRST, 1, "right", "One."), (FIRST, 2, "wrong", "Two."),
               (second, 3, "missing", None)),
    )  # fmt: skip

    assert made.count("<figure>") == 2
    assert "Two." in made
    assert "One." not in made
    assert made.index("<h3>shapes-apart-5") < made.index("<h3>shapes-small-5")


def test_ways_that_led_to_the_same_words_are_told_together() -> None:
    ways: list[tuple[Outcome, str]] = [
        ("wrong", "A cup."), ("right", "It."), ("wrong", "A cup."), ("wrong", "A cup.")
    ]  # fmt: skip
    made = page(*(result(f"way {i}", (FIRST, 1, *said)) for i, said in enumerate(ways)))

    assert made.count("A cup.") == 1
    assert "(1, 3–4)" in made
    assert "(2)" in made


def test_best_way_stands_out_only_where_one_is_better() -> None:
    right, wrong = (result("w", (FIRST, 1, o, "It.")) for o in ("right", "wrong"))

    assert page(right, wrong).count('<tr class="best">') == 2
    assert page(right, right).count('<tr class="best">') == 0


def test_all_right_says_so() -> None:
    made = page(result("a", (FIRST, 1, "right", "One.")))

    assert "All captions are right." in made
    assert "<figure>" not in made

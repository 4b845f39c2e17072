"""The evaluation as one page that needs no network and no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.scores import Judged, Result
from regioncap.evaluation.truth import OUTCOMES, Outcome
from regioncap.outputs.pages import data_url, template
from regioncap.views import marks
from regioncap.views.boxes import pixel_rect, scale_xyxy
from regioncap.views.pixels import decode, encode_jpeg

#: Scenes shown, and the size of their pictures; at least one scene of each kind that has faults.
_SHOWN = 12
_SHOWN_SIDE = 640


def html(results: Sequence[Result], scenes: Mapping[str, Scene], facts: Mapping[str, str]) -> str:
    """Writes the page.

    Args:
        results: Scores of each variant, over the same scenes.
        scenes: The scenes by name.
        facts: What else is to be said, such as the engine and the seed.
    """
    rows = [result.row() for result in results]
    shares = [row["right"] for row in rows]
    return template("regioncap/evaluation/evaluation.html.j2").render(
        rows=rows,
        best=max(shares) if len(set(shares)) > 1 else None,
        outcomes={outcome: outcome.replace("-", " ") for outcome in OUTCOMES},
        kinds=_kinds(results),
        samples=[_sample(scenes[name], results) for name in _most_faulty(results)],
        facts=facts,
    )


def _kinds(results: Sequence[Result]) -> dict[str, list[tuple[str, str]]]:
    """Kinds by their content: `colours` has (`apart`, `colours, apart`) and so on."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for kind in dict.fromkeys(kind for result in results for kind in result.by_kind()):
        content, _, layout = kind.partition(", ")
        kinds.setdefault(content, []).append((layout, kind))
    return kinds


def _most_faulty(results: Sequence[Result]) -> list[str]:
    """Names of scenes, kind by kind, those with the most captions that are not right."""
    faults: dict[str, Counter[str]] = {}
    for result in results:
        for judged in result.judged:
            if judged.outcome != "right":
                faults.setdefault(judged.kind, Counter())[judged.scene] += 1
    each = max(1, _SHOWN // max(1, len(faults)))
    return [name for counts in faults.values() for name, _ in counts.most_common(each)]


def _sample(scene: Scene, results: Sequence[Result]) -> dict[str, Any]:
    """A scene with the regions that some way did not get right, and what the ways led to."""
    by_region: dict[int, list[tuple[int, Judged]]] = {}
    for way, result in enumerate(results, start=1):
        for judged in result.judged:
            if judged.scene == scene.name:
                by_region.setdefault(judged.region, []).append((way, judged))
    faulty: list[dict[str, Any]] = [
        {"number": number, "truth": scene.truths[number - 1].text, "said": _grouped(found)}
        for number, found in sorted(by_region.items())
        if any(judged.outcome != "right" for _, judged in found)
    ]
    numbers = [region["number"] for region in faulty]
    return {"name": scene.name, "picture": _picture(scene, numbers), "regions": faulty}


def _grouped(found: Sequence[tuple[int, Judged]]) -> list[dict[str, str | None]]:
    """What was said of a region, and the numbers of the ways that led to it."""
    ways: dict[tuple[Outcome, str | None], list[int]] = {}
    for way, judged in found:
        ways.setdefault((judged.outcome, judged.caption), []).append(way)
    return [
        {"outcome": outcome, "caption": caption, "ways": _as_runs(numbers)}
        for (outcome, caption), numbers in ways.items()
    ]


def _as_runs(numbers: Sequence[int]) -> str:
    """Ascending numbers as people write them: `1–3, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _picture(scene: Scene, numbers: Sequence[int]) -> str:
    image = decode(scene.image).image
    full_wh = image.size
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    boxes = [scene.boxes_xyxy[number - 1] for number in numbers]
    scaled = [pixel_rect(scale_xyxy(box, full_wh, image.size), image.size) for box in boxes]
    style = marks.get(marks.DEFAULT)
    drawn = style.draw(np.asarray(image), style.layout(image.size, scaled, numbers))
    return data_url(encode_jpeg(drawn, quality=80))

"""The evaluation as one page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.scores import Judged, Result
from regioncap.gallery import data_url
from regioncap.images import decode, encode_jpeg

#: Captions shown of each variant that are not right, and the size of their pictures.
_SHOWN = 6
_SHOWN_SIDE = 480


def html(results: Sequence[Result], scenes: Mapping[str, Scene], facts: Mapping[str, str]) -> str:
    """Writes the page.

    Args:
        results: What came of each variant, over the same scenes.
        scenes: The scenes by name.
        facts: What else is to be said, such as the engine and the seed.
    """
    environment = Environment(
        loader=PackageLoader("regioncap", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("evaluation.html.j2").render(
        rows=[result.row() for result in results],
        kinds=list(dict.fromkeys(kind for result in results for kind in result.by_kind())),
        samples=[(result.variant, _samples(result, scenes)) for result in results],
        facts=facts,
    )


def _samples(result: Result, scenes: Mapping[str, Scene]) -> list[tuple[str, str, list[Judged]]]:
    """Scenes with captions that are not right: name, picture, these captions; spread over kinds."""
    faulty = [judged for judged in result.judged if judged.outcome != "right"]
    by_scene = [(name, list(group)) for name, group in groupby(faulty, lambda j: j.scene)]
    first_of_kind = {group[0].kind: (name, group) for name, group in reversed(by_scene)}
    chosen = list(first_of_kind.values())[::-1][:_SHOWN]
    return [(name, _picture(scenes[name], group), group) for name, group in chosen]


def _picture(scene: Scene, judged: Sequence[Judged]) -> str:
    """The scene with the regions in question, as an address."""
    from regioncap import marks

    image = decode(scene.image).image
    full_wh = image.size
    image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    scale = image.width / full_wh[0]
    numbers = [each.region for each in judged]
    boxes = [scene.boxes_xywh[number - 1] for number in numbers]
    scaled = [(x * scale, y * scale, (x + w) * scale, (y + h) * scale) for x, y, w, h in boxes]
    style = marks.get(marks.DEFAULT)
    drawn = style.draw(image, style.layout(image.size, scaled, numbers))
    return data_url(encode_jpeg(drawn, quality=80))

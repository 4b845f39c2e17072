"""The gallery: results as one self-contained page that needs no network and no server.

The page is written as a stream, a few records at a time, so that a large job needs no memory here.
The records lie in it as JSON; the page's own script shows fifty of them at a time. What a model
wrote is never trusted: it reaches the page as text alone, and a content security policy lets
nothing run or load but the page's own script, its own style, and pictures from beside it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from markupsafe import Markup

from regioncap.jobs import picks
from regioncap.outputs.pages import asset, csp_hash, json_for_html, template
from regioncap.views.marks.palette import PALETTE, text_rgb

_FOLDER = "regioncap/outputs/gallery"
#: How many records stand in one data block; the browser parses block by block.
BLOCK_RECORDS = 50


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """One result and where the page finds its pictures.

    A picture's address is relative to the page (`file_url`), a `data:` URL (`data_url`), or None.
    """

    #: The result in its output form.
    record: Mapping[str, Any]
    #: The picture without marks, whole and as shown; of any size.
    clean: str | None = None
    #: The marked picture, as the model saw it.
    marked: str | None = None


@dataclass(frozen=True, slots=True)
class GallerySummary:
    """What stands above the records; the counts are the page's own."""

    title: str
    #: Further facts by name, such as the model and the day, in the order given.
    facts: Mapping[str, str] = field(default_factory=dict)
    #: The job's id, by which the page is known again.
    job: str = ""


def write_gallery(out: TextIO, records: Iterable[GalleryRecord], summary: GallerySummary) -> None:
    """Writes the page.

    Args:
        out: Text file opened for writing as UTF-8.
        records: Results in the order to show; taken one block at a time.
        summary: The page's title and facts.
    """
    page = template(f"{_FOLDER}/gallery.html.j2")
    out.writelines(page.generate(gallery_values(records, summary)))


def gallery_values(
    records: Iterable[GalleryRecord], summary: GallerySummary, *, script: str = "", style: str = ""
) -> dict[str, Any]:
    """What the gallery's template shows; arguments as for `write_gallery`.

    Args:
        records: Results in the order to show.
        summary: The page's title and facts.
        script: Stands after the gallery's own script, for a page that extends the template.
        style: Stands after the gallery's own style.
    """
    script = asset(f"{_FOLDER}/gallery-parts.js") + asset(f"{_FOLDER}/gallery.js") + script
    style = asset(f"{_FOLDER}/gallery.css") + style
    return {
        "summary": summary,
        "blocks": _blocks(records),
        "palette": json_for_html(_palette()),
        "script": Markup(script),  # noqa: S704 # ships with the package
        "style": Markup(style),  # noqa: S704
        "script_hash": csp_hash(script),
        "style_hash": csp_hash(style),
    }


def file_url(path: Path, page_dir: Path) -> str:
    """The address of a picture file, relative to the folder that the page lies in."""
    return quote(Path(os.path.relpath(path, page_dir)).as_posix())


def _palette() -> list[dict[str, str]]:
    return [{"name": c.name, "fill": _hex(c.rgb), "ink": _hex(text_rgb(c.rgb))} for c in PALETTE]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _blocks(records: Iterable[GalleryRecord]) -> Iterator[Markup]:
    waiting = iter(records)
    while block := list(itertools.islice(waiting, BLOCK_RECORDS)):
        yield json_for_html(
            [
                {
                    "record": dict(r.record),
                    "clean": r.clean,
                    "marked": r.marked,
                    "picks": picks.of(r.record),
                }
                for r in block
            ]
        )

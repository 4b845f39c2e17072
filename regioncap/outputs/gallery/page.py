"""The gallery: results as one self-contained page that needs no network and no server.

The page is written as a stream, a few records at a time, so that a large job needs no memory here.
The records lie in it as JSON; the page's own script shows fifty of them at a time. What a model
wrote is never trusted: it reaches the page as text alone, and a content security policy lets
nothing run or load but the page's own script, its own style, and pictures from beside it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from regioncap.views.marks.palette import PALETTE, text_rgb

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


def write_gallery(out: TextIO, records: Iterable[GalleryRecord], summary: GallerySummary) -> None:
    """Writes the page.

    Args:
        out: Text file opened for writing as UTF-8.
        records: Results in the order to show; taken one block at a time.
        summary: The page's title and facts.
    """
    page = template("regioncap.outputs.gallery", "gallery.html.j2")
    script = _asset("gallery-parts.js") + _asset("gallery.js")
    style = _asset("gallery.css")
    out.writelines(
        page.generate(
            summary=summary,
            blocks=_blocks(records),
            palette=_json_for_html(_palette()),
            script=Markup(script),  # noqa: S704 # ships with the package
            style=Markup(style),  # noqa: S704
            script_hash=csp_hash(script),
            style_hash=csp_hash(style),
        )
    )


def file_url(path: Path, page_dir: Path) -> str:
    """The address of a picture file, relative to the folder that the page lies in."""
    return quote(Path(os.path.relpath(path, page_dir)).as_posix())


def data_url(jpeg: bytes) -> str:
    """A JPEG as an address, for a page that carries its pictures within itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def csp_hash(text: str) -> str:
    """The source expression that allows exactly this inline text (CSP Level 3, section 2.3.1)."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def template(folder: str, name: str) -> Template:
    """The template of a page that lies in the folder of a package; all that it shows is escaped."""
    environment = Environment(
        loader=PackageLoader(folder, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def _asset(name: str) -> str:
    path = Path(__file__).resolve().parent / name
    return path.read_text(encoding="utf-8")


def _palette() -> list[dict[str, str]]:
    return [{"name": c.name, "fill": _hex(c.rgb), "ink": _hex(text_rgb(c.rgb))} for c in PALETTE]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _blocks(records: Iterable[GalleryRecord]) -> Iterator[Markup]:
    waiting = iter(records)
    while block := list(itertools.islice(waiting, BLOCK_RECORDS)):
        yield _json_for_html(
            [{"record": dict(r.record), "clean": r.clean, "marked": r.marked} for r in block]
        )


def _json_for_html(value: object) -> Markup:
    """JSON that may stand in a script element: pure ASCII, and no `<` that could end it."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(value), separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 # inert: JSON is data, not markup


def _without_nan(value: object) -> object:
    """The same value with NaN and infinities as null, which is all that a browser reads."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)

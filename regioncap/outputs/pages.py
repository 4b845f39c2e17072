"""What all HTML pages share: one template environment, and what may stand in a page."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """The template of a page, by its package and path; all that it shows is escaped."""
    return _environment().get_template(name)


@cache
def asset(name: str) -> str:
    """The text of a file that ships with a package: `regioncap/outputs/gallery/gallery.css`."""
    package, _, path = name.partition("/")
    return resources.files(package).joinpath(path).read_text("utf-8")


def data_url(jpeg: bytes) -> str:
    """A JPEG as an address, for a page that carries its pictures within itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def csp_hash(text: str) -> str:
    """The source expression that allows exactly this inline text (CSP Level 3, section 2.3.1)."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def json_for_html(value: object) -> Markup:
    """JSON that may stand in a script element: pure ASCII, and no `<` that could end it."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_without_nan(value), separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 # inert: JSON is data, not markup


def _without_nan(value: object) -> object:
    """The same value with NaN and infinities as null, which is all that a browser reads."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)

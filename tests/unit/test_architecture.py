"""Which room may know of which: the library of no entry point, and they not of each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What the modules of a package may not import.
FORBIDDEN = {
    "regioncap": {"workers", "producer", "tests", "bench", "typer", "rich"},
    "workers": {"producer", "tests", "bench"},
    "producer": {"workers", "tests", "bench"},
}

#: Pure modules: they get bytes and give bytes, and reach nothing outside the process.
PURE = (
    "records", "layout", "boxes", "regions", "images", "rounds", "crops", "views", "marks/*",
    "proposals/*", "looks/*", "prompts", "captioning", "answers", "answer_json", "markers",
    "markdown", "refusals", "texts", "audit", "languages", "near_duplicates", "sums", "rates",
)  # fmt: skip
REACHING = {"minio", "redis", "celery", "kombu", "socket", "urllib3", "subprocess", "requests"}


def imports(path: Path) -> Iterator[str]:
    """Top names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_layers(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    crossings = {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in imports(path)
        if name in FORBIDDEN[package]
    }

    assert not crossings


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_reach_nothing(name: str) -> None:
    files = list((ROOT / "regioncap").glob(f"{name}.py"))
    assert files
    assert not {(path.name, top) for path in files for top in imports(path) if top in REACHING}


def test_every_module_has_its_room_on_the_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = page[page.index("## Rooms") : page.index("## Adding")]
    library = ROOT / "regioncap"
    modules = {path.name for path in library.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in library.glob("*/__init__.py")}

    cells = re.findall(r"^\| (`.*?`) \|", rooms, re.M)
    assert sorted(name for cell in cells for name in re.findall(r"`(.*?)`", cell)) == sorted(
        modules | folders
    )

"""Which room may import which; the map stands in the docstring of `regioncap`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "regioncap"

#: What a room of the library may import besides itself and the top modules; `room.module` allows
#: that module alone. Rooms stand in the order of the data.
ROOMS = {
    "services": set[str](),
    "views": set[str](),
    "inputs": {"views", "services.store"},
    "engines": {"views"},
    "captions": {"views", "engines.base"},
    "jobs": {"inputs", "views", "engines", "captions", "services"},
    "outputs": {"jobs", "captions", "views", "services"},
    "local": {"services", "engines.gpu_groups"},
    "evaluation": {
        "inputs", "views", "engines", "captions", "jobs.status", "outputs.pages", "client",
    },
    # The faces for programs stand at the top of the package and use its rooms.
    "client": {"inputs", "views", "jobs", "outputs", "services"},
    "async_client": {"jobs", "outputs", "client"},
    "dataflow": {"inputs", "jobs", "services", "local", "client"},
}  # fmt: skip
#: What all rooms share: these modules import no room.
TOP = {
    "errors", "settings", "records", "job", "keys", "metrics", "files", "parallel", "packages",
    "running_stack", "escapes", "tether", "plurals", "addresses",
}  # fmt: skip

#: What the modules of a package may not import.
FORBIDDEN = {
    "regioncap": {"workers", "producer", "tests", "bench", "typer", "rich"},
    "workers": {"producer", "tests", "bench"},
    "producer": {"workers", "tests", "bench"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PACKAGES = ("regioncap", "workers", "producer")
FILES = {module_name(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def imported(path: Path) -> Iterator[str]:
    """All modules that a file names in an import, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in FILES else node.module


def loaded_with(module: str) -> Iterator[str]:
    """A module and the packages around it, whose `__init__` runs first."""
    parts = module.split(".")
    yield from (".".join(parts[:end]) for end in range(2, len(parts) + 1))


def room_of(module: str) -> str:
    """The room, or the top module, that a module of the library lives in."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_keep_apart(package: str) -> None:
    crossings = {
        (module, name)
        for module, path in FILES.items()
        if module.split(".")[0] == package
        for name in imported(path)
        if name.split(".")[0] in FORBIDDEN[package]
    }

    assert not crossings


def test_the_library_is_its_rooms() -> None:
    folders = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    modules = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__"}

    assert folders | (modules - TOP) == set(ROOMS)
    assert len(modules) <= 17
    missing = [name for name in folders | modules if not re.search(rf"\b{name}\b", _map(LIBRARY))]
    assert not missing, "the docstring of the package is the map"


@pytest.mark.parametrize(
    "package",
    ["producer", "workers", "regioncap/inputs", "regioncap/inputs/forms", "regioncap/local"],
)
def test_a_map_names_every_module(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__", "__main__"}

    text = _map(ROOT / package)
    named = {name for name in modules if re.search(rf"(?m)(^|[;,])\s*{name}(,|  )", text)}
    assert named == modules, "the docstring of the package is the map"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_row_allows(room: str) -> None:
    allowed = {f"regioncap.{name}" for name in ROOMS[room] | TOP | {room}}
    crossings = {
        (module, name)
        for module, path in FILES.items()
        if module.split(".")[0] == "regioncap" and room_of(module) == room
        for name in imported(path)
        if name.startswith("regioncap.")
        and not any(name == each or name.startswith(f"{each}.") for each in allowed)
    }

    assert not crossings


@pytest.mark.parametrize("top", sorted(TOP))
def test_a_top_module_imports_no_room(top: str) -> None:
    names = {name for name in imported(LIBRARY / f"{top}.py") if name.startswith("regioncap.")}

    assert {room_of(name) for name in names} <= TOP


def test_no_circles() -> None:
    graph = {
        module: {
            needed
            for name in imported(path)
            for needed in loaded_with(name)
            if needed in FILES and not f"{module}.".startswith(f"{needed}.")
        }
        for module, path in FILES.items()
        if module != "regioncap"  # loads its public names when they are used
    }

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("room", ["views", "captions"])
def test_pure_rooms_load_no_client(room: str) -> None:
    names = [module for module in FILES if f"{module}.".startswith(f"regioncap.{room}.")]

    assert not {"minio", "redis", "celery", "kombu", "urllib3"} & modules_loaded_with(*names)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["render", "caption", "janitor"])
def test_workers_load_nothing_of_what_users_take(kind: str) -> None:
    named = {
        name
        for module, path in FILES.items()
        if module.startswith("workers.")
        for name in imported(path)
    }
    loaded = modules_loaded_with(f"workers.{kind}")

    assert "regioncap.services.store" in named & loaded
    assert not [name for name in named | loaded if name.startswith("regioncap.outputs")]
    assert not {"jinja2", "pyarrow", "webdataset", "typer"} & loaded


def modules_loaded_with(*names: str) -> set[str]:
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert loaded >= set(names)
    return loaded


def _map(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""

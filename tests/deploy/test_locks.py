"""What the images are made of is pinned, by version and hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.compose import ROOT

DOCKER = ROOT / "deploy/docker"


def _pinned(lock: Path) -> dict[str, list[str]]:
    """Versions by name; a package may be pinned apart for some Pythons."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.M):
        found.setdefault(name, []).append(version)
    return found


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_every_line_has_a_hash_and_no_other_source(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (DOCKER / name).read_text(), flags=re.M)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .* )?\\\n    --hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry


def test_the_lock_is_as_the_project_asks() -> None:
    project = _project()["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["render"], *extras["formats"]]
    pinned = _pinned(DOCKER / "requirements.lock")
    for requirement in map(Requirement, asked):
        for version in map(Version, pinned[requirement.name]):
            assert version in requirement.specifier, f"{requirement}: run `make lock`"


def test_what_builds_is_pinned() -> None:
    (backend,) = map(Requirement, _project()["build-system"]["requires"])
    (version,) = _pinned(DOCKER / "build.lock")[backend.name]
    assert Version(version) in backend.specifier


def test_the_image_takes_nothing_else() -> None:
    text = (DOCKER / "Dockerfile.cpu").read_text()
    installs = re.findall(r"pip (?:install|wheel) (.*?)(?: \\)?$", text, re.M)
    assert len(installs) == 4
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps" in arguments


def test_both_images_can_draw_and_read_pictures_of_all_formats() -> None:
    assert "opencv-python-headless" in _pinned(DOCKER / "requirements.lock")
    assert "pillow-heif" in _pinned(DOCKER / "requirements.lock")
    assert '".[render,formats]"' in (DOCKER / "Dockerfile.cuda").read_text()

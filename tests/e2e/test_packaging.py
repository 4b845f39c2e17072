"""What is built is whole, holds nothing of the workshop, and works where nothing else is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import regioncap
from tests.support.system import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"regioncap-{regioncap.__version__}-py3-none-any.whl")


def in_checkout(*folders: str) -> set[str]:
    """Files of the product, as git knows them."""
    return set(run("git", "ls-files", *folders, cwd=ROOT).splitlines())


def test_wheel_holds_the_product_and_nothing_else(built: Path) -> None:
    with wheel(built) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == in_checkout("regioncap", "workers", "producer")
    assert {"regioncap/py.typed", "regioncap/views/prompt_templates/regions-2.toml"} <= names
    assert "regioncap/outputs/gallery/gallery.html.j2" in names
    assert "regioncap/inputs/examples/photos/cat.jpg" in names


def test_sdist_can_be_built_and_tested_from(built: Path) -> None:
    with tarfile.open(built / f"regioncap-{regioncap.__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert in_checkout("regioncap", "workers", "producer", "tests", "pyproject.toml") <= names
    assert {"LICENSE", "README.md"} <= names


def test_every_extra_that_is_spoken_of_is_there(built: Path) -> None:
    with wheel(built) as archive:
        text = archive.read(f"regioncap-{regioncap.__version__}.dist-info/METADATA").decode()
    metadata = Parser().parsestr(text)
    extras = set(metadata.get_all("Provides-Extra", []))
    required = "\n".join(metadata.get_all("Requires-Dist", []))
    pages = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    source = [path.read_text() for path in (ROOT / "regioncap").rglob("*.py")]

    words = "\n".join([text, *pages, *source])
    lists = re.findall(r"(?:regioncap|'\.)\[([a-z,]+)\]", words)
    lists += re.findall(r"install_line\(['\"]([a-z]+)", words)
    spoken = {extra for extras in lists for extra in extras.split(",")}

    assert {"vllm", "openai", "export", "local"} <= spoken
    assert spoken <= extras
    for extra in extras:
        assert re.search(rf"extra == ['\"]{extra}['\"]", required)


@pytest.mark.timeout(1200)
@pytest.mark.more
def test_works_where_nothing_else_is(built: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "clean")
    binaries = tmp_path / "clean" / "bin"
    (wheel_file,) = built.glob("*.whl")
    pip: list[str | Path] = [binaries / "python", "-m", "pip"]
    install = [*pip, "install", "--quiet", "--no-compile"]  # most modules are never imported here
    # As the CPU image is made: the lock holds all that it needs, also to draw.
    lock = ROOT / "deploy/docker/requirements.lock"
    run(*install, "--require-hashes", "-r", lock)
    run(*install, "--no-deps", wheel_file)
    run(*pip, "check")
    run(binaries / "python", "-c", "import cv2, workers.render, workers.caption", cwd=tmp_path)

    version = run(binaries / "regioncap", "--version", cwd=tmp_path)
    templates = run(binaries / "regioncap", "prompts", "list", cwd=tmp_path)

    assert version == f"regioncap {regioncap.__version__}\n"
    assert "regions-2" in templates

    # What development needs must not be what the workers live on.
    run(*install, f"{wheel_file}[local,export,openai]")
    run(*pip, "check")
    run(binaries / "regioncap", "demo", cwd=tmp_path)

    assert (tmp_path / "demo-out" / "gallery.html").exists()
    run(binaries / "python", "-c", "import pyarrow.parquet, webdataset, openai", cwd=tmp_path)


def test_no_page_names_a_distribution_that_no_index_has() -> None:
    paths = [ROOT / name for name in in_checkout() if name.endswith((".md", ".py", ".toml"))]
    lines = [
        line
        for path in paths
        if "tests" not in path.relative_to(ROOT).parts
        for line in path.read_text().splitlines()
        if re.search(r"pip3? install[^|]*['\" ]regioncap\b", line)
    ]

    assert lines
    for line in lines:
        assert re.search(rf"regioncap\[[a-z,]+\] @ git\+{re.escape(_repository())}'", line) or (
            "@ {url" in line
        ), line


def _repository() -> str:
    return str(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    )


@pytest.mark.more
@pytest.mark.timeout(1200)
def test_each_line_of_the_pages_installs(tmp_path: Path) -> None:
    """From a copy of the checkout and from its repository, small extras for real, vLLM's dry."""
    checkout = tmp_path / "checkout"
    run("git", "clone", "--quiet", ROOT, checkout)
    names = [name for name in in_checkout("README.md", "docs") if name.endswith(".md")]
    pages = [(ROOT / name).read_text() for name in names]
    lines = set(re.findall(r"pip install (?:-e )?'[^'\n…]+'", "\n".join(pages)))
    lines = {line for line in lines if "[" in line}

    assert {"[local]", "[vllm]", "[export]"} <= set(re.findall(r"\[[a-z]+\]", str(lines)))
    assert any("git+" in line for line in lines)
    for number, line in enumerate(sorted(lines)):
        run(sys.executable, "-m", "venv", tmp_path / str(number))
        binaries = tmp_path / str(number) / "bin"
        # Before 24.1, pip knows no git+file:// behind an @.
        run(binaries / "python", "-m", "pip", "install", "--quiet", "--upgrade", "pip")
        arguments = shlex.split(line.replace(_repository(), f"file://{ROOT}"))[1:]
        dry = ["--dry-run"] if "vllm" in line else []
        run(binaries / "python", "-m", "pip", *arguments, "--quiet", *dry, cwd=checkout)
        if not dry:
            run(binaries / "regioncap", "--version", cwd=tmp_path)
            said = run(
                binaries / "python", "-c",
                "from regioncap.packages import install_line; print(install_line('openai'))",
                cwd=tmp_path,
            )  # fmt: skip
            run(binaries / "python", "-m", "pip", *shlex.split(said)[1:], "--quiet", "--dry-run")

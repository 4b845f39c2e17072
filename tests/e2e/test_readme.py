"""What README and docs tell people to type works, and what they point at is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.system import ROOT, System, write_jsonl

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PHOTOS = ROOT / "regioncap" / "inputs" / "examples" / "photos"

#: Beginnings of commands that are not run here, and why.
NOT_RUN = {
    "make": "runs this test, or is run by CI",
    "pip install": "test_packaging.py installs",
    "docker build": "no container engine; tests/deploy reads the files",
    "docker compose": "no container engine; tests/deploy reads the file",
    "docker run": "no container engine",
    "deploy/secrets.sh": "tests/faults/test_secrets.py and tests/deploy run it",
    "celery -A": "never ends; the system under test runs these workers",
    "regioncap serve": "never ends; browser/test_serve.py runs it",
    "regioncap up": "never ends; test_stack_commands.py runs it",
    "regioncap worker": "never ends; the system under test runs workers",
}
FIRST_WORDS = {"regioncap", "make", "pip", "docker", "celery", "deploy/secrets.sh"}


def commands(page: Path) -> list[str]:
    """Indented lines that begin with a program that we speak of, without remarks."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}(\S.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
    plain = [line.partition(" #")[0].strip().removeprefix(".venv/bin/") for line in lines]
    return [line for line in plain if line.split()[0] in FIRST_WORDS]


def is_run(command: str) -> bool:
    return not any(command.startswith(start) for start in NOT_RUN)


ALL = [(page.name, command) for page in PAGES for command in commands(page)]


@pytest.fixture(scope="module")
def folder(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the pages speak of."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(PHOTOS, folder / "photos")
    shutil.copy(PHOTOS / "cat.jpg", folder / "photo.jpg")
    shown_lines = re.findall(r"^ {4}(\{.*\})$", (ROOT / "README.md").read_text("utf-8"), re.M)
    record, unboxed = map(json.loads, shown_lines)
    assert "bbox" not in unboxed
    for name in ("my.jsonl", "more.jsonl", "boxes.jsonl"):
        write_jsonl(folder / name, [record] * 4)
    shown = ROOT / "regioncap" / "views" / "prompt_templates" / "regions-2.toml"
    shutil.copy(shown, folder / "own.toml")
    write_jsonl(folder / "own.jsonl", [record | {"captions": ["an eye", "the other eye"]}])
    quality = (ROOT / "docs" / "quality.md").read_text("utf-8")
    (schema,) = re.findall(r"^    (\{\"type\": \"object\".*?)\n\n", quality, re.S | re.M)
    (folder / "mine.json").write_text(schema)
    _put_into_the_store(system, folder)
    done = system.command("submit", "my.jsonl", "--wait", cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    (folder / "job").write_bytes(done.stdout.strip())
    return folder


def _put_into_the_store(system: System, folder: Path) -> None:
    """Lays the input into the bucket, where the pages call it bucket/data.jsonl and folder/."""
    store = system.services.store
    for path in folder.rglob("*.jpg"):
        for place in ("read/", "read/folder/"):
            store.put(place + str(path.relative_to(folder)), path.read_bytes())
    store.put("read/data.jsonl", (folder / "my.jsonl").read_bytes())


def _run_each() -> list[Any]:
    """The commands once each; those that the README has not are too many for each run."""
    pages: dict[str, str] = {}
    for page, command in ALL:
        if is_run(command):
            pages.setdefault(command, page)
    more = pytest.mark.more
    return [
        command if page == "README.md" else pytest.param(command, marks=more)
        for command, page in pages.items()
    ]


@pytest.mark.parametrize("command", _run_each())
def test_command_of_the_pages_runs(system: System, folder: Path, command: str) -> None:
    job = (folder / "job").read_text()
    words = {"JOB": job, "FILE": "my.jsonl", "FORMAT": "jsonl", "PATH": "out", "MODE": "crop"}
    words["vllm"] = "baseline"  # without a model, all else of the command is tried
    command, _, output = command.partition(" > ")
    command = command.replace("s3://bucket/", f"s3://{system.services.settings.s3_bucket}/read/")
    arguments = [words.get(word, word) for word in shlex.split(command)[1:] if word != "--open"]
    if arguments[0] == "eval" and "--data" not in arguments:
        arguments += ["--scenes", "1", "--kinds", "colours, apart"]
    if "--baseline" in arguments:  # what the line before it on the page has written
        _run(system, folder, "old.json", "eval", *arguments[1:3], "--json", *arguments[-4:])

    _run(system, folder, output, *arguments)


def _run(system: System, folder: Path, output: str, *arguments: str) -> None:
    """Runs a command that must succeed; what it prints goes to a file, if one is named."""
    done = system.command(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    if output:
        (folder / output).write_bytes(done.stdout)


#: What each program of the page prints of four times the record of the README, or of one.
PRINTED = [
    rb"4 records, 0 failed\n(photos/cat\.jpg \['[^']+', '[^']+'\]\n){4}",
    rb"\['[^']+'\]\n",
    rb"cache/\S+\.jsonl 8\n(In <region1>, .+\n+In <region2>, .+\n){4}",
]


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_python_of_the_page_runs(system: System, folder: Path, number: int) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text("utf-8"), re.S | re.M
    )
    assert len(blocks) == len(PRINTED)

    ran = subprocess.run(
        [sys.executable, "-c", blocks[number]],
        cwd=folder, env=system.env | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120,
        check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr.decode()
    assert re.fullmatch(PRINTED[number], ran.stdout), ran.stdout.decode()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))

    missing = [each for each in links if "://" not in each and not (page.parent / each).exists()]

    assert not missing

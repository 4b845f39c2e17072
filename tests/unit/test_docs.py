"""Pages are as the code is: those that follow from it, and what others name of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import docs


@pytest.mark.parametrize("name", ["docs/cli.md", "docs/errors.md"])
def test_page_is_up_to_date(name: str) -> None:
    assert (docs.ROOT / name).read_text("utf-8") == docs.pages()[name], "run python -m tools.docs"


def test_collect_errors() -> None:
    found = docs.collect_errors()

    # One of each way in which the code names an error.
    assert found["store-unavailable"].exit_code == 4  # a class
    assert "image … is a URL" in found["image-url"].messages  # a raise
    assert found["bad-json"].exit_code == 3  # a line that becomes an error record
    assert "… has no area" in found["bad-box"].messages
    assert "`regioncap jobs` lists the recent ones" in found["no-such-job"].hints
    refused = "vLLM refused request …: …"  # one of two, each with the hint that goes with it
    assert refused in found["prompt-too-long"].messages
    assert refused in found["engine-request"].messages
    hint = "raise engine_args.max_model_len, or lower max_pixels"
    assert hint in found["prompt-too-long"].hints
    assert hint not in found["engine-request"].hints


ARCHITECTURE = (docs.ROOT / "docs/architecture.md").read_text("utf-8")


def _file(name: str) -> Path | None:
    """A file as the page names it: from the root, from `regioncap/`, or by its own name alone."""
    places = (docs.ROOT / name, docs.ROOT / "regioncap" / name)
    found = [place for place in places if place.is_file()]
    if not found and "/" not in name:
        found = list((docs.ROOT / "regioncap").rglob(name))
    return found[0] if found else None


@pytest.mark.parametrize("name", sorted(set(re.findall(r"[\w/]+\.py\b", ARCHITECTURE))))
def test_architecture_names_files_that_are_there(name: str) -> None:
    assert _file(name)


@pytest.mark.parametrize(
    ("name", "what"), re.findall(r"`([\w/]+\.py)`:\s+`([\w.]+)`", ARCHITECTURE)
)
def test_the_walk_names_what_the_file_has(name: str, what: str) -> None:
    file = _file(name)

    assert file
    assert re.search(rf"(def|class) {what.rpartition('.')[2]}\b", file.read_text("utf-8"))


def test_each_outcome_of_a_shard_is_told() -> None:
    page = (docs.ROOT / "docs/deployment.md").read_text("utf-8")
    (row,) = re.findall(r"regioncap_shards_total\{.*?: (.*) \|$", page, re.MULTILINE)
    files = ("regioncap/jobs/render.py", "regioncap/jobs/caption.py", "workers/shards.py")
    code = "".join((docs.ROOT / name).read_text("utf-8") for name in files)

    found = set(re.findall(r'(?:return|\boutcome = .*|\boutcome=)\s*"([a-z ]+)"', code))

    told = re.sub(r"\(.*?\)", "", row).replace(" ", "").split(",")
    assert {outcome.replace(" ", "-") for outcome in found} - {"waits"} == set(told)


OPERATIONS = (docs.ROOT / "docs/operations.md").read_text("utf-8")
#: The rows of its first table, without head and rule.
FAILURES = re.findall(r"^\| .*\|$", OPERATIONS.partition("## Commands")[0], re.MULTILINE)[2:]
#: A file of tests, and one of its tests.
TEST = r"`([\w/]+/test_\w+\.py)(?:::(\w+))?`"


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row[2:30])
def test_each_failure_names_its_test(row: str) -> None:
    assert re.search(TEST, row.rstrip(" |").rpartition("|")[2])


@pytest.mark.parametrize(("file", "name"), sorted(set(re.findall(TEST, OPERATIONS))))
def test_tests_that_are_named_are_there(file: str, name: str) -> None:
    text = (docs.ROOT / "tests" / file).read_text("utf-8")

    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)

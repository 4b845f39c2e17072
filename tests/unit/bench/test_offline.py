"""What is brought to a GPU machine without a network."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_all_that_we_import_is_brought_or_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["local"], *extras["render"]]
    named = {re.split(r"[\[<>=; ]", line)[0].lower() for line in wanted} - {"regioncap"}
    text = (ROOT / "bench/gpu/offline/packages.txt").read_text()
    (there,) = re.findall(r"^# What that Python has: (.*)$", text, re.MULTILINE)
    brought = re.findall(r"^([a-z0-9._-]+)==", re.sub(r"#.*|\s+", "\n", text.lower()), re.MULTILINE)

    assert "celery" in brought
    assert named <= {*brought, *there.split()}

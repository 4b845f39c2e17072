"""Pages that follow from the code are as the code is."""

from __future__ import annotations

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
    assert found["no-such-job"].hints == ["`regioncap status` lists the recent ones"]

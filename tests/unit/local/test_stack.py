"""The embedded stack before its servers run: what stands in its way, and what was left there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.local import LocalStack
from regioncap.running_stack import RunningStack, find_stack


class Looking(LocalStack):
    """A stack without servers, which looks for itself at the moment it would start them."""

    found: RunningStack | None

    def _start_servers(self) -> None:
        self.found = find_stack(self.folder)


def test_start__says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="cannot be written: ") as caught:
        LocalStack(tmp_path / "file/.regioncap").start()

    assert caught.value.code == "bad-output"


def test_one_that_starts_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"pid": 1, "settings": {}}))

    with Looking(tmp_path) as stack:
        assert stack.found is None
        assert find_stack(tmp_path) is not None

"""The embedded stack in a folder that another process has left, before its servers run."""

from __future__ import annotations

import json
from pathlib import Path

from regioncap.local import LocalStack
from regioncap.running_stack import RunningStack, find_stack


class Looking(LocalStack):
    """A stack without servers, which looks for itself at the moment it would start them."""

    found: RunningStack | None

    def _start_servers(self) -> None:
        self.found = find_stack(self.folder)


def test_one_that_starts_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"pid": 1, "settings": {}}))

    with Looking(tmp_path) as stack:
        assert stack.found is None
        assert find_stack(tmp_path) is not None

"""A stack that cannot start says why; what one does is tested with its servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.local import LocalStack


def test_start__says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="cannot be written: ") as caught:
        LocalStack(tmp_path / "file/.regioncap").start()

    assert caught.value.code == "bad-output"

"""The whole system, shared by the tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.system import System, running_system


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system for the session; tests that stop parts of it start their own."""
    with running_system(tmp_path_factory.mktemp("system")) as running:
        yield running

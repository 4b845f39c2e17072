"""One stack for all faults; workers of its own for each."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from regioncap import keys
from regioncap.local import LocalStack
from tests.support.rig import Rig, write_input

RECORDS = 96


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Servers that tests may kill: they come back by themselves."""
    with LocalStack(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="session")
def input_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_input(tmp_path_factory.mktemp("input"), RECORDS)


@pytest.fixture(scope="session")
def expected(
    fault_stack: LocalStack, input_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The results of a run that nothing disturbs."""
    rig = Rig(fault_stack, tmp_path_factory.mktemp("undisturbed"))
    try:
        rig.start("render")
        rig.start("caption")
        job = rig.submit(input_file)
        rig.check(job)
        return rig.results(job)
    finally:
        rig.stop()


@pytest.fixture
def rig(fault_stack: LocalStack, expected: bytes, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(fault_stack, tmp_path)
    for key in rig.store.list_keys(keys.OPEN):  # what a failed test left would be gone on with
        rig.store.delete(key)
    rig.redis.flushall()
    yield rig
    rig.stop()


@pytest.fixture
def chance() -> random.Random:
    """Random moments; the seed is printed, and can be given to see the same again."""
    seed = int(os.environ.get("REGIONCAP_TEST_SEED") or random.randrange(2**32))
    print(f"REGIONCAP_TEST_SEED={seed}")
    return random.Random(seed)

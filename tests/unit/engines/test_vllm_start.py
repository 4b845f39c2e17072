"""What is checked before vLLM starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from regioncap.engines.vllm_start import check_cpu_memory
from regioncap.errors import EngineStartError

GIB = 1 << 30


def test_check_cpu_memory__files_that_the_system_caches_are_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = SimpleNamespace(available=8 * GIB, free=0)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    check_cpu_memory(4 * GIB, 4 * GIB)

    memory.available -= 1
    with pytest.raises(EngineStartError, match=r"take 8\.0 GiB"):
        check_cpu_memory(4 * GIB, 4 * GIB)

"""What `import regioncap` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import regioncap

#: Packages that take long to load, and have no business in a bare import.
HEAVY = {"PIL", "numpy", "pydantic", "redis", "celery", "minio", "pyarrow", "webdataset"}


@pytest.mark.parametrize("name", regioncap.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(regioncap, name) is not None
    assert name in dir(regioncap)


def test_every_lazy_name_is_public() -> None:
    assert sorted({*regioncap._MODULES, "__version__"}) == sorted(regioncap.__all__)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        regioncap.nothing  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, json, regioncap; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONPATH": "."}
    )

    assert not HEAVY & {name.split(".")[0] for name in json.loads(done.stdout)}

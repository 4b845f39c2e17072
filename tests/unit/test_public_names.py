"""What `import regioncap` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import regioncap

#: Packages that take long to load, and have no business in a bare import.
HEAVY = {"PIL", "numpy", "pydantic", "redis", "celery", "minio", "pyarrow", "webdataset"}


#: What programs import: a name that goes, or moves, breaks them.
PROMISED = {
    "AsyncClient", "Client", "ImageRegionCaptionPipeline", "PipelineResult", "RegionCapError",
    "Settings",
}  # fmt: skip


def test_public_names_are_those_promised() -> None:
    assert {*regioncap.__all__} == PROMISED | {"__version__"}
    assert set(dir(regioncap)) >= PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_public_name_is_its_class(name: str) -> None:
    assert getattr(regioncap, name).__name__ == name


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        regioncap.nothing  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, json, regioncap; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONPATH": "."}
    )

    assert not HEAVY & {name.split(".")[0] for name in json.loads(done.stdout)}

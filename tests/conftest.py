"""What tests of several kinds share: the embedded stack, started once and only when asked for."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from regioncap.local import LocalStack, files

# A busy machine is no reason to fail.
settings.register_profile("regioncap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("regioncap"), max_examples=20)
settings.load_profile("regioncap")

# Run in the background of a script the tests inherit an ignored Ctrl-C, and hand it on to what they
# start and then interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: Fixtures that start servers.
SERVERS = {"stack", "system", "fault_stack", "services"}

# Processes that test beside each other draw their ports from ranges of their own: a port is free
# from when it is drawn to when a server listens there, and while a killed one is started again.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")
files.PORT_RANGE = files.PORT_RANGE[int(WORKER) % 10 :: 10]


# What is written to a pipe is to arrive there without a machine's settings, too.
os.environ.pop("PYTHONUNBUFFERED", None)

# Where stacks run is noted for the user, who is not to be told of the tests'.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="regioncap-tests-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Real servers for the whole session; tests that stop or kill them start their own."""
    with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def stack_settings(stack: LocalStack) -> dict[str, str]:
    return stack.settings()


@pytest.fixture(scope="session")
def settings_env(stack_settings: dict[str, str]) -> dict[str, str]:
    """The whole environment of a subprocess that works with the stack."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
    return inherited | {f"REGIONCAP_{name.upper()}": v for name, v in stack_settings.items()}

"""The tether ends what its parent leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from regioncap import tether

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(flush=True); time.sleep(600)",
]


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP, start_new_session=True) as child:
        threading.Thread(
            target=child.wait, daemon=True
        ).start()  # a zombie would still be waited for
        yield child
        child.kill()


def test_closing_ends_what_is_left(group: subprocess.Popen[bytes]) -> None:
    held = tether.Tether()
    held.add(-group.pid)
    held.close()

    assert group.wait(30) == -signal.SIGTERM


def test_a_process_alone_is_ended_and_its_group_is_not() -> None:
    with subprocess.Popen(SLEEP) as child:  # in the group of the tests
        held = tether.Tether()
        held.add(child.pid)
        threading.Thread(target=child.wait, daemon=True).start()
        held.close()

        assert child.wait(30) == -signal.SIGTERM


def test_what_was_removed_stays(group: subprocess.Popen[bytes]) -> None:
    held = tether.Tether()
    held.add(-group.pid)
    held.remove(-group.pid)
    held.close()

    assert group.poll() is None


def test_a_killed_tether_is_replaced(group: subprocess.Popen[bytes]) -> None:
    others = set(psutil.Process().children())
    held = tether.Tether()
    held.add(-group.pid)
    (process,) = set(psutil.Process().children()) - others
    process.kill()
    process.wait()
    held.add(-os.getpgid(group.pid))  # the next word finds it gone
    held.close()

    assert group.wait(30) == -signal.SIGTERM


def test_the_deaf_are_killed() -> None:
    with subprocess.Popen(DEAF, start_new_session=True, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tether.end_targets({-child.pid}, grace_s=0.2)
        assert child.wait(30) == -signal.SIGKILL


def test_words_may_come_in_pieces() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"+12\n+-3")
    os.write(writing, b"4\n-12\n+5\n+-7\n--7\n+6")
    os.close(writing)
    try:
        assert tether.read_targets(reading, parent=os.getppid()) == {-34, 5}
    finally:
        os.close(reading)


def test_a_changed_parent_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tether, "PARENT_CHECK_S", 0.01)
    reading, writing = os.pipe()  # the other end stays open, as in a fork of the parent
    os.write(writing, b"+12\n")
    try:
        assert tether.read_targets(reading, parent=os.getppid() + 1) == {12}
    finally:
        os.close(reading)
        os.close(writing)

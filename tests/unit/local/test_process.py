"""Child processes: started, watched, restarted, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from regioncap.errors import ServiceError
from regioncap.local import Child, Command, Supervisor, process

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "logs") as running:
        yield running


def python(
    code: str, name: str = "child", *, restart: bool = True, stop_timeout_s: float = 10.0
) -> Command:
    return Command(
        name=name,
        argv=(sys.executable, "-c", code),
        restart=restart,
        stop_timeout_s=stop_timeout_s,
    )


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def wait_until_up(child: Child) -> None:
    child.wait_ready(lambda: "up" in child.log_tail(), timeout_s=30)


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_start_error_holds_the_last_words(supervisor: Supervisor) -> None:
    child = supervisor.start(python("import sys; print('no engine here'); sys.exit(7)"))
    with pytest.raises(ServiceError, match="no engine here") as failed:
        child.wait_ready(lambda: False, timeout_s=30)

    assert failed.value.code == "stack-start"
    assert "child ended with exit status 7" in failed.value.message
    assert str(child.log_path) in failed.value.hint


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Traceback:\n  line 3\nValueError: no\n\n", "ValueError: no"),
        ('{"event": "the engine does not start", "error": "no model"}', "no model"),
        ('{"event": "ready"}', "ready"),
        ("[1]", "[1]"),
        ("", "nothing"),
    ],
)
def test_last_words_are_one_line(supervisor: Supervisor, said: str, words: str) -> None:
    child = supervisor.start(python(f"print({said!r}, end='')", restart=False))
    assert child.join(30)
    assert child.last_words() == words


def test_start_error_when_it_never_answers(supervisor: Supervisor) -> None:
    child = supervisor.start(python(SLEEP))
    with pytest.raises(ServiceError, match=r"did not answer within 0\.1 s"):
        child.wait_ready(lambda: False, timeout_s=0.1)


def test_start_error_when_there_is_no_such_program(supervisor: Supervisor) -> None:
    with pytest.raises(ServiceError, match="/no/such/program") as failed:
        supervisor.start(Command(name="child", argv=("/no/such/program",)))
    assert failed.value.code == "stack-start"


def test_comes_back_when_it_dies(supervisor: Supervisor) -> None:
    child = supervisor.start(python(SLEEP))
    wait_until_up(child)
    first_pid = child.pid
    os.kill(first_pid, signal.SIGKILL)
    wait_until(lambda: child.restarts == 1)

    assert child.pid != first_pid
    assert child.returncode == -signal.SIGKILL
    assert runs(child.pid)
    assert supervisor.ended() == []


def test_stays_down_when_told(supervisor: Supervisor) -> None:
    child = supervisor.start(python("raise SystemExit(3)", restart=False))

    assert child.join(30)
    assert (child.restarts, child.exits, child.returncode) == (0, 1, 3)
    assert supervisor.ended() == [child]


def test_a_child_that_never_served_is_not_started_again(tmp_path: Path) -> None:
    told: list[float] = []
    with Supervisor(tmp_path, on_restart=lambda _, pause_s: told.append(pause_s)) as supervisor:
        child = supervisor.start(python("raise SystemExit(3)"))

        assert child.join(30)
        assert (child.restarts, child.exits, child.how_it_ended) == (0, 1, "exit status 3")
        assert supervisor.ended() == [child]
    assert told == []


def test_a_child_that_has_served_is_started_again_for_ever_and_each_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(process, "LONGEST_PAUSE_S", 0.01)
    told: list[tuple[str, str, str, float]] = []

    def tell(child: Child, pause_s: float) -> None:
        told.append((child.command.name, child.how_it_ended, child.last_words(), pause_s))

    ended = tmp_path / "ended"
    code = f"""
import pathlib, time
while not pathlib.Path({str(ended)!r}).exists(): time.sleep(0.01)
print("no room", flush=True)
raise SystemExit(5)
"""
    with Supervisor(tmp_path / "logs", on_restart=tell) as supervisor:
        child = supervisor.start(python(code))
        child.wait_ready(lambda: True, 30)
        ended.touch()  # from now on each ends at once

        wait_until(lambda: child.restarts > 7)

        assert child.is_watched
        assert not supervisor.ended()
    assert len(told) >= child.restarts
    assert {each[:3] for each in told} == {("child", "exit status 5", "no room")}
    assert max(each[3] for each in told) == 0.01


def test_a_signal_is_told_by_its_name(supervisor: Supervisor) -> None:
    child = supervisor.start(python("import os; os.kill(os.getpid(), 9)", restart=False))

    assert child.join(30)
    assert child.how_it_ended == "signal 9 (Killed)"


def test_stops_in_reverse_order_and_only_once(tmp_path: Path) -> None:
    marks = tmp_path / "order"
    code = f"""
import signal, sys, time
def stop(*_):
    with open({str(marks)!r}, "a") as stream: stream.write(sys.argv[1])
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
time.sleep(600)
"""
    supervisor = Supervisor(tmp_path / "logs")
    for name in ("a", "b", "c"):
        child = supervisor.start(Command(name=name, argv=(sys.executable, "-c", code, name)))
        wait_until_up(child)
    supervisor.stop()
    supervisor.stop()

    assert marks.read_text() == "cba"


def test_a_child_deaf_to_sigterm_is_killed(supervisor: Supervisor) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    child = supervisor.start(python(deaf, stop_timeout_s=0.2))
    wait_until_up(child)
    child.stop()

    assert child.returncode == -signal.SIGKILL


def test_grandchildren_go_with_their_parent(supervisor: Supervisor) -> None:
    pool = (
        f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.DEVNULL).pid,
      flush=True)
"""
        + SLEEP
    )
    child = supervisor.start(python(pool, restart=False))
    wait_until_up(child)
    grandchild_pid = int(child.log_tail().splitlines()[0])
    assert runs(grandchild_pid)
    os.kill(child.pid, signal.SIGKILL)

    wait_until(lambda: not runs(grandchild_pid))


def test_long_logs_are_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_LOG_BYTES", 10)
    (tmp_path / "child.log").write_text("more than ten bytes")
    with Supervisor(tmp_path) as supervisor:
        child = supervisor.start(python("print('new')", restart=False))
        child.join()

    assert (tmp_path / "child.log").read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "more than ten bytes"


def test_ctrl_c_in_the_middle_of_a_start_leaves_no_child(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    born: list[int] = []

    class InterruptedPopen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            born.append(self.pid)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a script may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            supervisor.start(python(SLEEP))
    finally:
        signal.signal(signal.SIGINT, before)
    supervisor.stop()

    assert born
    assert not any(map(runs, born))


def test_children_may_be_told_to_stop_at_once(tmp_path: Path) -> None:
    """Each of the two ends only when both have been told."""
    code = """
import pathlib, signal, sys, time
here, other = map(pathlib.Path, sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: here.touch())
print("up", flush=True)
while not (here.exists() and other.exists()): time.sleep(0.01)
"""
    names = [str(tmp_path / name) for name in "ab"]
    with Supervisor(tmp_path / "logs") as running:
        children = [
            running.start(
                Command(
                    name=Path(pair[0]).name,
                    argv=(sys.executable, "-c", code, *pair),
                    stop_together=True,
                    stop_timeout_s=60,
                )
            )
            for pair in (names, names[::-1])
        ]
        for child in children:
            wait_until_up(child)
    assert [child.returncode for child in children] == [0, 0]


def test_descriptors_are_held_until_all_have_ended(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with Supervisor(tmp_path / "logs") as running:
        running.hold([reader])
        os.write(writer, b"held")
        assert os.read(reader, 4) == b"held"
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)

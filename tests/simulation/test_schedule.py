"""The schedule itself: one thread at a time, the same order for the same seed, deaths that are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.simulation.schedule import Killed, Schedule, StuckError
from tests.simulation.threads import SimulatedRuntime


def finish(schedule: Schedule, limit_s: float = 1000.0) -> None:
    """Runs all threads to their end."""
    schedule.run(lambda: not schedule.busy, limit_s)


def order(seed: int) -> list[str]:
    """Who takes which step in a run of three threads."""
    schedule, taken = Schedule(seed), []

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            for nth in range(4):
                taken.append(f"{name}{nth}")
                schedule.step()

        return run

    for name in "abc":
        schedule.start(schedule.process(name), work(name))
    finish(schedule)
    return taken


def test_a_seed_chooses_the_order() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 15
    for seed in range(5):
        assert [step for step in order(seed) if step[0] == "a"] == ["a0", "a1", "a2", "a3"]


def test_time_passes_only_for_those_who_wait() -> None:
    schedule, woken = Schedule(0), []

    def sleep(seconds: float) -> Callable[[], None]:
        def run() -> None:
            schedule.wait(seconds)
            woken.append(seconds)

        return run

    for seconds in (5000.0, 3.0, 700.0):
        schedule.start(schedule.process("sleeper"), sleep(seconds))
    finish(schedule, 10_000)
    assert woken == [3.0, 700.0, 5000.0]
    assert 5000 < schedule.now_s < 5001


def test_who_is_killed_does_nothing_more() -> None:
    schedule, done, unwound = Schedule(3), [], []
    victim = schedule.process("victim")

    def work() -> None:
        try:
            while True:
                schedule.step()
                done.append(schedule.now_s)
        except Exception:
            done.append(-1.0)  # a death is no exception that anybody handles
        finally:
            unwound.append(True)
            schedule.step()
            done.append(-2.0)  # not reached: the end of a process has no effects

    def kill() -> None:
        schedule.wait(2.0)
        schedule.kill(victim)

    schedule.start(victim, work)
    schedule.start(victim, work)
    schedule.start(schedule.process("killer"), kill)
    finish(schedule)
    assert unwound == [True, True]
    assert min(done) > 0
    assert max(done) <= schedule.now_s


def test_who_kills_itself_is_dead_at_once() -> None:
    schedule = Schedule(0)
    victim = schedule.process("victim")

    def work() -> None:
        with pytest.raises(Killed):
            schedule.kill(victim)
        schedule.step()
        pytest.fail("went on")

    schedule.start(victim, work)
    finish(schedule)


def test_who_is_paused_stands_still() -> None:
    schedule, seen = Schedule(0), []
    process = schedule.process("slow")

    def work() -> None:
        schedule.pause(process, 30.0)
        seen.append(schedule.now_s)

    schedule.start(process, work)
    finish(schedule)
    assert seen == [pytest.approx(30, abs=1)]


def test_what_never_ends_is_found() -> None:
    schedule = Schedule(0)
    schedule.start(schedule.process("waits"), schedule.wait)
    with pytest.raises(StuckError, match="waits/main"):
        finish(schedule)
    schedule.close()


def test_what_a_thread_raises_ends_the_run() -> None:
    schedule = Schedule(0)

    def work() -> None:
        raise ValueError("no")

    schedule.start(schedule.process("wrong"), work)
    with pytest.raises(ValueError, match="no"):
        finish(schedule)


def test_event_loops_of_several_threads_do_not_meet() -> None:
    schedule, seen = Schedule(5), []

    def work(name: str) -> Callable[[], None]:
        async def ask(nth: int) -> int:
            schedule.step()
            seen.append(name)
            await asyncio.sleep(0)
            schedule.step()
            return nth

        async def all_of() -> list[int]:
            return list(await asyncio.gather(*(ask(nth) for nth in range(3))))

        def run() -> None:
            assert asyncio.run(all_of()) == [0, 1, 2]

        return run

    for name in "ab":
        schedule.start(schedule.process(name), work(name))
    finish(schedule)
    assert sorted(seen) == list("aaabbb")
    assert seen != sorted(seen)  # they did take turns


def take_turns(schedule: Schedule, room: Any, tally: Any, count: Counter[str]) -> None:
    """Goes into a room that two fit into, counting who is inside with a lock held across steps."""
    with room:
        room.wait_for(lambda: count["free"] > 0)
        count["free"] -= 1
    for change in (1, -1):
        with tally:
            before = count["inside"]
            schedule.step()
            count["inside"] = before + change
        count["most"] = max(count["most"], count["inside"])
        schedule.step()
    with room:
        count["free"] += 1
        room.notify_all()


def test_locks_and_conditions_are_held_across_steps() -> None:
    for seed in range(20):
        schedule, count = Schedule(seed), Counter(free=2)
        runtime = SimulatedRuntime(schedule)
        work = partial(take_turns, schedule, runtime.condition(), runtime.lock(), count)
        for nth in range(5):
            schedule.start(schedule.process(f"p{nth}"), work)
        finish(schedule)
        assert count["most"] in {1, 2}
        assert (count["inside"], count["free"]) == (0, 2)


def test_events_threads_and_clocks() -> None:
    schedule, seen = Schedule(1), []
    runtime = SimulatedRuntime(schedule)

    def work() -> None:
        told, before = runtime.event(), runtime.now()
        assert not told.wait(2.0)
        before_s = runtime.monotonic()
        runtime.start("teller", told.set)
        assert told.wait(1000.0)
        assert runtime.monotonic() - before_s < 10
        runtime.sleep(60)
        assert runtime.pool(2, "pool").submit(len, "abc").result() == 3
        seen.append((runtime.now() - before).total_seconds())

    schedule.start(schedule.process("p"), work)
    finish(schedule)
    assert len(seen) == 1
    assert 62 < seen[0] < 80

"""Lives many seeds: `python -m tests.simulation.run 0:2000`, in two processes.

A second argument, `ignored` or `unknown`, has the store not hold to conditions of writes.

Prints how often each fault met each operation, and which requests of theirs. A seed that breaks a
promise is told in words, from its first step to its last; living it again gives the same.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from tests.simulation.s3 import Conditions
from tests.simulation.scenario import Scenario
from tests.simulation.trouble import Trouble
from tests.simulation.world import World

_PROCESSES = 2
#: Seeds that are handed to a process at a time.
_AT_A_TIME = 25
#: In so many lives, each fault meets somebody.
_ENOUGH = 1000
_OPERATIONS = (
    "submit", "retry", "flagged", "edit", "cancel", "gc", "render", "caption", "janitor",
)  # fmt: skip
Met = Counter[tuple[str, str, str]]


def live(seed: int, conditions: Conditions = "kept") -> tuple[str, Scenario]:
    """Lives one seed; returns what promise is broken, or nothing."""
    scenario = Scenario(seed, conditions=conditions)
    try:
        scenario.run()
    except Exception as error:
        return f"{type(error).__name__}: {error}", scenario
    return "", scenario


def tell(seed: int, conditions: Conditions = "kept") -> Iterable[str]:
    """What happens in a life, in words."""
    lines: list[str] = []
    scenario = Scenario(seed, lines.append, conditions)
    try:
        scenario.run()
    except Exception as error:
        lines.append(f"{type(error).__name__}: {error}")
    return lines


def live_some(
    seeds: range, conditions: Conditions = "kept"
) -> tuple[list[tuple[int, str]], Met, Counter[str]]:
    """Seeds that break a promise, and the meetings and sums of all."""
    broken, met, sums = [], Met(), Counter[str]()
    logging.disable(logging.WARNING)
    try:
        for seed in seeds:
            what, scenario = live(seed, conditions)
            if what:
                broken.append((seed, what))
            met.update(scenario.world.faults.met)
            sums["requests"] += sum(scenario.world.faults.requests.values())
            sums["steps"] += scenario.world.schedule.steps
            sums["records"] += sum(person.count for person in scenario.people)
            sums["answers of the engine"] += scenario.world.calls
    finally:  # tests that follow in this process look at logs
        logging.disable(logging.NOTSET)
    return broken, met, sums


def table(met: Met) -> Iterable[str]:
    """How often each fault met each operation, a line each, and the requests that most met it."""
    yield f"{'':28} {'all':>6}" + "".join(f"{name:>8}" for name in _OPERATIONS)
    for name in fault_names():
        mine = [(who, request, n) for (fault, who, request), n in met.items() if fault == name]
        by, requests = Counter[str](), Counter[str]()
        for who, request, n in mine:
            by[who] += n
            requests[request] += n
        yield f"{name:28} {by.total():6}" + "".join(f"{by[who]:8}" for who in _OPERATIONS)
        yield f"{'':28} {', '.join(f'{request} {n}' for request, n in requests.most_common(6))}"


def fault_names() -> list[str]:
    """All kinds of faults."""
    return sorted({kind.name for kind in Trouble(World(0)).kinds()})


def main() -> None:
    """Lives the seeds that are named."""
    first, last = map(int, sys.argv[1].split(":"))
    conditions: Any = (sys.argv[2:] or ["kept"])[0]
    started = time.monotonic()
    starts = range(first, last, _AT_A_TIME)
    lots = [range(start, min(start + _AT_A_TIME, last)) for start in starts]
    broken, met, sums = [], Met(), Counter[str]()
    with ProcessPoolExecutor(_PROCESSES) as pool:
        for some_broken, some_met, some_sums in pool.map(
            partial(live_some, conditions=conditions), lots
        ):
            broken += some_broken
            met += some_met
            sums += some_sums
    print(*table(met), sep="\n")
    for seed, what in broken[:1]:
        print(f"\nseed {seed}:", *tell(seed, conditions), what, sep="\n")
    told = ", ".join(f"{count:,} {name}" for name, count in sums.items())
    print(f"\n{last - first:,} lives in {time.monotonic() - started:.0f} s: {told}")
    missed = set(fault_names()) - {fault for fault, _, _ in met}
    if missed and last - first >= _ENOUGH:
        sys.exit(f"met nobody: {', '.join(sorted(missed))}")
    if broken:
        sys.exit(f"{len(broken)} break a promise: {', '.join(str(seed) for seed, _ in broken)}")


if __name__ == "__main__":
    main()

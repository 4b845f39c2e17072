"""A soak: thousands of records while something dies every few seconds.

    python -m bench.soak --records 2000 --every 3

Runs one job undisturbed and the same job again under attack, on real servers and workers, and
compares the results byte by byte. Beside the attacked one, people submit small jobs and edit, retry
and cancel them by commands, which are killed too. Prints what died and how long both took; exits
with 1 if a record is lost, doubled, out of order or different, or a person's words are gone.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench import as_command
from bench.people import People
from regioncap import keys
from regioncap.job import Job
from regioncap.local import LocalStack, process
from tests.support.rig import Rig, write_input

#: Records of a person's job.
SMALL = 24
KINDS = ("render", "caption", "janitor")


def start(rig: Rig) -> None:
    """Two workers of each stage and a janitor, started again whenever they end."""
    for kind in ("render", "render", "caption", "caption", "janitor"):
        rig.keep(rig.start(kind))


def hurt(rig: Rig, people: People, chance: random.Random) -> str:
    """Does one random thing that must not matter; returns what."""
    what = chance.choice(
        [*KINDS, "render child", "valkey", "seaweed", "flushall", "sigterm", "command"]
    )
    alive = [worker for worker in rig.workers if worker.process.poll() is None]
    with suppress(ProcessLookupError, IndexError):
        if what in KINDS:
            os.kill(chance.choice([w for w in alive if w.kind == what]).pid, signal.SIGKILL)
        elif what == "sigterm":
            os.kill(chance.choice(alive).pid, signal.SIGTERM)
        elif what == "render child":
            parent = chance.choice([w for w in alive if w.kind == "render"])
            os.kill(chance.choice(parent.children()).pid, signal.SIGKILL)
        elif what == "command":
            people.kill_command()
        elif what == "flushall":
            with suppress(Exception):  # Redis may be down from the last blow
                rig.redis.flushall()
        else:
            os.kill(rig.stack.child(what).pid, signal.SIGKILL)
    return what


def run(
    rig: Rig, file: Path, attack: tuple[People, random.Random, float] | None = None
) -> tuple[Job, float]:
    """Runs a job to its end; returns it and the seconds that it took."""
    started = time.monotonic()
    job = rig.submit(file)
    next_blow = started
    blows: collections.Counter[str] = collections.Counter()
    while not finished(rig, job):
        time.sleep(0.2)
        if attack is not None and time.monotonic() >= next_blow:
            people, chance, every_s = attack
            blows[hurt(rig, people, chance)] += 1
            next_blow = time.monotonic() + chance.uniform(0.5, 1.5) * every_s
    seconds = time.monotonic() - started
    if attack is not None:
        told = ", ".join(f"{what} {count}" for what, count in sorted(blows.items()))
        print(f"blows            {sum(blows.values())} ({told})")
    return job, seconds


def show_difference(expected: bytes, results: bytes) -> None:
    """Prints the first few records that differ."""
    pairs = zip(expected.splitlines(), results.splitlines(), strict=False)
    different = [(a, b) for a, b in pairs if a != b]
    print(f"{len(different)} records differ")
    for a, b in different[:3]:
        print(f"- {a.decode()}\n+ {b.decode()}")


def finished(rig: Rig, job: Job) -> bool:
    """Whether the job is done; a store that is down is asked again."""
    try:
        return rig.store.exists(keys.success_key(job.job))
    except Exception:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between blows, about")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"records          {options.records}, seed {options.seed}")
    # The servers' supervisor pauses longer for what dies often; here that is the point.
    process.HEALTHY_AFTER_S = 1.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_input(folder / "input", options.records, options.seed)
        with LocalStack(folder / "stack") as stack:
            rig = Rig(stack, folder / "rig")
            try:
                small = write_input(folder / "small", SMALL, options.seed)
                soak(rig, file, small, random.Random(options.seed), options.every)
            finally:
                rig.stop()


def soak(rig: Rig, file: Path, small: Path, chance: random.Random, every_s: float) -> None:
    start(rig)
    calm, calm_s = run(rig, file)
    expected = rig.results(calm)
    small_calm, _ = run(rig, small)
    people = People(rig, small, chance)
    people.come(2)
    hit, hit_s = run(rig, file, (people, chance, every_s))
    people.go()
    jobs = people.check(rig.results(small_calm))
    records = rig.check(hit)
    results = rig.results(hit)
    same = results == expected
    print(f"undisturbed      {calm_s:.0f} s, {calm.records / calm_s:.1f} records/s")
    print(f"under attack     {hit_s:.0f} s, {hit.records / hit_s:.1f} records/s")
    print(f"results          {len(records)} records, in order, {'equal' if same else 'DIFFERENT'}")
    told = ", ".join(f"{what} {count}" for what, count in sorted(people.done.items()))
    words = sum(map(len, people.words.values()))
    print(f"people's jobs    {jobs}, whole, with {words} captions of people ({told})")
    print(f"workers ended    {len(rig.exit_codes)} times")
    if not same:
        show_difference(expected, results)
        raise SystemExit(1)


if __name__ == "__main__":
    as_command(main)

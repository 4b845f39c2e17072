"""How many requests are let in, by what the server answers."""

from __future__ import annotations

import asyncio

from regioncap.engines.pressure import Pressure


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_halved_once_a_second_and_never_to_nothing() -> None:
    clock = Clock()
    pressure = Pressure(8, clock)
    limits = []
    for clock.now_s in (0.0, 0.1, 0.9, 1.0, 2.0, 3.0, 4.0):
        pressure.refused()
        limits.append(pressure.limit)

    assert limits == [4, 4, 4, 2, 1, 1, 1]


def test_one_more_for_as_many_answers_up_to_the_most() -> None:
    pressure = Pressure(4, Clock())
    pressure.refused()
    limits = []
    for _ in range(12):
        pressure.answered()
        limits.append(pressure.limit)

    assert limits == sorted(limits)
    assert (limits[0], limits[2], limits[-1]) == (2, 3, 4)


def test_no_more_run_than_are_let_in() -> None:
    pressure = Pressure(4, Clock())
    pressure.refused()
    running, most = 0, 0

    async def one() -> None:
        nonlocal running, most
        async with pressure.request():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async def all_of() -> None:
        await asyncio.gather(*(one() for _ in range(9)))

    asyncio.run(all_of())
    assert (running, most) == (0, 2)

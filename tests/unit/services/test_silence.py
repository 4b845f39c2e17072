"""After a silence of Redis nothing is given away before living workers could renew."""

from __future__ import annotations

import pytest

from regioncap.services.silence import BEAT, may_give_away
from tests.simulation.valkey import Client, Server

T_S = 30.0


class Looks:
    """Somebody who looks, by a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.redis = Client(Server(lambda: self.now_s))

    def after(self, seconds: float) -> bool:
        self.now_s += seconds
        return may_give_away(self.redis, T_S)

    def several(self, *pauses_s: float) -> list[bool]:
        return [self.after(pause_s) for pause_s in pauses_s]


@pytest.fixture
def looks() -> Looks:
    return Looks()


def test_who_looks_first_waits_for_half_the_timeout(looks: Looks) -> None:
    assert looks.several(0, 5, 5, 4.9, 0.1, 5) == [False] * 4 + [True] * 2


@pytest.mark.parametrize("gap_s", [16.0, 3_600.0, -3_600.0], ids=["short", "long", "clock back"])
def test_after_a_gap_it_is_waited_again(looks: Looks, gap_s: float) -> None:
    looks.several(0, 10, 10)
    assert looks.several(14, gap_s, 10, 4, 2) == [True, False, False, False, True]


def test_redis_without_its_data_counts_as_silent(looks: Looks) -> None:
    assert looks.several(0, 10, 10)[-1]
    looks.redis.delete(BEAT)
    assert looks.several(1, 10, 10) == [False, False, True]

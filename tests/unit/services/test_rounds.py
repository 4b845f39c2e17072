"""What a worker does again and again goes on, whatever goes wrong in one round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from structlog.testing import capture_logs

from regioncap.errors import StoreError
from regioncap.parallel import Runtime
from regioncap.services.rounds import Rounds


class _Ends(Exception):  # noqa: N818 - no error
    """The process ends."""


class _Pauses(Runtime):
    """Notes pauses in place of making them; ends at the end of what happens."""

    def __init__(self, happens: list[Exception | None]) -> None:
        self.seconds: list[float] = []
        self._happens = iter(happens)
        self._now: Iterator[Exception | None] = iter(())

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        for what in self._happens:
            self._now = iter([what])
            return
        raise _Ends

    def look(self) -> None:
        if (what := next(self._now)) is not None:
            raise what


AWAY = redis.exceptions.ConnectionError("redis://:secret@host")


def test_after_whatever_went_wrong_comes_the_next() -> None:
    steps = _Pauses([None, RuntimeError("what nobody thought of"), AWAY, StoreError("away"), None])
    rounds = Rounds("leases", steps.look, 10.0, "not renewed", again_s=1.0, runtime=steps)

    with capture_logs() as told, pytest.raises(_Ends):
        rounds.run()
    assert steps.seconds == [10.0, 10.0, 10.0, 1.0, 1.0, 10.0]
    assert [(line["log_level"], line["event"]) for line in told] == [
        ("error", "not renewed"), ("warning", "not renewed"), ("warning", "not renewed"),
    ]  # fmt: skip
    assert told[0]["exc_info"]
    assert [line["error"] for line in told[1:]] == ["ConnectionError", "away"]


@pytest.mark.parametrize("again_s", [None, 60.0])
def test_a_round_is_not_late_for_a_service_that_is_away(again_s: float | None) -> None:
    steps = _Pauses([AWAY, None])
    rounds = Rounds("r", steps.look, 5.0, "not looked", again_s=again_s, runtime=steps)

    with pytest.raises(_Ends):
        rounds.run()
    assert steps.seconds == [5.0, 5.0, 5.0]


def test_what_others_tell_of_is_not_told_again() -> None:
    steps = _Pauses([AWAY])
    with capture_logs() as told, pytest.raises(_Ends):
        Rounds("r", steps.look, 5.0, "not looked", is_told=False, runtime=steps).run()
    assert [line["log_level"] for line in told] == ["debug"]

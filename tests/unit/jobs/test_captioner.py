"""Waiting for the engine: what nobody waits for any more is taken out of it."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from regioncap.captions.conversation import Captioned
from regioncap.errors import EngineError
from regioncap.jobs.captioner import _answered
from regioncap.services.leases import Pulse


def test_a_request_is_taken_out_whatever_goes_wrong_while_it_is_waited_for() -> None:
    def keep() -> None:
        raise ValueError("the store says what nobody understands")

    future = Future[list[Captioned]]()
    with pytest.raises(ValueError, match="nobody understands"):
        _answered(future, Pulse(60), 0.001, keep)
    assert future.cancelled()


def test_a_request_that_is_silent_for_too_long_is_taken_out() -> None:
    future = Future[list[Captioned]]()
    with pytest.raises(EngineError, match="has answered nothing"):
        _answered(future, Pulse(0.001), 60, lambda: None)
    assert future.cancelled()

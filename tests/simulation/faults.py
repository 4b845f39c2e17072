"""What goes wrong, and where: faults wait for a request to meet, and all meetings are counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.simulation.schedule import Schedule

#: When a fault meets a request: before it has its effect, or when it has had it.
When = Literal["before", "after"]


@dataclass
class Fault:
    """One thing that goes wrong, once.

    Args:
        name: What it is, for people.
        when: Whether it comes before or after the effect of a request.
        strike: Does it; may raise what the client of the service would raise.
        prefix: Requests that it can meet, by how their names begin.
        not_before_s: It waits until then.
        rate: How likely it is to meet a request of a kind that was not seen before.
    """

    name: str
    when: When
    strike: Callable[[], object]
    prefix: str = ""
    not_before_s: float = 0.0
    rate: float = 0.05


@dataclass
class Faults:
    """Faults to come, and those that came."""

    schedule: Schedule
    to_come: list[Fault] = field(default_factory=list)
    #: How often each kind of request was made.
    requests: Counter[str] = field(default_factory=Counter)
    #: Which fault met whom, and which request of theirs.
    met: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    tell: Callable[[str], None] = lambda _: None

    def meet(self, request: str, when: When) -> None:
        """Lets a fault strike, if one is due."""
        if when == "before":
            self.requests[request] += 1
        for fault in self.to_come:
            if self._is_due(fault, request, when):
                self.to_come.remove(fault)
                self.met[fault.name, self._operation(), request] += 1
                self.tell(f"{fault.name} {when} {request}")
                fault.strike()
                return

    def _operation(self) -> str:
        """What is done by who makes the request: a command, a stage, or the janitor's round."""
        thread = self.schedule.current
        assert thread is not None
        return "janitor" if thread.name == "janitor" else thread.process.name.rstrip("-0123456789")

    def _is_due(self, fault: Fault, request: str, when: When) -> bool:
        if fault.when != when or not request.startswith(fault.prefix):
            return False
        if self.schedule.now_s < fault.not_before_s:
            return False
        # What is asked a hundred times more often is not hit a hundred times more often.
        likely = fault.rate / math.sqrt(max(1, self.requests[request]))
        return self.schedule.random.random() < likely

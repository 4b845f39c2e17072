"""A turn: one go at a shard, and what the worker around it tells the stage and is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from regioncap.inputs.originals import Asked, for_the_last_time
from regioncap.services.attempts import Quarantine
from regioncap.services.leases import Pulse


@dataclass(frozen=True, slots=True)
class Turn:
    """One go at a shard; by default without a worker around it."""

    #: Runs the records one at a time, if given.
    quarantine: Quarantine | None = None
    #: How often the shard has waited for a cause, by the error's code.
    waited: Asked = for_the_last_time
    #: Whether the queue knows of no go at the shard before; it may have forgotten.
    is_first: bool = False
    #: Is told of whatever gets done.
    pulse: Pulse = field(default_factory=Pulse)

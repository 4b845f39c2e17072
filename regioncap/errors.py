"""Every error that RegionCap raises, in one tree.

    RegionCapError                what went wrong, and what to do about it
    ├── UsageError                the command or its settings are wrong            exit 2
    ├── RecordError               one record cannot be captioned: its error record  exit 3
    ├── ServiceError              Redis or the store cannot be reached: try again   exit 4
    │   ├── StoreError
    │   │   ├── StoreDeniedError  it does not let us have an object
    │   │   └── StoreLateError    it does not show an object yet: the shard is tried once more
    │   ├── QueueError
    │   └── EngineAwayError       an engine elsewhere does not serve: the shard goes back
    ├── StoppedError              the worker is told to stop: the shard goes back
    ├── NewerFormatError          stored by a newer version: the shard goes back    exit 2
    ├── NotFoundError             no such job                                       exit 6
    └── EngineError               the engine refused or failed a request
        ├── RequestError          this request only; its neighbours go on
        ├── EngineStartError      the engine cannot start: the worker ends
        │   └── EngineUnreachableError  its server or the Hub cannot be reached    exit 4
        ├── EngineUnwellError     the engine answers nonsense: the worker ends, shards go back
        └── EngineDeadError       the engine is gone: the worker ends, shards go back

An error carries a stable `code`, a `message` that names the value, and a `hint` that names the
remedy.
"""

from __future__ import annotations

from typing import ClassVar


class RegionCapError(Exception):
    """Something went wrong.

    Args:
        message: What went wrong, naming the file, line or value.
        code: Stable kebab-case name of the error; the class's own by default.
        hint: What to do about it, as an imperative; empty if there is nothing to say.
    """

    code: str = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders in the prefork pool; keyword arguments would be lost.
        return (_rebuild, (type(self), self.message, self.code, self.hint))


def _rebuild(cls: type[RegionCapError], message: str, code: str, hint: str) -> RegionCapError:
    return cls(message, code=code, hint=hint)


class UsageError(RegionCapError):
    """The command line, the settings or an input file cannot be used as they are."""

    code = "usage"
    exit_code = 2


class RecordError(RegionCapError):
    """One record cannot be captioned, and trying again would not help.

    It ends as that record's `error` in the results; the other records go on.
    """

    code = "record"
    exit_code = 3


class ServiceError(RegionCapError):
    """A service that the work needs cannot be reached or refuses to serve."""

    code = "service"
    exit_code = 4


class StoreError(ServiceError):
    """The object store cannot be reached or refuses to serve."""

    code = "store-unavailable"


class StoreDeniedError(StoreError):
    """The object store does not let us have this object, or any of its bucket."""

    code = "store-refused"


class StoreLateError(StoreError):
    """The object store does not have what should be there; some show it a little later."""

    code = "object-late"


class QueueError(ServiceError):
    """Redis cannot be reached or refuses to serve."""

    code = "queue-unavailable"


class EngineAwayError(ServiceError):
    """An engine that is not of this process cannot be reached or refuses to serve.

    No record is to blame, and a new worker would not find it either.
    """

    code = "engine-away"


class StoppedError(RegionCapError):
    """The worker is told to stop, and this work with it; it goes back to the queue."""

    code = "stopped"


class NewerFormatError(RegionCapError):
    """What lies in the store was written by a newer version of RegionCap."""

    code = "newer-format"
    exit_code = 2


class NotFoundError(RegionCapError):
    """There is no such job or object."""

    code = "not-found"
    exit_code = 6


class EngineError(RegionCapError):
    """The engine failed."""

    code = "engine"


class RequestError(EngineError):
    """The engine refused or failed this one request; it serves others."""

    code = "engine-request"


class EngineStartError(EngineError):
    """The engine cannot start with this configuration."""

    code = "engine-start"


class EngineUnreachableError(EngineStartError):
    """The server that an engine is to ask, or the one that has its model, cannot be reached."""

    code = "server-unreachable"
    exit_code = 4


class EngineDeadError(EngineError):
    """The engine is gone and must be started again in a new process."""

    code = "engine-dead"


class EngineUnwellError(EngineError):
    """The engine serves and does not caption even our own pictures; no record is to blame."""

    code = "engine-unwell"

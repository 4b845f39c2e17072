"""The interface of engines: marked images and prompts in, texts out.

An engine is asked for many requests at once and answers all of them; a request that fails on its
own is an answer too (`RequestError`), and only a dead engine raises. Requests of any number of
callers may be in flight together, all on one event loop.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from PIL import Image

from regioncap.errors import RequestError
from regioncap.job import Grid
from regioncap.records import Prompt, RegionInView
from regioncap.views.boxes import Size
from regioncap.views.sizes import CELL_PX

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the engine chooses its words; the reference's values by default."""

    temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """One picture and what to say about it."""

    #: Unique in the process; names the request in logs and to the engine.
    request_id: str
    #: The marked picture, encoded (JPEG).
    image: bytes
    prompt: Prompt
    sampling: Sampling
    #: The regions asked for, in the order of the prompt.
    regions: tuple[RegionInView, ...] = ()
    #: Name of the mark style that drew the picture; empty for a picture without marks.
    mark_style: str = ""
    #: The answers of which one is wanted; empty for a free one. Engines with a grammar hold to it.
    choices: tuple[str, ...] = ()
    #: With choices: the caption that is asked about.
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine wrote."""

    text: str
    #: Why the text ended: `stop`, `length` or `abort`.
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: What an engine can tell besides, for benchmarks and metrics; never needed for the results.
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine is doing."""

    #: Requests in the batch now, and those that wait for room in it.
    running: int
    waiting: int
    #: The most requests that run together.
    batch: int


@runtime_checkable
class Engine(Protocol):
    """Turns marked pictures and prompts into text. Implementations: baseline, vllm, openai.

    An engine may say two things more, see `is_remote` and `longest_s`.
    """

    #: The implementation's name, as in `--engine`.
    name: str
    #: The model that answers, as recorded in the results.
    model: str
    #: Which version of it; empty where that cannot be known, or there is but one.
    model_revision: str

    @property
    def grid(self) -> Grid | None:
        """How it takes pictures, known once it has started.

        None where that cannot be known, or does not matter.
        """

    async def start(self) -> None:
        """Loads the model and answers one request to warm up.

        Raises:
            EngineStartError: It cannot start as configured; the hint says what to change.
        """

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Answers every request, in the order given.

        A cancelled call takes its requests out of the engine.

        Raises:
            EngineDeadError: The engine is gone; nothing was answered.
            EngineAwayError: It is elsewhere, and does not serve at present.
        """
        ...

    async def health(self) -> None:
        """Returns if the engine serves.

        Raises:
            EngineDeadError: It does not and never will again.
            EngineAwayError: It is elsewhere, and does not at present.
        """

    async def close(self) -> None:
        """Frees the model; does nothing if it never started."""

    def stats(self) -> EngineStats | None:
        """What a started engine is doing; None for one without a batch. For any thread."""


def is_remote(engine: Engine) -> bool:
    """Whether a new process would find the very same engine: its `is_remote`, if it has one."""
    return bool(getattr(engine, "is_remote", False))


def longest_s(engine: Engine, max_tokens: int) -> float:
    """How long an engine itself waits for answers of so many tokens: its `longest_s`; else 0."""
    own = getattr(engine, "longest_s", None)
    return float(own(max_tokens)) if own is not None else 0.0


def first_request(
    sampling: Sampling, size_wh: Size = (16 * CELL_PX, 16 * CELL_PX)
) -> CaptionRequest:
    """A request to warm up with; its picture is by default as small as any that we send."""
    picture = io.BytesIO()
    Image.new("RGB", size_wh, "grey").save(picture, "JPEG")
    return CaptionRequest(
        "warm-up", picture.getvalue(), Prompt(before="Describe the image."), sampling
    )


def chat_messages(prompt: Prompt, picture: dict[str, Any]) -> list[dict[str, Any]]:
    """A prompt as chat messages: the system's, then the user's words around the picture.

    What the records of a job share stands first, so that a prefix cache holds it.

    Args:
        prompt: The words.
        picture: What stands for the picture in the message's content.
    """
    before, after = (
        [{"type": "text", "text": words}] if words else []
        for words in (prompt.before, prompt.after)
    )
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": [*before, picture, *after]}]


async def side_by_side(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs works side by side; where one fails, the others have ended before anybody hears of it.

    What went on would be in the engine for nobody: its answers would be lost and paid again.

    Returns:
        What came of each, in the order given.

    Raises:
        BaseException: What the first to fail raised, as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failed:
        error = failed.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise error


async def answer_all(
    requests: Sequence[CaptionRequest],
    answer: Callable[[CaptionRequest], Coroutine[Any, Any, Answer | RequestError]],
) -> list[Answer | RequestError]:
    """Answers requests side by side, for engines that answer one at a time.

    Args:
        requests: What is asked.
        answer: Answers one request.

    Returns:
        In the order given.

    Raises:
        EngineDeadError: One of them found the engine dead; the others were given up.
        EngineAwayError: Likewise, away.
    """
    return await side_by_side(map(answer, requests))

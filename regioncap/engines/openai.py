"""Any server that speaks the OpenAI chat API: vLLM's, SGLang's, llama.cpp's, a vendor's.

Transport, retries with back-off on 429 and 5xx, and time-outs are the official client's own. What
is left to decide is whose fault a failure is: the request's, which is then that record's error, or
the server's: one that has too much to do gets less and is waited for, as it asks to be, and one
that does not serve sends the shards back to the queue. Neither is a record's fault, or the end of a
worker.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from regioncap import addresses
from regioncap.engines import chat_answers
from regioncap.engines.base import (
    Answer,
    CaptionRequest,
    EngineStats,
    Sampling,
    answer_all,
    chat_messages,
    first_request,
)
from regioncap.engines.pressure import Pressure
from regioncap.errors import (
    EngineAwayError,
    EngineDeadError,
    EngineStartError,
    EngineUnreachableError,
    RequestError,
)
from regioncap.packages import install_line
from regioncap.plurals import counted
from regioncap.settings import Settings

try:
    import openai
except ImportError as missing:
    raise EngineStartError(
        "the client library openai is not installed",
        code="openai-missing",
        hint=install_line("openai"),
    ) from missing

#: The server refuses what it is asked, and would refuse it again.
_REFUSED = {400, 413, 415, 422}
#: What servers say to a key, an address or a model name that is wrong.
_MISCONFIGURED = {401, 403, 404}
#: It has more to do than it can.
_BUSY = {429, 503}
#: Longest pause that a busy server asks for and gets, and the one if it asks for none, seconds.
_LONGEST_PAUSE_S, _PAUSE_S = 60.0, 5.0


@dataclass(eq=False)
class OpenAIEngine:
    """Captions through a server.

    Args:
        model: Name of the model there; empty for the only one it serves.
        base_url: Address of the API, up to and with `/v1`.
        api_key: Sent as a bearer token; never logged. Empty for a server that asks for none.
        timeout_s: Longest time for one attempt at one request.
        max_in_flight: Requests at the server at once.
        max_retries: Further attempts at a request that the server could not take or answer.
        extra_body: Further fields of each request, as they are.
        patience_s: How long a request waits for a server that is busy.
    """

    name = "openai"
    model_revision = ""
    grid = None
    #: A new process would find the same server.
    is_remote = True

    model: str
    _: KW_ONLY
    base_url: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 120.0
    max_in_flight: int = 64
    max_retries: int = 5
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    patience_s: float = 300.0
    _max_tokens_field: str = field(default="max_tokens", init=False)
    _client: openai.AsyncOpenAI | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        self.pressure = Pressure(self.max_in_flight)

    @property
    def address(self) -> str:
        """The address as results and messages may have it."""
        return addresses.public(self.base_url)

    async def start(self) -> None:
        """Finds the model at the server and has it answer one request.

        Raises:
            EngineUnreachableError: The server is away.
            EngineStartError: `server-refused` or `server-model-missing`.
        """
        self._client = openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key or "none",
            timeout=self.timeout_s,
            max_retries=self.max_retries,
        )
        try:
            await self._choose_model()
            await self._warm_up()
        except BaseException:
            await self.close()
            raise

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Answers every request, in the order given; see `Engine.caption`."""
        self._require_client()
        return await answer_all(requests, self._answer)

    @property
    def _whole_s(self) -> float:
        """Longest time for one answer; the client's own limit is one for each piece of it."""
        return self.timeout_s * (1 + self.max_retries)

    def longest_s(self, max_tokens: int) -> float:
        """How long a request may take, with the time that a busy server is waited for."""
        return self._whole_s + self.patience_s

    async def health(self) -> None:
        """Returns if the server answers; see `Engine.health`."""
        try:
            await self._list_models()
        except openai.NotFoundError:
            return  # a server without a list of models is none the worse for it
        except openai.APIError as error:
            raise self._away(error) from error

    async def close(self) -> None:
        """Closes the connections; does nothing if it never started."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def stats(self) -> EngineStats:
        """What is at the server, and how much of it at most at present."""
        pressure = self.pressure
        return EngineStats(pressure.running, pressure.waiting, pressure.limit)

    async def look(self, timeout_s: float) -> None:
        """Finds the model at the server, in one try; starts nothing.

        Raises:
            EngineStartError: As `start`.
        """
        self._client = openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key or "none",
            timeout=timeout_s,
            max_retries=0,
        )
        try:
            await self._choose_model()
        finally:
            await self.close()

    async def _choose_model(self) -> None:
        try:
            names = chat_answers.model_names(await self._list_models())
        except openai.NotFoundError:
            return
        except openai.APIError as error:
            raise self._start_error(error) from error
        if names is None:
            raise EngineStartError(
                f"{self.address} has something else in place of a list of models",
                code="server-refused",
                hint="check the address: it ends in /v1 (--base-url, or"
                " REGIONCAP_OPENAI_BASE_URL), and nobody need log in by hand",
            )
        if not self.model and len(names) == 1:
            self.model = names[0]
        if self.model not in names:
            raise EngineStartError(
                f"{self.address} does not serve {self.model!r}"
                if self.model
                else f"{self.address} serves {counted(len(names), 'model')}, and none is named",
                code="server-model-missing",
                hint=f"name one that it serves with --model: {', '.join(names[:5]) or 'none'}",
            )

    async def _list_models(self) -> bytes:
        """What the server sends for a list of its models."""
        return (await self._require_client().models.with_raw_response.list()).content

    async def _warm_up(self) -> None:
        request = first_request(Sampling(temperature=1.0, max_tokens=16))
        try:
            try:
                await self._create(request)
            except openai.BadRequestError as error:
                # Some vendors' models know the newer name of the field alone.
                if "max_completion_tokens" not in str(error):
                    raise
                self._max_tokens_field = "max_completion_tokens"
                await self._create(request)
        except openai.APIError as error:
            raise self._start_error(error) from error

    async def _answer(self, request: CaptionRequest) -> Answer | RequestError:
        whole_s = self._whole_s
        began_s = time.monotonic()
        while True:
            try:
                async with self.pressure.request(), asyncio.timeout(whole_s):
                    body = await self._create(request)
                self.pressure.answered()
                return chat_answers.read(request, body)
            except RequestError as error:
                return error
            except TimeoutError:
                await self.health()
                return RequestError(
                    f"{self.address} did not end its answer to request {request.request_id} "
                    f"within {whole_s:.0f} s",
                    code="server-timeout",
                    hint="raise REGIONCAP_OPENAI_TIMEOUT_S",
                )
            except openai.APIError as error:
                if getattr(error, "status_code", None) in _BUSY:
                    self.pressure.refused()
                    if time.monotonic() - began_s < self.patience_s:
                        await asyncio.sleep(_asked_pause_s(error))
                        continue
                return await self._blame(request, error)

    async def _create(self, request: CaptionRequest) -> bytes:
        """What the server sends for an answer."""
        sampling, schema = request.sampling, request.prompt.answer_schema
        url = "data:image/jpeg;base64," + base64.b64encode(request.image).decode("ascii")
        picture = {"type": "image_url", "image_url": {"url": url}}
        body: dict[str, Any] = {
            "model": self.model,
            "messages": chat_messages(request.prompt, picture),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._max_tokens_field: sampling.max_tokens,
            "extra_body": self.extra_body,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "captions", "schema": schema, "strict": True},
            }
        completions = self._require_client().chat.completions.with_raw_response
        content: bytes = (await completions.create(**body)).content
        return content

    async def _blame(self, request: CaptionRequest, error: openai.APIError) -> RequestError:
        """Whose fault it is that a request failed after all attempts.

        Returns:
            The request's error, where the server is well otherwise.

        Raises:
            EngineAwayError: It is the server's.
        """
        refusal = RequestError(
            f"{self.address} did not answer request {request.request_id}: {self._said(error)}"
        )
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        if status in _REFUSED:
            refusal.code = "server-refused-request"
            return refusal
        if isinstance(error, openai.APITimeoutError):
            refusal.code, refusal.hint = "server-timeout", "raise REGIONCAP_OPENAI_TIMEOUT_S"
        if isinstance(error, openai.APITimeoutError) or status == 500:
            await self.health()
            return refusal
        raise self._away(error)

    def _require_client(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise EngineDeadError("the openai engine is not running", hint="call start() first")
        return self._client

    def _start_error(self, error: openai.APIError) -> EngineStartError:
        status = getattr(error, "status_code", None)
        said = f"{self.address} does not serve: {self._said(error)}"
        if status is None:
            return EngineUnreachableError(
                said,
                hint="check that the server runs, and its address (--base-url, or"
                " REGIONCAP_OPENAI_BASE_URL)",
            )
        hint = "the server's log names the cause"
        if status in _MISCONFIGURED:
            hint = "check the key (REGIONCAP_OPENAI_API_KEY), the address and the model's name"
        return EngineStartError(said, code="server-refused", hint=hint)

    def _away(self, error: openai.APIError) -> EngineAwayError:
        return EngineAwayError(
            f"{self.address} does not serve: {self._said(error)}",
            hint="see the server; the work goes on when it is back",
        )

    def _said(self, error: openai.APIError) -> str:
        # Servers repeat the key they were given.
        text = " ".join(str(error).split())[:500]
        return text.replace(self.api_key, "***") if self.api_key else text


def _asked_pause_s(error: openai.APIError) -> float:
    """How long a busy server asks to be left alone."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    try:
        in_ms = headers.get("retry-after-ms")
        asked_s = float(in_ms) / 1000 if in_ms else float(headers.get("retry-after", _PAUSE_S))
    except ValueError:  # a date
        asked_s = _PAUSE_S
    return min(_LONGEST_PAUSE_S, max(0.0, asked_s))


def from_settings(settings: Settings) -> OpenAIEngine:
    """The engine that the settings describe, not started."""
    return OpenAIEngine(
        # One that nobody named is the default of another engine: here the only model served.
        settings.model if "model" in settings.model_fields_set else "",
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        timeout_s=settings.openai_timeout_s,
        max_in_flight=settings.openai_max_in_flight,
        extra_body=settings.engine_args,
    )

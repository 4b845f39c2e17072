"""vLLM in this process: one resident model, kept full by continuous batching.

The engine's core runs in a process of its own that vLLM starts; here live the tokenizer, the image
processor and the answers. All callers' requests are in the engine together, and each ends when its
own text does, so that a long one holds nobody up.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import io
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from PIL import Image

from regioncap.engines import argument, compile_cache, renderers, toolchain
from regioncap.engines.base import (
    Answer,
    CaptionRequest,
    EngineStats,
    Sampling,
    answer_all,
    first_request,
)
from regioncap.engines.chat_template import chat_text
from regioncap.engines.cpu import fit_small, is_built_for_cpu
from regioncap.engines.deadline import Deadline
from regioncap.engines.gpu import gpu_names
from regioncap.engines.model import resolve_model
from regioncap.engines.model_grid import read_grid
from regioncap.engines.offspring import Offspring
from regioncap.engines.vllm_start import check_machine, engine_arguments, load, prepare_environment
from regioncap.errors import EngineDeadError, EngineStartError, RequestError
from regioncap.job import Grid
from regioncap.settings import SMALL, Settings
from regioncap.views.boxes import Size

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM


#: Before a request that a full engine did not let in is made again.
_FULL_PAUSE_S = 0.1
#: An engine that is empty and lets nothing in for this long lets nothing in ever.
_FULL_S = 30.0
#: The core ends by itself well within this; then it is killed.
_CLOSE_TIMEOUT_S = 30.0
#: Cells of a small picture's sides, and tokens left for words beside the largest.
_TRIAL_CELLS = 16
_TRIAL_ROOM = 256

_log = logging.getLogger(__name__)


class _FullError(Exception):
    """The engine has as many requests as it may have."""


class VllmEngine:
    """Captions with a vision model that this process holds in vLLM.

    Args:
        settings: The model and where it lies, vLLM's engine arguments, which come before the
            defaults here, and the most pixels of a picture; a larger one would be shrunk by the
            model's own image processor.
    """

    name = "vllm"

    def __init__(self, settings: Settings) -> None:
        self.model = settings.model
        #: Version of the model's files; empty before the start.
        self.model_revision = ""
        #: How it takes pictures; None before the start.
        self.grid: Grid | None = None
        self._settings = settings
        self._llm: AsyncLLM | None = None
        self._offspring: Offspring | None = None
        self._deadline = Deadline()
        self._renderers: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Loads the model and answers one request to warm up.

        Blocks the event loop while vLLM loads the model, as vLLM does: nothing else can run on this
        loop before.

        Raises:
            EngineStartError: It cannot start as configured; the hint says what to change.
        """
        settings = self._settings
        for_cpu = is_built_for_cpu()
        for_small = settings.model == SMALL and for_cpu
        compile_cache.use(settings.compile_cache_dir)
        if importlib.util.find_spec("vllm") is not None:
            eager = for_small or bool(argument(settings, "enforce_eager", False))
            toolchain.prepare(for_cpu=for_cpu, eager=eager)
        resolved = await asyncio.to_thread(
            resolve_model,
            settings.model,
            hf_cache_dir=settings.hf_cache_dir,
            download_dir=settings.download_dir,
        )
        started_s = time.monotonic()
        prepare_environment()
        if for_small:
            fit_small()
        grid = read_grid(resolved.folder, settings.model)
        arguments = engine_arguments(
            resolved.folder,
            settings.engine_args,
            settings.max_pixels,
            grid,
            for_small=for_small,
        )
        check_machine(resolved.folder, arguments)
        arguments = {**renderers.arguments(arguments, for_cpu=for_cpu), **arguments}
        self.model_revision = resolved.revision
        self.grid = grid.model_copy(update={"max_pixels": settings.max_pixels})
        self._renderers = renderers.start(arguments)
        self._offspring = Offspring()
        try:
            with self._offspring.tied():
                self._llm = load(arguments)
            await self._warm_up(self.grid)
        except EngineDeadError as error:
            await self.close()
            raise EngineStartError(
                f"the model loaded, and the engine died of a first request: {error.message}",
                code="engine-warm-up",
                hint="vLLM's log above names the cause",
            ) from error
        except BaseException:
            await self.close()
            raise
        key = compile_cache.key_of(settings, resolved.revision, [] if for_cpu else gpu_names())
        compile_cache.note_start(key, time.monotonic() - started_s)

    async def caption(self, requests: Sequence[CaptionRequest]) -> list[Answer | RequestError]:
        """Answers every request, in the order given; see `Engine.caption`."""
        self._require_llm()
        return await answer_all(requests, self._let_in)

    def longest_s(self, max_tokens: int) -> float:
        """How long a request may be in the engine."""
        return self._deadline.longest_s(max_tokens)

    async def health(self) -> None:
        """Returns if the engine serves; see `Engine.health`."""
        llm = self._require_llm()
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError

        try:
            await llm.check_health()
        except VllmDeadError as error:
            raise _dead(error) from error

    async def close(self) -> None:
        """Ends the engine's processes and frees the GPU; does nothing if it never started."""
        llm, self._llm = self._llm, None
        threads, self._renderers = self._renderers, None
        offspring, self._offspring = self._offspring, None
        if llm is not None:
            handler = llm.output_handler
            if handler is not None:  # left running, it may log the core's end as an error
                handler.cancel()
                with suppress(asyncio.CancelledError):
                    await handler
            await asyncio.to_thread(llm.shutdown, _CLOSE_TIMEOUT_S)
        if offspring is not None:
            await asyncio.to_thread(offspring.close)
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def stats(self) -> EngineStats:
        """What the engine is doing, by vLLM's own metrics of this process."""
        from vllm.v1.metrics.reader import get_metrics_snapshot

        totals: Counter[str] = Counter()
        for metric in get_metrics_snapshot():
            totals[metric.name] += getattr(metric, "value", 0)
        config = self._require_llm().vllm_config
        # Each of the copies of a model has a batch of its own.
        copies = config.parallel_config.data_parallel_size
        return EngineStats(
            running=int(totals["vllm:num_requests_running"]),
            waiting=int(totals["vllm:num_requests_waiting"]),
            batch=config.scheduler_config.max_num_seqs * copies,
        )

    async def _warm_up(self, grid: Grid) -> None:
        """Asks of a small picture, and of one as large as there is room for.

        What the two cost tells whether the model sees pictures at the size that they were made for:
        one that is resized once more has marks that nobody can read.
        """
        sampling = Sampling(temperature=0.0, max_tokens=4)
        small, *larger = _trial_sizes(grid, self._require_llm().model_config.max_model_len)
        (answer,) = await self.caption([first_request(sampling, small)])
        if isinstance(answer, RequestError):
            raise EngineStartError(
                f"the model loaded and cannot answer a first request: {answer.message}",
                code="engine-warm-up",
                hint=answer.hint or "check engine_args, above all max_model_len",
            )
        if grid.resizes:
            _log.warning(
                "%s takes pictures of fixed size or in tiles: it resizes what it gets, and the"
                " marks with it; `regioncap eval` measures what that costs",
                self.model,
            )
            return
        _check_cost(answer, small, grid)
        for size_wh in larger:
            (answer,) = await self.caption([first_request(sampling, size_wh)])
            if isinstance(answer, Answer):  # else records will tell, if ever one is so large
                _check_cost(answer, size_wh, grid)

    async def _let_in(self, request: CaptionRequest) -> Answer | RequestError:
        """Answers a request as soon as the engine has room for it.

        Users may limit what is in it (`engine_args.max_num_queued_reqs`).
        """
        clock = asyncio.get_running_loop().time
        empty_since_s = clock()
        while True:
            try:
                return await self._deadline.answer(request, self._answer)
            except _FullError as error:
                if self._require_llm().get_num_unfinished_requests():
                    empty_since_s = clock()
                if clock() - empty_since_s > _FULL_S:
                    return RequestError(
                        f"vLLM is empty and lets nothing in: {error}",
                        hint="raise or leave out engine_args.max_num_queued_reqs and -_tokens",
                    )
                await asyncio.sleep(_FULL_PAUSE_S)

    async def _answer(self, request: CaptionRequest) -> Answer | RequestError:
        from vllm import exceptions
        from vllm.exceptions import VLLMValidationError
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError
        from vllm.v1.engine.exceptions import EngineGenerateError

        # Older versions let everything in.
        full = [
            getattr(exceptions, name, None)
            for name in ("QueueOverflowError", "MaxQueuedTokensError")
        ]
        try:
            return await self._generate(request)
        except tuple(filter(None, full)) as error:
            raise _FullError(str(error)) from error
        except RequestError as error:
            return error
        except VllmDeadError as error:
            raise _dead(error) from error
        except EngineGenerateError as error:
            return _refused(request, error.__cause__ or error)
        except (VLLMValidationError, ValueError, TypeError) as error:
            return _refused(request, error)

    async def _generate(self, request: CaptionRequest) -> Answer:
        llm = self._require_llm()
        sampling = _sampling_params(request, llm.vllm_config.device_config.device_type)
        prompt = await asyncio.get_running_loop().run_in_executor(
            self._renderers, _render, llm, request
        )
        # Asked for the final output only, vLLM yields once.
        outputs = [out async for out in llm.generate(prompt, sampling, request.request_id)]
        return _answer_from(outputs[-1], _image_token(llm.model_config.hf_config))

    def _require_llm(self) -> AsyncLLM:
        if self._llm is None:
            raise EngineDeadError("the vLLM engine is not running", hint="call start() first")
        return self._llm


def from_settings(settings: Settings) -> VllmEngine:
    """The engine that the settings describe, not started."""
    return VllmEngine(settings)


def _render(llm: AsyncLLM, request: CaptionRequest) -> Any:
    """What the engine takes for a request; all of it in one thread, as each hop waits for others.

    So, too, no more pictures are decoded at a time than there are threads: decoded, a picture takes
    some ten times the memory of its file.
    """
    prompt = {
        "prompt": chat_text(llm.get_tokenizer(), request.prompt),
        "multi_modal_data": {"image": _decode(request.request_id, request.image)},
        # The encoded bytes name the picture, so that vLLM need not hash its pixels.
        "multi_modal_uuids": {"image": [hashlib.sha256(request.image).hexdigest()]},
    }
    return renderers.render(llm, prompt)


def _decode(request_id: str, data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise RequestError(
            f"the picture of request {request_id} cannot be decoded: {error}",
            code="image-undecodable",
        ) from error


def _sampling_params(request: CaptionRequest, device_type: str) -> SamplingParams:
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    sampling, schema = request.sampling, request.prompt.answer_schema
    greedy = sampling.temperature == 0
    if sampling.seed is not None and not greedy and device_type == "cpu":
        raise RequestError(
            "vLLM cannot sample with a seed on a CPU",
            code="seed-unsupported",
            hint="leave the seed out, or set temperature to 0, which always gives the same text",
        )
    structured = None
    if request.choices:
        structured = StructuredOutputsParams(choice=list(request.choices))
    elif schema is not None:
        structured = StructuredOutputsParams(json=schema)
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=1.0 if greedy else sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=None if greedy else sampling.seed,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=structured,
    )


def _image_token(config: object) -> int | None:
    """The token that stands for a part of a picture; None if the configuration names none."""
    names = ("image_token_id", "image_token_index", "media_placeholder_token_id")
    return next((token for n in names if (token := getattr(config, n, None)) is not None), None)


def _trial_sizes(grid: Grid, max_model_len: int) -> list[Size]:
    """Sizes of pictures to try an engine with: as small as any, and as large as there is room for.

    The larger one is wider than high, so that sides that changed places would show.
    """
    most = _TRIAL_CELLS**2 if grid.max_pixels is None else grid.max_pixels // grid.cell_px**2
    side = max(1, min(_TRIAL_CELLS, math.isqrt(most)))
    shapes = [(side, side)]
    if (cells := min(most, max_model_len - _TRIAL_ROOM)) > side**2:
        high = math.isqrt(cells // 2)
        shapes.append((cells // high, high))
    return [(wide * grid.cell_px, high * grid.cell_px) for wide, high in shapes]


def _check_cost(answer: Answer, size_wh: Size, grid: Grid) -> None:
    """Checks that a picture took the tokens that its size says.

    Raises:
        EngineStartError: `engine-grid`.
    """
    width, height = size_wh
    wanted = width * height // grid.cell_px**2
    if (found := answer.details["image_tokens"]) == wanted:
        return
    raise EngineStartError(
        f"a picture of {width}x{height} took {found} tokens in place of {wanted}: the model does"
        f" not see it at its own size, in cells of {grid.cell_px} pixels",
        code="engine-grid",
        hint="marks would be resized with it; leave mm_processor_kwargs out of engine_args, or try"
        " another version of vLLM or transformers",
    )


def _answer_from(output: RequestOutput, image_token_id: int | None) -> Answer:
    prompt_ids = output.prompt_token_ids or []
    completion = output.outputs[0]
    reason = completion.finish_reason or "stop"
    if reason not in {"stop", "length", "abort"}:
        raise RequestError(
            f"vLLM ended request {output.request_id} with {reason!r}", code="engine-request"
        )
    return Answer(
        text=completion.text,
        finish_reason=reason,
        prompt_tokens=len(prompt_ids),
        completion_tokens=len(completion.token_ids),
        details={
            "image_tokens": 0 if image_token_id is None else prompt_ids.count(image_token_id),
            "cached_tokens": output.num_cached_tokens or 0,
            "token_ids": list(completion.token_ids),
        },
    )


def _refused(request: CaptionRequest, error: BaseException) -> RequestError:
    # Said of the words alone, and of words and picture together.
    too_long = re.search("maximum (context|model) length", str(error)) is not None
    return RequestError(
        f"vLLM refused request {request.request_id}: {error}",
        code="prompt-too-long" if too_long else "engine-request",
        hint="raise engine_args.max_model_len, or lower max_pixels" if too_long else "",
    )


def _dead(error: BaseException) -> EngineDeadError:
    return EngineDeadError(
        f"vLLM's engine is gone: {error}", hint="its log names the cause; start a new worker"
    )

"""One measurement: which row comes when, and what it is measured with."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import occupancy
from bench.gpu import work
from bench.gpu.budget import Budget, NotRunError
from bench.gpu.cases import Case, cases
from bench.gpu.desk import TaskError
from bench.gpu.flops import Request, flops, read_config
from bench.gpu.holder import Holder, wait_for_gpu
from bench.gpu.ledger import SIDES, Ledger
from bench.gpu.watch import Watch
from bench.gpu.work import Work
from bench.occupancy import Occupancy
from bench.workers import caption_command
from producer.commands.stack import start_workers
from regioncap.client import Client
from regioncap.errors import RegionCapError
from regioncap.job import Job
from regioncap.local import Command, LocalStack
from regioncap.local.files import free_ports
from regioncap.services.queue import CAPTION, RENDER
from regioncap.settings import load_settings

#: A run whose speed cannot be guessed yet.
_UNKNOWN_S = 20.0
#: How much longer than guessed a run may take.
_SLACK = 1.5
#: Words of a prompt, tokens: about.
_WORDS = 290
#: It has nothing to finish when it is told to end.
_STOP_TIMEOUT_S = 5.0
#: What may come of an engine's process; its rows that are left are not run then.
_FAILURES = (RegionCapError, OSError, psutil.Error)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that one process with an engine is there for."""

    name: str
    sides: tuple[str, ...]
    #: How to run the process, which serves this desk.
    command: Callable[[Path], Command]
    measure: Callable[[Holder], None]


class Session:
    """Measures the rows that are wanted, the most wanted first.

    Args:
        options: Of the command line.
        model: Folder of the model.
        stack: A started stack; what is made on the way goes beside its folder.
        ledger: Keeps the rows.
        budget: The time that there is.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        model: Path,
        stack: LocalStack,
        ledger: Ledger,
        budget: Budget,
    ) -> None:
        self._options = options
        self._model = model
        self._stack = stack
        self._ledger = ledger
        self._budget = budget
        self._config = read_config(model)
        settings = load_settings(
            **stack.settings(), engine="vllm", model=str(model), temperature=options.temperature,
            shard_size=options.shard_size,
        )  # fmt: skip
        self._client = Client(settings)
        rows = [(case, side) for case in cases(toy=options.shape == "toy") for side in SIDES]
        self._rows = [(case, side) for case, side in rows if is_wanted(options.rows, case, side)]
        self._works: dict[str, Work] = {}
        self._warm: set[tuple[str, str]] = set()
        self._start_s: float = options.start_s
        #: FLOP/s and seconds of the last run, to guess how long others take.
        self._rate, self._last_s = 0.0, _UNKNOWN_S
        (self._port,) = free_ports(1)
        self._desks = itertools.count()

    def run(self) -> None:
        """Measures all rows, or says which were not run and why."""
        parts = [
            Part("plain", ("plain",), self._plain_command, self._run_plain),
            Part("resident", ("engine", "system"), self._resident_command, self._run_resident),
        ]
        parts = [part for part in parts if self._rows_of(part)]
        for together in [parts] if self._options.together else [[part] for part in parts]:
            self._with_engines(together)
        if self._options.start_again and parts:
            self._start_again(parts[-1])

    def _rows_of(self, part: Part) -> list[tuple[Case, str]]:
        return [(case, side) for case, side in self._rows if side in part.sides]

    def _with_engines(self, parts: Sequence[Part]) -> None:
        """Starts the processes with an engine for the rows of some sides."""
        try:
            self._budget.need(self._start_s + _UNKNOWN_S)
            wait_for_gpu()
            with ExitStack() as up:
                holders = [up.enter_context(self._holder(part)) for part in parts]
                self._prepare()  # while the engines start
                for holder in holders:
                    holder.ready(self._budget.limit_s(2 * self._start_s))
                self._start_s = max(holder.figures["start_s"] for holder in holders)
                for part, holder in zip(parts, holders, strict=True):
                    part.measure(holder)
        except (*_FAILURES, NotRunError, TaskError) as error:
            for case, side in itertools.chain.from_iterable(map(self._rows_of, parts)):
                if not self._ledger.has(case, side):
                    self._ledger.skip(case, side, str(error))

    def _start_again(self, part: Part) -> None:
        """Times the start of an engine that this machine has started before."""
        try:
            self._budget.need(self._start_s / 2)  # it finds in its caches what it made
            wait_for_gpu()
            with self._holder(part) as holder:
                holder.ready(self._budget.limit_s(2 * self._start_s))
                self._ledger.note_start(part.name, holder.figures["start_s"])
        except (*_FAILURES, NotRunError, TaskError) as error:
            print(f"{part.name}, started again: not run: {error}", flush=True)

    def _holder(self, part: Part) -> Holder:
        # A desk of its own: what lies on another's has been answered.
        desk = self._stack.folder.parent / f"desk-{next(self._desks)}"
        return Holder(self._stack, part.command(desk), desk)

    def _prepare(self) -> None:
        """Starts the render worker and makes all jobs, the first time."""
        if not self._works:
            start_workers(self._stack, self._client.settings, render_workers=1, caption_workers=0)
        for case in dict.fromkeys(case for case, _ in self._rows):
            if case.name not in self._works:
                self._works[case.name] = work.prepare(
                    self._client,
                    self._stack.folder.parent / case.name,
                    case,
                    max(1, round(self._options.records * case.weight)),
                    self._options.runs,
                )

    def _run_plain(self, holder: Holder) -> None:
        """The first case at once; the others only if there is time for all of the system's."""
        roots = {"plain process": holder.pid}
        for case, number in self._turns(("plain",)):
            with self._row(case, "plain"):
                self._need(case, 0 if case is self._rows[0][0] else self._reserve_s())
                self._warm_up(holder, case)
                questions = self._works[case.name].plain[number]
                self._ask(holder, case, "plain", questions, roots)

    def _run_resident(self, holder: Holder) -> None:
        """Pairs: all at once into the engine, then a job through the queue into the same one."""
        roots = {"caption worker": holder.pid, **self._servers()}
        for case, number in self._turns(("engine", "system")):
            prepared = self._works[case.name]
            if (case, "engine") in self._rows:
                with self._row(case, "engine"):
                    self._need(case)
                    self._warm_up(holder, case)
                    self._ask(holder, case, "engine", prepared.engine[number], roots)
            if (case, "system") in self._rows:
                with self._row(case, "system"):
                    self._need(case)
                    self._warm_up(holder, case)
                    self._run_system(holder, case, prepared.system[number], roots)

    def _turns(self, sides: Sequence[str]) -> list[tuple[Case, int]]:
        """All runs of the first case, then one of each other, then what is left of those."""
        first, *others = dict.fromkeys(case for case, side in self._rows if side in sides)
        runs = range(self._options.runs)
        return [(first, n) for n in runs] + [(case, n) for n in runs for case in others]

    @contextmanager
    def _row(self, case: Case, side: str) -> Iterator[None]:
        """A row without time for it, or whose requests are refused, ends no other."""
        try:
            yield
        except (NotRunError, TaskError) as error:
            self._ledger.skip(case, side, str(error))

    def _need(self, case: Case, besides_s: float = 0.0) -> None:
        guess_s = _UNKNOWN_S
        if self._rate:
            tokens = case.picture_tokens + _WORDS
            request = Request(case.grid_wh, tokens, _WORDS, case.max_tokens)
            images = self._options.records * case.weight
            guess_s = _SLACK * images * self._flops(request) / self._rate
        self._budget.need(guess_s + besides_s)

    def _reserve_s(self) -> float:
        """Time for the second engine and the first case's runs on it."""
        if not any(side != "plain" for _, side in self._rows):
            return 0.0
        runs: int = self._options.runs
        start_s = 0.0 if self._options.together else self._start_s
        return start_s + _UNKNOWN_S + 2 * runs * _SLACK * self._last_s

    def _warm_up(self, holder: Holder, case: Case) -> None:
        if (key := (str(holder.pid), case.name)) not in self._warm:
            self._warm.add(key)
            holder.ask(self._task(case, self._works[case.name].warm), self._limit_s())

    def _ask(
        self, holder: Holder, case: Case, side: str, questions: Path, roots: dict[str, int]
    ) -> None:
        task, limit_s = self._task(case, questions), self._limit_s()
        with Watch(roots | self._itself()) as watch:
            run = holder.ask(task, limit_s)
        counts = {"images": run["requests"], "regions": run["requests"] * case.regions}
        self._note(holder, case, side, run | counts | watch.found)

    def _run_system(self, holder: Holder, case: Case, job: Job, roots: dict[str, int]) -> None:
        batch = Occupancy(self._port, self._queued)
        hits = _prefix_hits(batch)
        batch.start()
        try:
            with Watch(roots | self._itself()) as watch:
                run = work.run_job(self._client, job, self._limit_s())
        finally:
            samples = batch.end()
        run |= {"cached_tokens": _prefix_hits(batch) - hits, "batch": occupancy.summary(samples)}
        self._note(holder, case, "system", run | work.count(self._client, job) | watch.found)

    def _note(self, holder: Holder, case: Case, side: str, run: dict[str, Any]) -> None:
        images = run["images"]
        prompt, cached, completion = (
            run[name] / images for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
        )
        each = self._flops(Request(case.grid_wh, prompt, cached, completion))
        self._rate, self._last_s = each * images / run["seconds"], run["seconds"]
        self._ledger.add(case, side, holder.figures, run, each)

    def _flops(self, request: Request) -> float:
        return sum(flops(*self._config, request).values())

    def _task(self, case: Case, questions: Path) -> dict[str, Any]:
        settings = self._client.settings
        return {
            "do": "ask",
            "questions": str(questions),
            "sampling": {
                "temperature": settings.temperature,
                "top_p": settings.top_p if settings.temperature else 1.0,
                "max_tokens": case.max_tokens,
            },
        }

    def _limit_s(self) -> float:
        return self._budget.limit_s(self._options.row_limit_s)

    def _queued(self) -> int:
        return occupancy.untaken(self._client.redis, RENDER, CAPTION)

    def _servers(self) -> dict[str, int]:
        names = {"render-1": "render worker", "seaweed": "object store", "valkey": "Redis"}
        return {told: self._stack.child(name).pid for name, told in names.items()}

    @staticmethod
    def _itself() -> dict[str, int]:
        return {"bench": os.getpid()}

    def _plain_command(self, desk: Path) -> Command:
        arguments = (str(desk), str(self._model), json.dumps(self._options.engine_args))
        argv = (sys.executable, "-m", "bench.gpu.plain", *arguments)
        return Command(name="plain", argv=argv, restart=False, stop_timeout_s=_STOP_TIMEOUT_S)

    def _resident_command(self, desk: Path) -> Command:
        environment = {
            "BENCH_DESK": str(desk),
            "REGIONCAP_ENGINE": "vllm",
            "REGIONCAP_MODEL": str(self._model),
            "REGIONCAP_ENGINE_ARGS": json.dumps(self._options.engine_args),
            "REGIONCAP_METRICS_PORT": str(self._port),
        }
        if self._options.in_hand:
            environment["REGIONCAP_CONCURRENCY"] = str(self._options.in_hand)
        return caption_command(
            self._stack, "bench.gpu.resident", "resident", environment,
            restart=False, stop_timeout_s=_STOP_TIMEOUT_S,
        )  # fmt: skip


def is_wanted(chosen: Sequence[str], case: Case, side: str) -> bool:
    """Whether a row is among those chosen, by its case, its side or both; all if none is."""
    return not chosen or not {case.name, side, f"{case.name}/{side}"}.isdisjoint(chosen)


def _prefix_hits(worker: Occupancy) -> float:
    return worker.read("vllm:prefix_cache_hits_total")

"""`regioncap eval`."""

from __future__ import annotations

import json as json_module
import re
from contextlib import closing
from functools import partial
from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.table import Table

from producer.context import client_of, emit, say, talk
from producer.meter import doing, progress
from producer.options import refuse_given, setting_options
from producer.terminal import SafeConsole
from regioncap.files import check_output, whole_file
from regioncap.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regioncap.client import Client
    from regioncap.evaluation.baseline import Comparison
    from regioncap.evaluation.in_process import Variant
    from regioncap.evaluation.scenes import Scene
    from regioncap.evaluation.scores import Result
    from regioncap.settings import RegionMode
    from regioncap.views.boxes import Size


#: Exit code where fewer captions are right than in the baseline.
_REGRESSION = 8


@setting_options("engine", "model", openai_base_url="--base-url")
def eval_command(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help="Pictures of your own: JSON Lines with image, bbox and captions."),
    ] = None,
    modes: Annotated[str, typer.Option(help="Region modes.")] = "marks,crop,marks+crop",
    styles: Annotated[str, typer.Option(help="Mark styles.")] = "v1",
    prompts: Annotated[str, typer.Option(help="Prompt templates, or files.")] = "default",
    per_call: Annotated[str, typer.Option(help="Most regions in one picture.")] = "10",
    scenes: Annotated[int, typer.Option(min=1, help="Made scenes of each kind.")] = 2,
    regions: Annotated[
        str, typer.Option(help="Regions in a made scene; several numbers take turns: 1,2,3.")
    ] = "8",
    sizes: Annotated[
        str, typer.Option(help="Sizes of made scenes, pixels; several take turns.")
    ] = "1792x1344",
    kinds: Annotated[str, typer.Option(help="Only kinds with this in their name: colours.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and of the sampling.")] = 0,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    as_jobs: Annotated[
        bool,
        typer.Option("--as-jobs", help="As jobs on the running system, with its workers' engine."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", "-o", help="HTML page to write.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a way.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Measure what asking captions back catches, too."),
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(help="An earlier evaluation to compare with, as --json wrote it."),
    ] = None,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression", help="Exit code 8 where fewer captions are right than before."
        ),
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="By how much the share of right ones may fall.")
    ] = 0.0,
    **flags: Any,
) -> None:
    """Measure which way of showing regions works, on an engine in this process or as jobs.

    Several values, separated by commas, are tried in all combinations.
    """
    if as_jobs and any(flags.values()):
        raise typer.BadParameter(
            "the workers of the running system have an engine (leave out --engine and what belongs"
            " to it)",
            param_hint="--as-jobs",
        )
    if as_jobs and verify:
        raise typer.BadParameter(
            "what is planted is asked of an engine in this process (leave out --as-jobs)",
            param_hint="--verify",
        )
    if data is not None:
        why = "it is of made scenes (leave out --data)"
        refuse_given(context, {"kinds", "scenes", "regions", "sizes"}, why)
    if fail_on_regression and baseline is None:
        raise typer.BadParameter("give --baseline, too", param_hint="--fail-on-regression")
    from regioncap.evaluation.baseline import compare, read_baseline, scenes_digest

    if report is not None:
        check_output(report)
    before = read_baseline(baseline) if baseline else []
    client = client_of(context, seed=seed, temperature=temperature, **flags)
    variants = _variants(modes, styles, prompts, per_call)
    turns = list(product(_numbers(regions, "--regions", most=50), _sizes(sizes)))
    chosen = _scenes(data, scenes, turns, kinds, seed)
    count = sum(len(scene.truths) for scene in chosen)
    ways = counted(len(variants), "way")
    say(f"{counted(len(chosen), 'picture')} with {counted(count, 'region')}, {ways} to show them")
    run = _run_as_jobs if as_jobs else partial(_run, verify=verify)
    results, facts = run(client, variants, chosen)
    rows = [facts | {"scenes": scenes_digest(chosen)} | result.row() for result in results]
    if json:
        for row in rows:
            emit(json_module.dumps(row))
    else:
        _print(results)
    if report is not None:
        _report(report, results, chosen, facts | {"seed": str(seed)})
    if baseline is None:
        return
    compared = compare(rows, before, tolerance)
    _console(stderr=json).print(_compared(compared))
    for variant in {row["variant"] for row in before} - {row["variant"] for row in rows}:
        say(f"{variant}: in the baseline, and not tried now")
    if fail_on_regression and any(each.is_worse for each in compared):
        raise typer.Exit(_REGRESSION)


def _report(
    path: Path, results: Sequence[Result], scenes: Sequence[Scene], facts: dict[str, str]
) -> None:
    from regioncap.evaluation.report import html

    page = html(results, {scene.name: scene for scene in scenes}, facts)
    with whole_file(path) as file:
        file.write(page.encode())
    say(f"report: {path}")


def _variants(modes: str, styles: str, prompts: str, per_call: str) -> list[Variant]:
    from regioncap.evaluation.in_process import variants
    from regioncap.jobs.submit import template_text
    from regioncap.settings import RegionMode
    from regioncap.views import marks

    known: tuple[RegionMode, ...] = get_args(RegionMode)
    chosen = [mode for mode in known if mode in _listed(modes)]
    if unknown := set(_listed(modes)) - set(known):
        raise typer.BadParameter(
            f"no region mode {', '.join(unknown)}; there are {', '.join(known)}",
            param_hint="--modes",
        )
    counts = _numbers(per_call, "--per-call")
    for style in _listed(styles):
        marks.get(style)
    templates = [(name, template_text(name)) for name in _listed(prompts)]
    return list(variants(chosen, _listed(styles), templates, counts))


def _numbers(text: str, option: str, most: int = 1000) -> list[int]:
    parts = _listed(text)
    numbers = [int(part) for part in parts if part.isdecimal() and 0 < int(part) <= most]
    if not parts or len(numbers) < len(parts):
        raise typer.BadParameter(f"{text!r} is not numbers from 1 to {most}", param_hint=option)
    return numbers


def _sizes(text: str) -> list[Size]:
    found = [re.fullmatch(r"(\d{3,4})x(\d{3,4})", part) for part in _listed(text)]
    sizes = [(int(match[1]), int(match[2])) for match in found if match]
    if not found or len(sizes) < len(found):
        raise typer.BadParameter(f"{text!r} is not sizes such as 1792x1344", param_hint="--sizes")
    return sizes


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _scenes(
    data: Path | None, each: int, turns: Sequence[tuple[int, Size]], kinds: str, seed: int
) -> list[Scene]:
    from regioncap.errors import UsageError
    from regioncap.evaluation import scenes

    with doing("making the scenes"):
        if data is not None:
            found = list(scenes.own_data(data))
        else:
            found = [
                scenes.make_scene(content, layout, count, seed + i, size_wh)
                for content, layout in scenes.kinds()
                for i, (count, size_wh) in zip(range(each), cycle(turns), strict=False)
                if kinds in f"{content}, {layout}"
            ]
            found += [scene for scene in scenes.photographs() if kinds in scene.kind]
    if not found:
        known = "; ".join(f"{content}, {layout}" for content, layout in scenes.kinds())
        raise UsageError(
            f"there are no scenes of kind {kinds!r}",
            code="no-scenes",
            hint=f"take a part of one of these: {known}",
        )
    return found


def _run(
    client: Client, variants: Sequence[Variant], scenes: Sequence[Scene], *, verify: bool
) -> tuple[list[Result], dict[str, str]]:
    from regioncap import engines
    from regioncap.engines.thread import EngineThread
    from regioncap.evaluation.in_process import run
    from regioncap.job import Grid
    from regioncap.views.view import Limits

    settings = client.settings
    job = settings.job_settings()
    thread = EngineThread(engines.make(settings))
    with doing("starting the engine"):
        thread.start()
    limits = Limits.of(settings).on(thread.engine.grid or Grid())
    with closing(thread), progress() as bar:
        results = [
            thread.run(run(variant, scenes, thread.engine, job, limits, verify=verify)).result()
            for variant in bar.track(variants, description="captioning")
        ]
    return results, {"engine": thread.engine.name, "model": thread.engine.model}


def _run_as_jobs(
    client: Client, variants: Sequence[Variant], scenes: Sequence[Scene]
) -> tuple[list[Result], dict[str, str]]:
    from regioncap.evaluation.as_job import run_job

    results = []
    facts: dict[str, str] = {}
    with progress() as bar:

        def run(variant: Variant) -> tuple[Result, dict[str, str]]:
            task = bar.add_task(variant.name, total=len(scenes))
            return run_job(variant, scenes, client, lambda s: bar.update(task, completed=s.done))

        for variant in variants:
            result, facts = run(variant)
            results.append(result)
    say("the jobs stay: `regioncap jobs` lists them, `regioncap gc` removes them when old")
    return results, facts


def _console(*, stderr: bool = False) -> SafeConsole:
    return SafeConsole(width=None if talk.is_terminal else 160, stderr=stderr)


def _print(results: Sequence[Result]) -> None:
    console = _console()
    console.print(_sums(results))
    console.print("\nright, by kind of scene and number of the way")
    console.print(_by_kind(results))
    if any(result.trust for result in results):
        console.print("\nverification: captions asked back, by number of the way")
        console.print(_trust(results))


def _trust(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False)
    headings = ("#", "swaps caught", "mistakes caught", "right ones flagged", "fit two", "unsaid")
    for heading in (*headings, "tokens", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, result in enumerate(results, start=1):
        if result.trust is None:
            continue
        row = result.trust.row()
        pairs = (("planted_caught", "planted"), ("mistakes_caught", "mistakes"))
        shares = [
            "none" if row[share] is None else f"{row[share]:.1%} of {row[whole]:,}"
            for share, whole in (*pairs, ("right_flagged", "right"))
        ]
        tokens = row["prompt_tokens"] + row["completion_tokens"]
        table.add_row(
            str(number),
            *shares,
            *(f"{row[name]:,}" for name in ("ambiguous", "unsaid")),
            f"{tokens:,}",
            f"{row['seconds']:.1f}",
        )
    return table


def _sums(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("way", no_wrap=True)
    names = ("right", "mixed-up", "wrong", "missing", "invalid")
    for heading in (*names, "requests", "tokens", "regions/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, row in enumerate((result.row() for result in results), start=1):
        tokens = row["prompt_tokens"] + row["completion_tokens"]
        table.add_row(
            str(number),
            row["variant"],
            *(f"{row[name]:.1%}" for name in names),
            *(f"{row['requests']:,}", f"{tokens:,}", f"{row['valid_regions_per_s']:.1f}"),
        )
    return table


def _compared(compared: Sequence[Comparison]) -> Table:
    table = Table(box=None, pad_edge=False, title="against the baseline", title_justify="left")
    table.add_column("way", no_wrap=True)
    for heading in (*compared[0].shares, "tokens a region", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in compared:
        table.add_row(
            each.variant,
            *(f"{was:.1%} > {now:.1%}" for was, now in each.shares.values()),
            f"{each.tokens[0]:,.0f} > {each.tokens[1]:,.0f}",
            "worse" if each.is_worse else "",
        )
    return table


def _by_kind(results: Sequence[Result]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    rows = [result.row()["right_by_kind"] for result in results]
    for number in range(1, len(rows) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for kind in dict.fromkeys(kind for row in rows for kind in row):
        table.add_row(kind, *(f"{row[kind]:.0%}" if kind in row else "" for row in rows))
    return table

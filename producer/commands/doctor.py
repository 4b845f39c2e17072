"""`regioncap doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.complaints import unconfigured
from producer.context import emit_json, say, settings_of
from producer.options import setting_options
from producer.tables import show_line
from regioncap.plurals import counted

if TYPE_CHECKING:
    from producer.checks import Check
    from regioncap.settings import Settings

_SIGNS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "-"}
#: The checks that fail where a service was never named, and the setting that names it.
_NAMED_BY = {"redis": "broker_url", "store": "s3_endpoint"}
_EXIT_SERVICE = 4


@setting_options("engine", "model", openai_base_url="--base-url")
def doctor_command(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="JSON, one object a check.")] = False,
    gpu_memory: Annotated[
        float | None,
        typer.Option(
            help="Check nothing; say what of the model fits on a GPU of so many gigabytes.", min=1
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Check everything that this configuration needs, and say what to do."""
    failed = 0
    for check in _checks(settings_of(context, **flags), gpu_memory):
        remedy = check.remedy
        if check.status == "fail":
            failed += 1
            setting = _NAMED_BY.get(check.name)
            remedy = (setting and unconfigured(setting, context.obj)) or remedy
        if json:
            emit_json(check._replace(remedy=remedy)._asdict())
            continue
        show_line((_SIGNS[check.status], 4), (check.name, 17), (check.what, 0))
        if remedy:
            show_line(("", 4), ("", 17), (f"-> {remedy}", 0))
    if failed:
        say(f"{counted(failed, 'check')} failed")
        raise typer.Exit(_EXIT_SERVICE)


def _checks(settings: Settings, gpu_memory_gb: float | None) -> Iterator[Check]:
    from producer import gpu_checks, memory_checks, start_checks
    from producer.checks import check_engine, run_checks

    if gpu_memory_gb is not None:
        yield from memory_checks.check_card(settings, gpu_memory_gb)
        return
    yield from run_checks(settings)
    if settings.engine == "openai":
        yield check_engine(settings)
    if settings.engine == "vllm":
        yield from gpu_checks.check_all(
            settings.model, hf_cache_dir=settings.hf_cache_dir, download_dir=settings.download_dir
        )
        if not gpu_checks.is_for_cpu():
            yield from memory_checks.check_gpus(settings)
        yield from start_checks.check_all(settings)

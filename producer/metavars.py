"""Metavars: what stands for an option's value in help, and nothing behind a switch.

The texts of help are made plain here, too: Typer reads them as Rich's markup, in which `[stdout]`
is a style and is not shown.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rich.markup import escape

#: By the name of the parameter; what several commands call alike means the same.
METAVARS = {
    "baseline": "FILE",
    "boxes": "JSON",
    "boxes_of": "shown|declared",
    "box_format": "FORMAT",
    "broker_url": "URL",
    "by": "WHO",
    "caption_workers": "N",
    "concurrency": "N",
    "count": "N",
    "crop_below": "SHARE",
    "data": "FILE",
    "engine": "baseline|vllm|openai",
    "format_": "FORMAT",
    "gpu_memory": "GB",
    "gpus": "GPUS",
    "host": "HOST",
    "image_root": "FOLDER",
    "images": "FOLDER",
    "interval": "SECONDS",
    "key": "KEY",
    "kinds": "TEXT",
    "label": "KEY=VALUE",
    "limit": "N",
    "mark_style": "STYLE",
    "max_boxes": "N",
    "max_gpu_seconds": "SECONDS",
    "max_tokens": "N",
    "model": "FOLDER|NAME",
    "modes": "MODE,...",
    "name": "NAME",
    "older_than": "AGE",
    "openai_base_url": "URL",
    "output": "PATH",
    "overflow": "rounds|cut",
    "per_call": "N,...",
    "port": "PORT",
    "price_per_gpu_hour": "PRICE",
    "priority": "high|normal|low",
    "prompt": "NAME|FILE|TEXT",
    "prompts": "NAME,...",
    "queue": "QUEUE",
    "region_mode": "marks|crop|marks+crop",
    "region_schema": "NAME|FILE",
    "regions": "N,...",
    "render_workers": "N",
    "report": "FILE",
    "resume": "JOB",
    "s3_bucket": "BUCKET",
    "s3_endpoint": "HOST:PORT",
    "scenes": "N",
    "seed": "N",
    "shard_size": "N",
    "sizes": "WxH,...",
    "styles": "STYLE,...",
    "temperature": "NUMBER",
    "timeout": "SECONDS",
    "token_file": "FILE",
    "tolerance": "SHARE",
    "top_p": "NUMBER",
    "verify": "mark|retry",
}


def put_into(command: Any) -> Any:
    """Returns a command with the metavars and plain texts of its options and of those below it.

    Typer would show the type of Python instead, also behind switches and arguments.
    """
    command.help = escape(command.help or "")
    for parameter in command.params:
        parameter.help = escape(getattr(parameter, "help", None) or "")
        is_value = parameter.param_type_name == "option" and not parameter.is_flag
        if is_value and parameter.metavar is None:
            parameter.metavar = METAVARS.get(parameter.name)
        if not is_value:
            parameter.display_type_rich = _nothing
    command.get_help_option = partial(_help_option, command.get_help_option)
    for child in getattr(command, "commands", {}).values():
        put_into(child)
    return command


def _help_option(make: Callable[[Any], Any], ctx: Any) -> Any:
    """`--help`, which each command makes only when it is asked for its parameters."""
    option = make(ctx)
    if option is not None:
        option.display_type_rich = _nothing
    return option


def _nothing(ctx: Any) -> None:
    return None

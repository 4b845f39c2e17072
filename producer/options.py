"""Options and arguments that several commands have; those of settings say what the settings say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

F = TypeVar("F", bound=Callable[..., Any])

#: A job that is read: the latest if none is named.
JobArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB", help="Its id, the beginning of one, or its name; by default the latest."
    ),
]
#: A job that is changed.
ChangedJob = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id, the beginning of one, or its name.")
]
ImageRoot = Annotated[
    Path | None, typer.Option(help="Folder that image paths are relative to [FILE's folder].")
]
GpusOption = Annotated[
    str | None,
    typer.Option(
        help="GPUs to use, a worker on each, or on each group of tensor_parallel_size: all, any"
        " (the first that is free), or numbers and UUIDs of nvidia-smi, as 0,2.",
    ),
]

#: Type and description of the settings that commands take. They stand here once more because the
#: settings bring Pydantic, and `--help` and completion are to be quick; a test holds them equal.
JOB_SETTINGS: dict[str, tuple[Any, str]] = {
    "max_boxes": (int, "Most boxes drawn in one picture."),
    "overflow": (str, "More boxes than that: rounds (several pictures) or cut (skipped)."),
    "box_format": (
        str,
        "How boxes are read: xywh, xyxy or cxcywh (centres), in pixels or with -normalized, -1000"
        " or -percent behind.",
    ),
    "boxes_of": (
        str,
        "What boxes count in: the picture as shown, or the width and height declared beside it.",
    ),
    "propose": (bool, "Propose regions where the input says that there are none."),
    "skip_crowd": (bool, "Leave COCO's crowd regions without a caption."),
    "mark_style": (str, "How boxes and tags are drawn."),
    "region_mode": (str, "How regions are shown: marks, crop, or marks+crop (small ones cropped)."),
    "crop_below": (float, "With marks+crop: regions of a smaller share get a crop."),
    "image_caption": (bool, "Caption each picture as a whole, too."),
    "verify": (
        str,
        "Ask captions back: mark (tell which are wrong), retry (ask for these again).",
    ),
    "region_schema": (
        str,
        "Fields to write beside captions: referring, or a file with a JSON Schema of a region.",
    ),
    "prompt": (str, "A prompt template's name, a file with one, or a sentence of your own."),
    "temperature": (float, "Sampling temperature; 0 is greedy."),
    "top_p": (float, "Nucleus sampling threshold."),
    "max_tokens": (int, "Longest answer, in tokens."),
    "seed": (int, "Seed of the sampling; none by default."),
    "shard_size": (int, "Records in a shard."),
    "queue": (str, "Queue of the caption workers to use: one queue per model."),
    "priority": (
        str,
        "Which jobs go first where several wait for the same workers: high, normal or low.",
    ),
    "reuse": (bool, "Take over captions of earlier jobs where nothing changed: adds pictures."),
    "price_per_gpu_hour": (float, "Price of one GPU for an hour, to tell what regions cost."),
    "keep_marked": (bool, "Whether marked pictures stay when their results are there."),
    "max_gpu_seconds": (
        float,
        "GPU time after which the job pauses, in seconds; no limit if unset.",
    ),
}
SETTINGS = JOB_SETTINGS | {
    "broker_url": (str, "Redis or Valkey, as a URL."),
    "s3_endpoint": (str, "Host and port of the S3 store."),
    "s3_bucket": (str, "Bucket that holds everything."),
    "engine": (str, "What captions: baseline (no model), vllm or openai."),
    "model": (str, "Model folder or hub name, or small, for vllm and openai."),
    "openai_base_url": (str, "Address of the server, for the engine openai."),
}


def setting_options(*names: str, **renamed: str) -> Callable[[F], F]:
    """Gives a command an option for each of these settings.

    They reach the command as `**flags`; one that is not given is None there. Whether a value is in
    range is for the settings to say.

    Args:
        names: Settings whose options are called as they are.
        renamed: Settings whose options have another name, with that name.
    """
    called = {name: f"--{name.replace('_', '-')}" for name in names} | renamed

    def add(command: F) -> F:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        added = [_option(name, option) for name, option in called.items()]
        signed = signature.replace(parameters=[*own, *added])
        command.__signature__ = signed  # type: ignore[attr-defined]
        return command

    return add


def refuse_given(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuses options that stand on the command line; values alone do not tell what was given.

    Args:
        context: The command's.
        names: Their names as parameters.
        why: What is said of one.
    """
    for each in context.command.params:
        source = context.get_parameter_source(each.name or "")
        if each.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(why, param_hint=[*each.opts, *each.secondary_opts][0])


def _option(name: str, option: str) -> inspect.Parameter:
    kind, text = SETTINGS[name]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        # Named, an option of yes or no gets no --no-... beside it.
        annotation=Annotated[kind | None, typer.Option(option, help=text)],
    )

"""Every setting, its default, and where values come from.

A value is looked for in this order: command-line flags, the environment (`REGIONCAP_` and the name
in capitals), secret files (a folder named by `REGIONCAP_SECRETS_DIR`), `regioncap.toml` in the
working folder or else in that of the embedded stack, the embedded stack that `regioncap up` runs in
the working folder or the nearest above it, and last the defaults here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from regioncap import addresses
from regioncap.errors import UsageError
from regioncap.running_stack import find_stack, folder_above, running_folders

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"
#: The model that comes with RegionCap, a test instrument; regioncap/engines/small_model/README.md.
SMALL = "small"
#: The pixels of a picture that it was trained on.
SMALL_MAX_PIXELS = 28_224

TOML_FILE = Path("regioncap.toml")
#: Where `regioncap up` keeps its data, in the working folder.
STACK_FOLDER = Path(".regioncap")
#: What names a running one among the sources of settings.
STACK = "regioncap up"

#: A shape and a unit; `regioncap.views.box_formats` says what each means. Usual ones come first.
BoxFormat = Literal[
    "xywh", "xyxy", "cxcywh",
    "xywh-normalized", "xyxy-normalized", "cxcywh-normalized",
    "xywh-1000", "xyxy-1000", "cxcywh-1000",
    "xywh-percent", "xyxy-percent", "cxcywh-percent",
]  # fmt: skip
#: `declared`: boxes are turned or scaled from the size that the input declares to the one shown.
BoxesOf = Literal["shown", "declared"]
Overflow = Literal["rounds", "cut"]
#: Each is a module of `regioncap.engines`.
EngineName = Literal["baseline", "vllm", "openai"]
RegionMode = Literal["marks", "crop", "marks+crop"]
Verify = Literal["no", "mark", "retry"]
Priority = Literal["high", "normal", "low"]


#: A folder in a bucket. Characters that patterns of policies read otherwise do not fit.
_FOLDER = re.compile(r"(?!.{500})(?!(.*/)?\.{1,2}(/|$))[A-Za-z0-9._=+@-]+(/[A-Za-z0-9._=+@-]+)*")

#: Names of the caption workers' queues, as a pattern. Those of remote control, which hold workers'
#: names, do not fit.
CAPTION_QUEUE = r"caption(\.[A-Za-z0-9_-]+)*"


class JobSettings(BaseModel):
    """What belongs to a job and is kept in its job.json."""

    # JSON has no other numbers.
    model_config = ConfigDict(allow_inf_nan=False)

    max_boxes: int = Field(10, ge=1, le=100, description="Most boxes drawn in one picture.")
    overflow: Overflow = Field(
        "rounds",
        description="More boxes than that: rounds (several pictures) or cut (skipped).",
    )
    box_format: BoxFormat = Field(
        "xywh",
        description="How boxes are read: xywh, xyxy or cxcywh (centres), in pixels or with"
        " -normalized, -1000 or -percent behind.",
    )
    boxes_of: BoxesOf = Field(
        "shown",
        description="What boxes count in: the picture as shown, or the width and height declared"
        " beside it.",
    )
    propose: bool = Field(
        False, description="Propose regions where the input says that there are none."
    )
    skip_crowd: bool = Field(False, description="Leave COCO's crowd regions without a caption.")
    mark_style: str = Field("v1", description="How boxes and tags are drawn.")
    region_mode: RegionMode = Field(
        "marks",
        description="How regions are shown: marks, crop, or marks+crop (small ones cropped).",
    )
    crop_below: float = Field(
        0.02, ge=0, le=1, description="With marks+crop: regions of a smaller share get a crop."
    )
    image_caption: bool = Field(False, description="Caption each picture as a whole, too.")
    verify: Verify = Field(
        "no",
        description="Ask captions back: mark (tell which are wrong), retry (ask for these again).",
    )
    region_schema: str = Field(
        "",
        description="Fields to write beside captions: referring, or a file with a JSON Schema of"
        " a region.",
    )
    prompt: str = Field(
        "default",
        description="A prompt template's name, a file with one, or a sentence of your own.",
    )
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(0.9, gt=0, le=1, description="Nucleus sampling threshold.")
    max_tokens: int = Field(512, ge=1, le=32_768, description="Longest answer, in tokens.")
    seed: int | None = Field(None, ge=0, description="Seed of the sampling; none by default.")
    shard_size: int = Field(32, ge=1, le=4096, description="Records in a shard.")
    queue: str = Field(
        "caption",
        pattern=f"^{CAPTION_QUEUE}$",
        description="Queue of the caption workers to use: one queue per model.",
    )
    priority: Priority = Field(
        "normal",
        description="Which jobs go first where several wait for the same workers: high, normal or"
        " low.",
    )
    reuse: bool = Field(
        False,
        description="Take over captions of earlier jobs where nothing changed: adds pictures.",
    )
    price_per_gpu_hour: float | None = Field(
        None, ge=0, description="Price of one GPU for an hour, to tell what regions cost."
    )
    keep_marked: bool = Field(
        True, description="Whether marked pictures stay when their results are there."
    )
    max_gpu_seconds: float | None = Field(
        None,
        gt=0,
        description="GPU time after which the job pauses, in seconds; no limit if unset.",
    )


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _words(command: object) -> object:
    """The words of a command: a list, the same as JSON, or a line as one types it in a shell."""
    if not isinstance(command, str):
        return command
    return json.loads(command) if command.startswith("[") else shlex.split(command)


def _folder_name(name: str) -> str:
    """The name of a folder in a bucket, without slashes around it."""
    name = name.strip("/")
    if name and not _FOLDER.fullmatch(name):
        raise ValueError(
            "must be names of letters, digits and ._=+@- with slashes between them, such as"
            " team/captions"
        )
    return name


class Settings(BaseSettings, JobSettings):
    """All settings, resolved."""

    model_config = SettingsConfigDict(
        env_prefix="REGIONCAP_",
        env_ignore_empty=True,
        extra="forbid",
        toml_file=TOML_FILE,
        env_nested_max_split=1,
    )

    broker_url: Annotated[SecretStr, AfterValidator(addresses.redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey, as a URL."
    )
    s3_endpoint: str = Field("127.0.0.1:9000", description="Host and port of the S3 store.")
    s3_access_key: str = Field("", description="Access key of the S3 store.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key of the S3 store.")
    s3_session_token: SecretStr = Field(
        SecretStr(""), description="Session token that belongs to the keys, if they have one."
    )
    s3_bucket: str = Field("regioncap", description="Bucket that holds everything.")
    s3_prefix: Annotated[str, AfterValidator(_folder_name)] = Field(
        "", description="Folder of the bucket below which everything lies; all of it by default."
    )
    s3_secure: bool = Field(False, description="Whether the S3 store is spoken to over TLS.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_source_buckets: list[str] = Field(
        default_factory=list, description="Further buckets that images may be read from."
    )

    engine: Annotated[EngineName, BeforeValidator(_lower)] = Field(
        "baseline", description="What captions: baseline (no model), vllm or openai."
    )
    model: str = Field(
        DEFAULT_MODEL,
        description="Model folder or hub name, or small, for vllm and openai.",
    )
    hf_cache_dir: Path | None = Field(None, description="Cache folder of the model hub.")
    download_dir: Path | None = Field(None, description="Folder that weights are downloaded to.")
    engine_args: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments of the engine, passed on as they are."
    )
    compile_cache_dir: Path | None = Field(
        None,
        description="Folder that keeps what vLLM compiles, for later starts and other workers; its"
        " own in the home folder if unset.",
    )
    gpu_locks: Path = Field(
        Path("/tmp/regioncap-gpus"),  # noqa: S108  # of the machine, not of one user
        description="Folder of the locks by which this machine's workers share its GPUs.",
    )
    openai_base_url: str = Field(
        "http://127.0.0.1:8000/v1", description="Address of the server, for the engine openai."
    )
    openai_api_key: SecretStr = Field(SecretStr(""), description="Key for that server, if any.")
    openai_timeout_s: float = Field(
        120.0, gt=0, description="Longest wait for that server's answer to one request."
    )
    openai_max_in_flight: int = Field(64, ge=1, description="Requests at that server at once.")
    max_pixels: int = Field(
        1_003_520, ge=28 * 28 * 4, description="Pixels of the picture that the model sees."
    )
    confine_images: bool = Field(
        False,
        description="Whether image paths may not leave the folder they are relative to, for"
        " services that take the files of others.",
    )
    max_image_bytes: int = Field(50_000_000, ge=1, description="Largest image file accepted.")
    max_image_pixels: int = Field(100_000_000, ge=1, description="Largest image accepted.")
    keep_captions: bool = Field(
        True, description="Whether caption workers keep captions for later jobs with reuse."
    )
    concurrency: int | None = Field(
        None, ge=1, description="Shards that a worker has in hand; by the kind of worker if unset."
    )
    visibility_timeout_s: float = Field(
        120.0, ge=5, description="A shard whose worker is silent for this long is given to another."
    )
    shard_timeout_s: float = Field(
        600.0,
        gt=0,
        description="A shard that takes longer to render, or gets no caption for so long, is tried"
        " again.",
    )
    window_shards: int = Field(
        5_000,
        ge=1,
        description="Shards of a job that may be on their way; the rest follow as these get done.",
    )
    memory_limit_mb: int = Field(
        6_000, ge=500, description="Address space of a render process, megabytes."
    )
    grace_s: float = Field(20.0, ge=0, description="Time to finish when a worker is told to stop.")
    remote_control: bool = Field(
        False,
        description="Whether workers listen to Celery's remote control, as `celery inspect` and"
        " Flower need; it can block a worker when Redis comes back after a crash.",
    )
    on_end_command: Annotated[list[str], NoDecode, BeforeValidator(_words)] = Field(
        default_factory=list,
        description="Command that janitors run when a job has ended or paused, with JSON about it"
        " on its standard input.",
    )
    on_end_url: Annotated[SecretStr, AfterValidator(addresses.http_url)] = Field(
        SecretStr(""), description="Address that janitors POST the same JSON to."
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of a worker's metrics and health; none by default."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address that metrics are served on; they carry no secrets."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of the sources; the first that has a value wins."""
        return tuple(source for _, source in named_sources(settings_cls, init_settings))

    def for_job(self, changes: Mapping[str, Any]) -> Settings:
        """The same with a job's own settings changed.

        Raises:
            UsageError: A value is out of range, or no job has such a setting (`bad-settings`).
        """
        if unknown := [name for name in changes if name not in JobSettings.model_fields]:
            alike = get_close_matches(unknown[0], JobSettings.model_fields, 1)
            raise UsageError(
                f"there is no setting {unknown[0]} of a job",
                code="bad-settings",
                hint=f"did you mean {alike[0]}?" if alike else "",
            )
        try:
            checked = JobSettings.model_validate(self.job_settings().model_dump() | dict(changes))
        except ValidationError as error:
            raise UsageError(_describe(error), code="bad-settings") from None
        return self.model_copy(update=dict(checked))

    @model_validator(mode="after")
    def _pixels_of_the_small_model(self) -> Self:
        """Pictures for the model that comes with RegionCap are as small as those it learned from.

        Unless the user says otherwise; the render workers follow the same settings.
        """
        small = self.engine == "vllm" and self.model == SMALL
        if small and "max_pixels" not in self.model_fields_set:
            self.max_pixels = SMALL_MAX_PIXELS
        return self

    def job_settings(self) -> JobSettings:
        """The part that is kept with a job."""
        return JobSettings.model_validate(self.model_dump(include=set(JobSettings.model_fields)))


def named_sources(
    settings_cls: type[BaseSettings], flags: PydanticBaseSettingsSource
) -> list[tuple[str, PydanticBaseSettingsSource]]:
    """The sources of settings with the names that users know them by, strongest first."""
    here = _folder.get()
    stacks = folder_above(here, STACK_FOLDER)
    stack = None if stacks is None else find_stack(stacks / STACK_FOLDER)
    file = toml_file(here, stacks)
    up = STACK if stacks in {None, here.absolute()} else f"{STACK} in {stacks}"
    return [
        ("flag", flags),
        ("environment", EnvSettingsSource(settings_cls)),
        (
            "secret file",
            SecretsSettingsSource(settings_cls, os.environ.get("REGIONCAP_SECRETS_DIR") or None),
        ),
        (str(file), TomlConfigSettingsSource(settings_cls, file)),
        (up, InitSettingsSource(settings_cls, dict(stack.settings) if stack else {})),
    ]


def toml_file(here: Path, stacks: Path | None) -> Path:
    """The file of settings for a folder, which need not be there.

    Args:
        here: The folder.
        stacks: That of the embedded stack, if one is up there or above.
    """
    own = here / TOML_FILE
    return stacks / TOML_FILE if stacks is not None and not own.exists() else own


def load_settings(folder: Path | str | None = None, /, **flags: Any) -> Settings:
    """Resolves the settings; flags that are None count as not given.

    Args:
        folder: Where to look for `regioncap.toml` and an embedded stack; by default the working
            folder.
        flags: Settings by name, stronger than all others.

    Raises:
        UsageError: A value is out of range, a name is unknown or a file cannot be read; the
            message names each. Or there is nothing to be found in the folder that was named
            (`no-stack`).
    """
    if folder is None:
        return _load(flags)
    token = _folder.set(_with_something(Path(folder)))
    try:
        return _load(flags)
    finally:
        _folder.reset(token)


def _with_something(folder: Path) -> Path:
    """Returns a folder in which a stack is up, there or above, or which has a file of settings."""
    if folder_above(folder, STACK_FOLDER) is None and not (folder / TOML_FILE).is_file():
        raise UsageError(
            f"no stack is up in {folder} or above it, and there is no {folder / TOML_FILE}",
            code="no-stack",
            hint=where_one_runs() or "start one there: regioncap up",
        )
    return folder


def where_one_runs() -> str:
    """In which folders this user's stacks run, as a hint; empty if none does."""
    found = running_folders(STACK_FOLDER)
    if not found:
        return ""
    places = " and in ".join(map(str, found))
    return f"a stack is up in {places}: work there, or in a folder below it"


def _load(flags: dict[str, Any]) -> Settings:
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        of_flags = all(
            problem["loc"][:1] and problem["loc"][0] in given for problem in error.errors()
        )
        hint = "" if of_flags else _HINT  # who typed a value knows where it came from
        raise UsageError(_describe(error), code="bad-settings", hint=hint) from None
    except SettingsError as error:
        raise UsageError(str(error), code="bad-settings", hint=_HINT) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{TOML_FILE}: {error}", code="bad-settings", hint=_HINT) from None


#: Where settings are looked for.
_folder = ContextVar("folder", default=Path())

_HINT = "environment names are REGIONCAP_ and the name in capitals; see `regioncap config show`"


#: Words of pydantic's that are said more plainly.
_PLAIN = {"greater than or equal to": "at least", "less than or equal to": "at most"}


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    return "; ".join(_describe_one(dict(problem)) for problem in problems)


def _describe_one(problem: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    field = Settings.model_fields.get(name)
    if field is None and problem["type"] == "extra_forbidden":
        alike = get_close_matches(name, Settings.model_fields, 1)
        return f"there is no setting {name}" + (f", but {alike[0]}" if alike else "")
    given = "" if field is None or field.annotation is SecretStr else f" (not {problem['input']!r})"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    for theirs, plain in _PLAIN.items():
        message = message.replace(theirs, plain)
    return f"{name}: {message}{given}"


def as_environment(values: Mapping[str, Any]) -> dict[str, str]:
    """This process's environment with settings in it, for a process that is to have them too.

    Args:
        values: Settings by name; None counts as not given.
    """
    return os.environ | {
        f"REGIONCAP_{name.upper()}": _as_text(value)
        for name, value in values.items()
        if value is not None
    }


def _as_text(value: object) -> str:
    """A setting's value as the environment has it: lists and tables are JSON."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


@lru_cache(maxsize=1)
def worker_settings() -> Settings:
    """The settings of this worker process, read once."""
    return load_settings()

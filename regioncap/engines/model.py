"""Where the model is: a folder of any name, or a name on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regioncap.engines.model_files import check_checkpoint, revision_of
from regioncap.errors import EngineStartError, EngineUnreachableError
from regioncap.packages import install_line
from regioncap.settings import DEFAULT_MODEL, SMALL, Settings

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
#: What an engine reads; the Hub may hold other forms of the same weights besides.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model whose files have been looked at and are whole."""

    #: As it was asked for.
    name: str
    folder: Path
    #: Commit on the Hub, or `sha256:` and a digest of the files.
    revision: str


def resolve_model(
    model: str = DEFAULT_MODEL,
    *,
    hf_cache_dir: str | Path | None = None,
    download_dir: str | Path | None = None,
    local_only: bool = False,
) -> ResolvedModel:
    """Finds a model's files, from the Hub if need be, and checks that they are whole.

    A folder is taken as it is and never written to. A name on the Hub is looked up there unless
    `HF_HUB_OFFLINE` is set; without a network, files fetched before serve.

    Args:
        model: Folder, or `organisation/name` on the Hub, or `small`. A folder of that name comes
            first.
        hf_cache_dir: The Hub's cache; the Hub client's own default if None.
        download_dir: Where models are laid as plain files, each in a folder `name` of its own,
            instead of in the cache.
        local_only: Don't ask the Hub, as with `HF_HUB_OFFLINE`.

    Raises:
        EngineStartError: The code says what is wrong: `model-folder-missing`, `hub-unreachable`,
            `hub-model-missing`, `hub-client-missing`, or one of `check_checkpoint`.
    """
    folder = _folder_of(model, hf_cache_dir, download_dir, _WANTED, local_only or is_offline())
    check_checkpoint(folder)
    return ResolvedModel(name=model, folder=folder, revision=revision_of(folder))


def local_model(settings: Settings) -> ResolvedModel:
    """The model that the settings name, as it lies on this machine; the Hub is not asked.

    Raises:
        EngineStartError: As `resolve_model`.
    """
    return resolve_model(
        settings.model,
        hf_cache_dir=settings.hf_cache_dir,
        download_dir=settings.download_dir,
        local_only=True,
    )


def find_settings(
    model: str,
    names: Sequence[str],
    *,
    hf_cache_dir: str | Path | None = None,
    download_dir: str | Path | None = None,
) -> Path:
    """The folder of a model of which some small files alone are needed; from the Hub if need be.

    Args:
        model: As for `resolve_model`.
        names: The files.
        hf_cache_dir: Likewise.
        download_dir: Likewise; nothing is laid there.

    Raises:
        EngineStartError: As `resolve_model`, but for what `check_checkpoint` finds.
    """
    if download_dir and (folder := _in_downloads(model, download_dir)).is_dir():
        return folder
    return _folder_of(model, hf_cache_dir, None, names, is_offline())


def _folder_of(
    model: str,
    hf_cache_dir: str | Path | None,
    download_dir: str | Path | None,
    wanted: Sequence[str],
    local_only: bool,
) -> Path:
    folder = Path(model).expanduser()
    if model == SMALL and not folder.is_dir():
        folder = Path(__file__).parent / "small_model"
    elif not folder.is_dir():
        if folder.exists() or not _HUB_NAME.fullmatch(model):
            raise _no_folder(model, folder)
        folder = _fetch(model, hf_cache_dir, download_dir, wanted, local_only=local_only)
    return folder.absolute()


def _in_downloads(name: str, download_dir: str | Path) -> Path:
    # A folder of its own for each model: two models in one folder would overwrite each other.
    return Path(download_dir).expanduser() / name.rsplit("/", 1)[-1]


def is_offline() -> bool:
    """Whether the Hub must not be asked, by the Hub client's own variable."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _no_folder(model: str, folder: Path) -> EngineStartError:
    what = "is a file, not a folder" if folder.exists() else "is no folder on this machine"
    return EngineStartError(
        f"the model {model!r} {what} (looked at {folder.absolute()})",
        code="model-folder-missing",
        hint=f"give the folder that holds config.json, or a name on the Hub such as {DEFAULT_MODEL}"
        "; in a container, check that the folder is mounted",
    )


def _fetch(
    name: str,
    hf_cache_dir: str | Path | None,
    download_dir: str | Path | None,
    wanted: Sequence[str],
    *,
    local_only: bool,
) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise EngineStartError(
            f"the model {name!r} is on the Hub, and the Hub's client is not installed",
            code="hub-client-missing",
            hint=f"{install_line('vllm')}, or give a local folder",
        ) from error
    local_dir = _in_downloads(name, download_dir) if download_dir else None
    try:
        return Path(
            snapshot_download(
                name,
                cache_dir=Path(hf_cache_dir).expanduser() if hf_cache_dir else None,
                local_dir=local_dir,
                local_files_only=local_only,
                allow_patterns=list(wanted),
                endpoint=os.environ.get("HF_ENDPOINT"),
            )
        )
    except LocalEntryNotFoundError as error:
        why = "the Hub was not to be asked" if local_only else "the Hub cannot be reached"
        raise _unreachable(name, local_dir or hf_cache_dir, why) from error
    except HfHubHTTPError as error:
        raise _refused(name, error) from error
    except Exception as error:  # the Hub client's transport raises its own library's errors
        raise _unreachable(name, local_dir or hf_cache_dir, f"the Hub fails: {error}") from error


def _unreachable(name: str, where: str | Path | None, why: str) -> EngineStartError:
    return EngineUnreachableError(
        f"the model {name!r} is not in {where or 'the Hub cache'}, and {why}",
        code="hub-unreachable",
        hint=f"fetch it where there is a network (hf download {name} --local-dir FOLDER) and give "
        "the folder; see that HF_HUB_OFFLINE is not set by mistake, or set HF_ENDPOINT to a mirror",
    )


def _refused(name: str, error: Exception) -> EngineStartError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None and status >= 500:
        return EngineUnreachableError(
            f"the Hub fails to hand out {name!r}: status {status}",
            code="hub-unreachable",
            hint="try again later, or give a local folder",
        )
    return EngineStartError(
        f"the Hub does not hand out {name!r}: status {status}",
        code="hub-model-missing",
        hint="check the name; for a gated or private model set HF_TOKEN",
    )

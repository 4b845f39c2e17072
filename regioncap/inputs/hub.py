"""Data sets on Hugging Face's hub: its own client brings them into its cache.

    hf:owner/name                    a data set, whole
    hf:owner/name@revision           a branch, tag or commit of it
    hf:owner/name/data/a.parquet     a file or a folder of it

`HF_TOKEN` opens what is not public, and `HF_ENDPOINT` names another hub.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from regioncap.errors import UsageError
from regioncap.packages import require

SCHEME = "hf:"
_NAME = re.compile(
    r"hf:(//datasets/)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<path>.+))?"
)


def is_on_hub(target: str) -> bool:
    """Whether what the user names is a data set of the hub."""
    return target.startswith(SCHEME)


def bring(target: str, cache_dir: Path | None = None) -> Path:
    """The file or folder on this machine of a data set of the hub.

    Args:
        target: Its name, as above.
        cache_dir: The hub's cache; that of its client if None.

    Raises:
        UsageError: It is no such name (`bad-hub-name`), there is no such data set, or it is not
            open to the user (`no-hub-dataset`), the hub is away (`hub-unavailable`), or its client
            is not installed (`missing-extra`).
    """
    found = _NAME.fullmatch(target)
    if found is None or ".." in Path(target).parts:
        raise _no_name(target)
    require("huggingface_hub", "reading data sets of the hub", extra="hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    path, repository = found["path"], f"{found['owner']}/{found['name']}"
    try:
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=found["revision"],
            cache_dir=cache_dir,
            endpoint=os.environ.get("HF_ENDPOINT"),
            allow_patterns=[path.rstrip("/"), f"{path.rstrip('/')}/*"] if path else None,
        )
    except LocalEntryNotFoundError as error:
        raise _away(target, error) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status is not None and status >= 500:
            raise _away(target, error) from error
        raise UsageError(
            f"the hub has no data set {target}, or does not open it ({status or 'no answer'})",
            code="no-hub-dataset",
            hint="look at its page; HF_TOKEN opens what is private or asks for consent",
        ) from error
    except ValueError as error:
        raise _no_name(target, f": {error}") from error
    except Exception as error:  # the hub's client raises what its HTTP library does
        raise _away(target, error) from error
    place = Path(folder) / path if path else Path(folder)
    if not place.exists():
        raise UsageError(
            f"the data set {repository} has no {path}", code="no-hub-dataset", hint="see its files"
        )
    return place


def _no_name(target: str, why: str = "") -> UsageError:
    return UsageError(
        f"{target!r} names no data set of the hub{why}",
        code="bad-hub-name",
        hint="write hf:owner/name, hf:owner/name@revision or hf:owner/name/folder",
    )


def _away(target: str, error: Exception) -> UsageError:
    return UsageError(
        f"{target} cannot be brought from the hub: {type(error).__name__}",
        code="hub-unavailable",
        hint="is there a network? HF_ENDPOINT names another hub",
    )

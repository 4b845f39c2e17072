"""Packages that only some features need, and how an installation gets them."""

from __future__ import annotations

import importlib.util
import json
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from regioncap.errors import UsageError

_NAME = "regioncap"


def is_installed(package: str) -> bool:
    """Whether a package could be imported; nothing is."""
    return importlib.util.find_spec(package) is not None


def require(package: str, what: str, extra: str = "export") -> None:
    """Returns if a package of an extra is installed.

    Args:
        package: Its import name.
        what: What needs it, as the subject of a sentence.
        extra: The extra that has it.

    Raises:
        UsageError: It is not (`missing-extra`).
    """
    if not is_installed(package):
        raise UsageError(
            f"{what} needs the package {package}",
            code="missing-extra",
            hint=f"install it: {install_line(extra)}",
        )


def install_line(extra: str) -> str:
    """What to type to add an extra to this installation, from where it came itself.

    It lies in no index: a checkout, a file or a repository is where it comes from.
    """
    try:
        installed = metadata.distribution(_NAME)
        came = json.loads(installed.read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return _from_folder(Path(__file__).resolve().parents[1], extra)
    url = str(came.get("url", ""))
    if url.startswith("file://"):
        path = Path(unquote(urlsplit(url).path))
        editable = came.get("dir_info", {}).get("editable", False)
        return _from_folder(path, extra) if editable else f"pip install '{path}[{extra}]'"
    if vcs := came.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"pip install '{_NAME}[{extra}] @ {url or f'git+{repository()}'}'"


def repository() -> str:
    """The address of the source, as pyproject.toml names it."""
    urls = dict(
        line.split(", ", 1) for line in metadata.metadata(_NAME).get_all("Project-URL") or ()
    )
    return str(urls.get("Repository", ""))


def _from_folder(path: Path, extra: str) -> str:
    return f"pip install -e '{path}[{extra}]'"

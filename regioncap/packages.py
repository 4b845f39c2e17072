"""Packages that only some features need."""

from __future__ import annotations

import importlib.util

from regioncap.errors import UsageError


def is_installed(package: str) -> bool:
    """Whether a package could be imported; nothing is."""
    return importlib.util.find_spec(package) is not None


def require(package: str, what: str) -> None:
    """Returns if a package of the extra `export` is installed.

    Args:
        package: Its import name.
        what: What needs it, as the subject of a sentence.

    Raises:
        UsageError: It is not (`missing-extra`).
    """
    if not is_installed(package):
        raise UsageError(
            f"{what} needs the package {package}",
            code="missing-extra",
            hint="install it: pip install 'regioncap[export]'",
        )

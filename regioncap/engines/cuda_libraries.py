"""CUDA libraries that hide each other.

PyTorch's wheels bring the CUDA libraries they were built with and find them by RUNPATH, which the
dynamic linker searches after LD_LIBRARY_PATH. So a CUDA toolkit on that path puts its own
libnvJitLink under the wheel's libcusparse, and the import ends with
`libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12`
(https://github.com/pytorch/pytorch/issues/111469).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import site
import sysconfig
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path


def wheel_library_dirs(roots: Sequence[Path] | None = None) -> list[Path]:
    """Folders of the CUDA libraries that came with the wheels (`nvidia/<part>/lib`), sorted."""
    if roots is None:
        roots = [Path(p) for p in {sysconfig.get_path("purelib"), *site.getsitepackages()}]
    return sorted({path for root in roots for path in root.glob("nvidia/*/lib") if path.is_dir()})


def torch_cuda() -> str | None:
    """The CUDA that PyTorch was built for, read from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = (Path(spec.origin).parent / "version.py").read_text("utf-8")
    match = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    return match.group(1) if match else None


def clashes(ld_library_path: str, wheel_dirs: Sequence[Path]) -> list[Path]:
    """Libraries on LD_LIBRARY_PATH that the linker would take before the wheels' own.

    Args:
        ld_library_path: The variable's value; folders separated by colons.
        wheel_dirs: Folders of the wheels' libraries.

    Returns:
        The hiding files, in the path's order.
    """
    own = {lib.name: lib for folder in wheel_dirs for lib in folder.glob("lib*.so*")}
    found: dict[str, Path] = {}
    for folder in map(Path, filter(None, ld_library_path.split(":"))):
        for name in own.keys() - found.keys():
            if (folder / name).exists():
                found[name] = folder / name
    return [path for name, path in found.items() if not path.samefile(own[name])]


def prefer_wheel_libraries(
    environ: MutableMapping[str, str] = os.environ, wheel_dirs: Sequence[Path] | None = None
) -> list[Path]:
    """Makes this process and its children take the wheels' own CUDA libraries.

    Does something only where there is a clash. Nothing is taken off the path: the wheels' folders
    go before it, for processes started from here; this process loads the libraries in question
    now, and the linker reuses one that is loaded under the wanted name.

    Returns:
        The libraries that would have been taken instead.
    """
    dirs = wheel_library_dirs() if wheel_dirs is None else list(wheel_dirs)
    found = clashes(environ.get("LD_LIBRARY_PATH", ""), dirs)
    if found:
        for name in sorted({path.name for path in found}, key=_leaves_first):
            library = next(folder / name for folder in dirs if (folder / name).exists())
            # It may need another library first, which is loaded when PyTorch asks for it; what
            # cannot be loaded at all is PyTorch's to report, with its own words.
            with suppress(OSError):
                ctypes.CDLL(str(library))
        environ["LD_LIBRARY_PATH"] = ":".join([*map(str, dirs), environ["LD_LIBRARY_PATH"]])
    return found


def _leaves_first(name: str) -> tuple[bool, str]:
    # A library loaded before what it needs would take that from LD_LIBRARY_PATH.
    return not name.startswith(("libnvJitLink", "libcudart", "libcublasLt", "libnvrtc")), name

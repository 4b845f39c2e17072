"""Makes a torchvision that was built for CUDA importable beside a PyTorch without CUDA.

The image processor of Qwen2.5-VL needs torchvision for its resize, which is plain tensor code. The
wheel's compiled operators cannot load without CUDA, and torchvision then fails while it registers
their fake kernels. Declaring the two operators' signatures before its import is enough. A wheel
that was built for CPUs (`+cpu`), or that stands beside a PyTorch with CUDA, declares them itself.

With this folder on PYTHONPATH, every Python started from here does so before its first import of
torchvision, the processes that vLLM starts among them.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from types import ModuleType

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class DeclareOperators(importlib.abc.MetaPathFinder):
    """Finds nothing; steps in when torchvision is first looked for."""

    #: Kept alive: a library that is collected takes its operators with it.
    library: object = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None always; the operators are declared then."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda or metadata.version("torchvision").endswith("+cpu"):
                return None
            library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                library.define(operator + SIGNATURE)
            DeclareOperators.library = library
        return None


if not any(type(finder).__name__ == "DeclareOperators" for finder in sys.meta_path):
    sys.meta_path.insert(0, DeclareOperators())

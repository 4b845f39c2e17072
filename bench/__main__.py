"""The whole set of benches, one after the other: `make bench`.

    python -m bench [--json FOLDER]

Each prints its figures; with a folder named they are written there too, as docs/performance has
them. Takes about ten minutes on two cores. That of the engine needs vLLM, and a model or its toy:
`python -m bench.engine`; those of faults are `python -m bench.soak`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench import as_command

BENCHES = ("render", "steps", "pipeline", "control", "latency", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    folder = parser.parse_args().json
    for name in BENCHES:
        print(f"== {name}", flush=True)
        told = [] if folder is None else ["--json", str(folder / f"{name}.json")]
        subprocess.run([sys.executable, "-m", f"bench.{name}", *told], check=True)


if __name__ == "__main__":
    as_command(main)

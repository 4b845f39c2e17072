"""The rows of a measurement: printed as they come, kept in one file for each card and shape."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from bench import occupancy, report
from bench.gpu.cases import Case

#: Sides of a case, in the order in which they are measured.
SIDES = ("plain", "engine", "system")
_MEDIANS = (
    "images_per_s", "regions_per_s", "tokens_per_s", "tflops", "matrix_share",
    "requests_per_image", "prompt_tokens", "completion_tokens",
)  # fmt: skip


class Ledger:
    """Keeps rows; those of earlier runs stay in the file until they are measured again.

    Args:
        file: Where the rows are kept.
        run: Names this run: rows are compared only with rows of the same.
        about: Machine, versions and options of this run, and its `matrix` rate, empty if unknown.
    """

    def __init__(self, file: Path, run: str, about: dict[str, Any]) -> None:
        self._file = file
        self._run = run
        self._matrix_tflops: float | None = about["matrix"].get("tflops")
        known = json.loads(file.read_text()) if file.exists() else {}
        self._rows: dict[str, dict[str, Any]] = known.get("rows", {})
        self._runs: dict[str, Any] = known.get("runs", {}) | {run: about}
        self._skipped: dict[str, str] = {}

    def add(
        self, case: Case, side: str, engine: dict[str, Any], counts: dict[str, Any], flops: float
    ) -> None:
        """Notes a run of a row, writes the file and prints the row as it is now.

        Args:
            case: What was asked.
            side: Of whom.
            engine: What is told of the engine, and how long it took to start.
            counts: What came of the run, as `figures_of` takes it.
            flops: Operations for one image.
        """
        run = figures_of(case, counts, flops, self._matrix_tflops)
        row = self._mine(case, side) or {"run": self._run, "case": case.told(), "runs": []}
        row |= engine
        row["runs"].append(run)
        row["finished"] = report.now()
        row |= {
            name: median(known[name] for known in row["runs"])
            for name in _MEDIANS
            if run[name] is not None
        }
        self._rows[f"{case.name}/{side}"] = row
        self._skipped.pop(f"{case.name}/{side}", None)
        if side == "system":
            row["over"] = self._ratios(case)
        self.save()
        print(f"{case.name}/{side}: {case.told()}\n{_told(row)}", flush=True)

    def skip(self, case: Case, side: str, why: str) -> None:
        """Notes that a row is not run; one that is there already stays."""
        name = f"{case.name}/{side}"
        if self._mine(case, side) is None:
            self._skipped[name] = why.strip().splitlines()[-1]
        print(f"{name}: not run{' again' * (name not in self._skipped)}: {why}", flush=True)

    def note_start(self, name: str, seconds: float) -> None:
        """Notes how long a process took to start that this run had started before."""
        self._runs[self._run].setdefault("started_again_s", {})[name] = seconds
        self.save()
        print(f"{name}, started again: {seconds:.0f} s", flush=True)

    def has(self, case: Case, side: str) -> bool:
        """Whether the row was measured in this run."""
        return self._mine(case, side) is not None

    def save(self) -> None:
        """Writes the file, with those runs that a row is of."""
        named = {row["run"] for row in self._rows.values()}
        kept = {run: about for run, about in self._runs.items() if run in named}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        whole = {"bench": "gpu", "runs": kept, "rows": self._rows}
        self._file.write_text(json.dumps(whole, indent=2) + "\n")

    def table(self) -> str:
        """The rows of this run, and those that were not run."""
        lines = [
            f"{'':16}{'images/s':>9}{'regions/s':>10}{'tokens/s':>9}{'TFLOP/s':>8}{'share':>6}"
            f"{'GPU %':>6}{'W':>5}  {'system over':>12}"
        ]
        for name in sorted(self._rows, key=_place):
            if self._rows[name]["run"] == self._run:
                lines.append(f"{name:16}{_cells(self._rows[name])}")
        lines += [f"{name:16}not run: {why}" for name, why in self._skipped.items()]
        return "\n".join(lines)

    def _mine(self, case: Case, side: str) -> dict[str, Any] | None:
        row = self._rows.get(f"{case.name}/{side}")
        return row if row and row["run"] == self._run else None

    def _ratios(self, case: Case) -> dict[str, float]:
        """The system over the other sides, in images/s.

        Over the engine it is the median of the pairs, each of which ran one after the other; the
        plain side has its own process, so that medians are compared.
        """
        system, found = self._mine(case, "system"), {}
        assert system is not None
        if engine := self._mine(case, "engine"):
            pairs = zip(system["runs"], engine["runs"], strict=False)
            found["engine"] = median(s["images_per_s"] / e["images_per_s"] for s, e in pairs)
        if plain := self._mine(case, "plain"):
            found["plain"] = system["images_per_s"] / plain["images_per_s"]
        return found


def _place(name: str) -> tuple[str, int]:
    """Of a row in the table: cases together, sides in their order."""
    case, side = name.split("/")
    return case, SIDES.index(side)


def figures_of(
    case: Case, run: dict[str, Any], flops: float, matrix_tflops: float | None
) -> dict[str, Any]:
    """A run's counts as rates.

    Args:
        case: What was asked.
        run: `seconds`, `images`, `regions`, `requests`, tokens, and what the watch saw.
        flops: Operations for one image.
        matrix_tflops: What the machine could do at best, if that is known.
    """
    seconds, images = run["seconds"], run["images"]
    tflops = flops * images / seconds / 1e12
    return {
        **run,
        "images_per_s": images / seconds,
        "regions_per_s": run["regions"] / seconds,
        "tokens_per_s": run["completion_tokens"] / seconds,
        "requests_per_image": run["requests"] / images,
        "prompt_tokens": run["prompt_tokens"] / images,
        "cached_tokens": run["cached_tokens"] / images,
        "picture_tokens": case.picture_tokens,
        "completion_tokens": run["completion_tokens"] / images,
        "tflops": tflops,
        "matrix_share": tflops / matrix_tflops if matrix_tflops else None,
        "cores": {name: s / run["watched_s"] for name, s in run["processor_s"].items()},
        "processor_ms": {name: 1000 * s / images for name, s in run["processor_s"].items()},
    }


def _told(row: dict[str, Any]) -> str:
    last = row["runs"][-1]
    counts = (
        f"{len(row['runs'])} runs, the last {last['seconds']:.1f} s for {last['images']} images; "
        f"tokens an image: {row['prompt_tokens']:.0f} in, {last['cached_tokens']:.0f} of them "
        f"cached, {row['completion_tokens']:.0f} out; {row['requests_per_image']:.2f} requests"
    )
    gpu = last["gpu"]
    rate = (
        f"{row['images_per_s']:.2f} images/s, {row['regions_per_s']:.2f} regions/s, "
        f"{row['tokens_per_s']:.0f} tokens/s, {row['tflops']:.3g} TFLOP/s"
        + (f" = {row['matrix_share']:.2f} of the matrix rate" if "matrix_share" in row else "")
        + (f"; GPU {gpu['use_percent']:.0f} %, {gpu['power_w']:.0f} W" if gpu else "")
    )
    cores = ", ".join(f"{name} {busy:.2f}" for name, busy in last["cores"].items() if busy >= 0.005)
    engine = row["engine"]
    lines = [
        rate,
        counts,
        f"cores busy: {cores}; engine up in {row['start_s']:.0f} s, at most "
        f"{engine['max_num_seqs']} requests and {engine['max_num_batched_tokens']} tokens a step",
    ]
    if "batch" in last:
        lines.append(occupancy.told(last["batch"]))
    lines += [f"over {side}: {ratio:.2f}" for side, ratio in row.get("over", {}).items()]
    return "\n".join(f"    {line}" for line in lines)


def _cells(row: dict[str, Any]) -> str:
    gpu = row["runs"][-1]["gpu"]
    over = ", ".join(f"{side} {ratio:.2f}" for side, ratio in row.get("over", {}).items())
    share = f"{row['matrix_share']:6.2f}" if "matrix_share" in row else " " * 6
    use = f"{gpu['use_percent']:6.0f}{gpu['power_w']:5.0f}" if gpu else " " * 11
    return (
        f"{row['images_per_s']:9.2f}{row['regions_per_s']:10.2f}{row['tokens_per_s']:9.0f}"
        f"{row['tflops']:8.3g}{share}{use}  {over:>12}"
    )

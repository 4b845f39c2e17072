"""An evaluation against an earlier one: what became better or worse, way by way; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regioncap.errors import UsageError
from regioncap.evaluation.scenes import Scene

#: Shares of regions that are compared; only the first decides.
SHARES = ("right", "mixed-up", "wrong", "missing", "invalid")
_HINT = "make one with `regioncap eval --json > old.json`"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way, now and before."""

    variant: str
    #: Shares of regions by outcome, 0 to 1: before and now.
    shares: Mapping[str, tuple[float, float]]
    #: Tokens of a region, prompt and answer: before and now.
    tokens: tuple[float, float]
    #: Whether fewer captions are right than before, by more than is tolerated.
    is_worse: bool


def scenes_digest(scenes: Sequence[Scene]) -> str:
    """Names the pictures of an evaluation and what is known of them: 16 hexadecimal digits."""
    known = [[s.name, [list(b) for b in s.boxes_xyxy], [t.text for t in s.truths]] for s in scenes]
    digest = hashlib.sha256(json.dumps(known).encode())
    for scene in scenes:
        digest.update(hashlib.sha256(scene.image).digest())
    return digest.hexdigest()[:16]


def read_baseline(path: Path) -> list[dict[str, Any]]:
    """The ways of an earlier evaluation, as `eval --json` wrote them.

    Raises:
        UsageError: It cannot be read, or holds something else (`bad-baseline`).
    """
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", code="bad-baseline", hint=_HINT
        ) from error
    for number, row in enumerate(rows, start=1):
        if not _is_way(row):
            raise UsageError(
                f"{path}: line {number} is no way of an evaluation",
                code="bad-baseline",
                hint=_HINT,
            )
    if not rows:
        raise UsageError(f"{path} is empty", code="bad-baseline", hint=_HINT)
    return rows


def _is_way(row: Any) -> bool:
    numbers = ("regions", *SHARES, "prompt_tokens", "completion_tokens")
    return (
        isinstance(row, dict)
        and isinstance(row.get("variant"), str)
        and all(
            isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool)
            for name in numbers
        )
    )


def compare(
    rows: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], tolerance: float
) -> list[Comparison]:
    """Compares the ways that both evaluations tried.

    Args:
        rows: The ways of now.
        before: Those of the earlier evaluation.
        tolerance: By how much the share of right captions may fall, 0 to 1.

    Raises:
        UsageError: The pictures are others (`other-scenes`), or no way is the same
            (`no-common-way`).
    """
    known = {row["variant"]: row for row in before}
    for row in rows:
        was = known.get(row["variant"])
        if was is not None and was.get("scenes") not in {None, row["scenes"]}:
            raise UsageError(
                "the baseline is of other pictures, and says nothing of these",
                code="other-scenes",
                hint="give the same --seed, --scenes, --regions, --sizes, --kinds and --data",
            )
    found = [
        _compared(known[row["variant"]], row, tolerance) for row in rows if row["variant"] in known
    ]
    if not found:
        raise UsageError(
            f"no way is in both: the baseline has {', '.join(known)}",
            code="no-common-way",
            hint="give the same --modes, --styles, --prompts and --per-call",
        )
    return found


def _compared(was: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> Comparison:
    shares = {name: (float(was[name]), float(now[name])) for name in SHARES}
    before, after = shares["right"]
    return Comparison(
        variant=now["variant"],
        shares=shares,
        tokens=(_tokens(was), _tokens(now)),
        # Shares are rounded to four digits.
        is_worse=round(before - after, 4) > round(tolerance, 4),
    )


def _tokens(row: Mapping[str, Any]) -> float:
    regions = row["regions"]
    return (row["prompt_tokens"] + row["completion_tokens"]) / regions if regions else 0.0

"""Scores: how right the captions of one variant (a way of showing regions) are; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.trust import Trust
from regioncap.evaluation.truth import OUTCOMES, Outcome, Truth, judge
from regioncap.records import Region


@dataclass(frozen=True, slots=True)
class Judged:
    """A region, what it holds, and what was made of it."""

    scene: str
    kind: str
    region: int
    truth: str
    caption: str | None
    outcome: Outcome


def judge_scene(scene: Scene, regions: Sequence[Region]) -> list[Judged]:
    """Judges the regions of a scene, each against what it and its neighbours hold.

    Args:
        scene: The scene, of N regions.
        regions: The N regions, captioned, in the scene's order; none where the record failed, and
            then nothing is said of any.
    """
    regions = regions or [Region(region=nth) for nth, _ in enumerate(scene.truths, start=1)]
    return [
        Judged(
            scene=scene.name,
            kind=scene.kind,
            region=region.region,
            truth=own.text,
            caption=region.caption,
            outcome=_outcome(region, own, [truth for truth in scene.truths if truth is not own]),
        )
        for region, own in zip(regions, scene.truths, strict=True)
    ]


def _outcome(region: Region, own: Truth, others: Sequence[Truth]) -> Outcome:
    if region.status == "ok":
        return judge(region.caption or "", own, others)
    return "missing" if region.status == "skipped" else region.status


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over regions."""

    outcomes: Counter[Outcome]

    @classmethod
    def of(cls, judged: Iterable[Judged]) -> Score:
        """The sums over some regions."""
        return cls(Counter(each.outcome for each in judged))

    @property
    def regions(self) -> int:
        """How many regions there are."""
        return self.outcomes.total()

    def share(self, outcome: Outcome) -> float:
        """The share of regions with this outcome, 0 to 1; 0 of none."""
        return self.outcomes[outcome] / self.regions if self.regions else 0.0


@dataclass(slots=True)
class Result:
    """Scores of one variant."""

    variant: str
    judged: list[Judged] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: What verification found, if captions were asked back.
    trust: Trust | None = None

    @property
    def total(self) -> Score:
        """The sums over all scenes."""
        return Score.of(self.judged)

    def by_kind(self) -> dict[str, Score]:
        """The sums by kind of scene, in the order met."""
        kinds = dict.fromkeys(judged.kind for judged in self.judged)
        return {kind: Score.of(j for j in self.judged if j.kind == kind) for kind in kinds}

    @property
    def valid_regions_per_s(self) -> float:
        """Regions with a caption, right or not, by the time that captioning took."""
        valid = sum(self.total.outcomes[o] for o in ("right", "mixed-up", "wrong"))
        return valid / self.seconds if self.seconds else 0.0

    def row(self) -> dict[str, Any]:
        """The figures as a flat record."""
        total = self.total
        return {
            "variant": self.variant,
            "regions": total.regions,
            **{outcome: round(total.share(outcome), 4) for outcome in OUTCOMES},
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "seconds": round(self.seconds, 3),
            "valid_regions_per_s": round(self.valid_regions_per_s, 2),
            "right_by_kind": {
                kind: round(score.share("right"), 4) for kind, score in self.by_kind().items()
            },
            **({"verification": self.trust.row()} if self.trust else {}),
        }

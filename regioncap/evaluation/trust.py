"""What verification is worth: which wrong captions it catches, and which right ones it flags.

Three things are told apart. Planted swaps, right captions given to another region of the picture,
say how well the question is understood. The model's own mistakes say what verification catches of
what it is made for. Right captions that are flagged say what it costs. A caption that fits two
regions of a picture proves nothing either way; such ones are left out and counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regioncap.captions.conversation import Captioned
from regioncap.captions.verification import Claim, Cost, Verdict, verify
from regioncap.engines.base import Engine
from regioncap.evaluation.scenes import Scene
from regioncap.evaluation.truth import judge
from regioncap.views.view import ViewSettings


@dataclass(slots=True)
class Trust:
    """Sums over captions that were asked back."""

    #: Swaps, the model's own wrong captions, and its right ones; and how many were found wrong.
    planted: int = 0
    planted_caught: int = 0
    mistakes: int = 0
    mistakes_caught: int = 0
    right: int = 0
    right_flagged: int = 0
    #: Captions and swaps left out, as they fit two regions of the picture.
    ambiguous: int = 0
    #: Those of which the engine did not say anything that could be read.
    unsaid: int = 0
    #: Of asking back the captions, without the planted ones.
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        """The figures as a flat record; shares are null where there is nothing."""
        return {
            "planted": self.planted,
            "planted_caught": _share(self.planted_caught, self.planted),
            "mistakes": self.mistakes,
            "mistakes_caught": _share(self.mistakes_caught, self.mistakes),
            "right": self.right,
            "right_flagged": _share(self.right_flagged, self.right),
            "ambiguous": self.ambiguous,
            "unsaid": self.unsaid,
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "seconds": round(self.seconds, 3),
        }

    async def add(
        self,
        scenes: Sequence[Scene],
        done: Sequence[Captioned],
        pictures: Mapping[str, bytes],
        engine: Engine,
        how: ViewSettings,
    ) -> None:
        """Asks the captions of some scenes back, and swapped ones, and adds what came of it.

        Args:
            scenes: N scenes.
            done: Their N records, captioned.
            pictures: The JPEG of each view, by its key.
            engine: The engine that captioned them.
            how: How their regions are shown.

        Raises:
            EngineDeadError: The engine is gone.
        """
        started = time.monotonic()
        for scene, captioned in zip(scenes, done, strict=True):
            claims = _claims(captioned)
            verdicts, cost = await verify(captioned.record, claims, pictures, engine, how)
            self._count_cost(cost)
            for claim, verdict in zip(claims, verdicts, strict=True):
                self._count(scene, claim, verdict)
        self.seconds += time.monotonic() - started
        for scene, captioned in zip(scenes, done, strict=True):
            swapped = self._swapped(scene, _claims(captioned))
            verdicts, _ = await verify(captioned.record, swapped, pictures, engine, how)
            self.planted += len(swapped)
            self.planted_caught += sum(verdict.verified is False for verdict in verdicts)
            self.unsaid += sum(verdict.verified is None for verdict in verdicts)

    def _count_cost(self, cost: Cost) -> None:
        self.requests += cost.requests
        self.prompt_tokens += cost.prompt_tokens
        self.completion_tokens += cost.completion_tokens

    def _count(self, scene: Scene, claim: Claim, verdict: Verdict) -> None:
        fitting = _fitting(scene, claim.caption)
        if claim.region in fitting and len(fitting) > 1:
            self.ambiguous += 1
            return
        self.unsaid += verdict.verified is None
        if claim.region in fitting:
            self.right += 1
            self.right_flagged += verdict.verified is False
        else:
            self.mistakes += 1
            self.mistakes_caught += verdict.verified is False

    def _swapped(self, scene: Scene, claims: Sequence[Claim]) -> list[Claim]:
        """The right captions of a scene, each given to the next region that has one."""
        right = [claim for claim in claims if claim.region in _fitting(scene, claim.caption)]
        swapped = []
        for claim, other in zip(right, right[1:] + right[:1], strict=True):
            if claim.region in _fitting(scene, other.caption):
                self.ambiguous += len(right) > 1
            else:
                swapped.append(Claim(claim.region, other.caption))
        return swapped


def _claims(captioned: Captioned) -> list[Claim]:
    regions = captioned.record.regions
    return [Claim(region.region, region.caption) for region in regions if region.caption]


def _fitting(scene: Scene, caption: str) -> set[int]:
    """The regions of a scene, from 1, of which a caption says what they hold."""
    return {
        number
        for number, truth in enumerate(scene.truths, start=1)
        if judge(caption, truth, []) == "right"
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None

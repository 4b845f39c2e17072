"""Near-duplicate captions over a job, counted as they come, in bounded memory.

MinHash over shingles of three words with locality-sensitive hashing by bands: Broder, "On the
resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regioncap.captions.texts import words

_SHINGLE_WORDS = 3
_BANDS, _ROWS = 8, 4
_PRIME = (1 << 31) - 1
_COEFFICIENTS = np.random.default_rng(20241201).integers(
    1, _PRIME, size=(2, _BANDS * _ROWS), dtype=np.uint64
)
Signature = npt.NDArray[np.uint32]


@dataclass(slots=True)
class Group:
    """Captions that are nearly the same."""

    #: Who had it first, as given to `add`.
    key: str
    caption: str
    count: int
    signature: Signature


class NearDuplicates:
    """Counts captions that say nearly what an earlier one said.

    Two captions are near duplicates if they share about `similarity` of their runs of three words.
    Only the `capacity` groups met last are remembered: what recurs often stays, and what was met
    once long ago is forgotten, so that the count is a lower bound. About 2 kB a group.

    Args:
        similarity: Jaccard similarity from which captions count as nearly the same, 0.5 to 1.
        capacity: Groups remembered.
    """

    def __init__(self, similarity: float = 0.8, capacity: int = 50_000) -> None:
        self.similarity = similarity
        self.capacity = capacity
        self.captions = 0
        self.duplicates = 0
        self._groups: OrderedDict[int, Group] = OrderedDict()
        self._by_band: dict[tuple[int, bytes], int] = {}

    def add(self, key: str, caption: str) -> str | None:
        """Counts a caption.

        Args:
            key: Who has it: the record and region, as the caller names them.
            caption: The caption; one without words is not counted.

        Returns:
            The key of the first caption that it nearly repeats, or None if it is new.
        """
        signature = _signature(caption)
        if signature is None:
            return None
        self.captions += 1
        for band in _bands(signature):
            number = self._by_band.get(band)
            if number is not None and self._is_near(number, signature):
                return self._counted(number)
        self._remember(Group(key, caption, 1, signature))
        return None

    def largest(self, limit: int = 10) -> list[Group]:
        """The groups of more than one caption among those remembered, the largest first."""
        groups = [group for group in self._groups.values() if group.count > 1]
        return sorted(groups, key=lambda group: -group.count)[:limit]

    def _is_near(self, number: int, signature: Signature) -> bool:
        same = np.mean(self._groups[number].signature == signature)
        return bool(same >= self.similarity)

    def _counted(self, number: int) -> str:
        self.duplicates += 1
        group = self._groups[number]
        group.count += 1
        self._groups.move_to_end(number)
        return group.key

    def _remember(self, group: Group) -> None:
        number = self.captions
        self._groups[number] = group
        for band in _bands(group.signature):
            self._by_band[band] = number
        if len(self._groups) > self.capacity:
            oldest, forgotten = self._groups.popitem(last=False)
            for band in _bands(forgotten.signature):
                if self._by_band.get(band) == oldest:
                    del self._by_band[band]


def _signature(caption: str) -> Signature | None:
    """The least hash of any shingle under each of the hash functions, shape (32,)."""
    found = words(caption)
    if not found:
        return None
    count = max(1, len(found) - _SHINGLE_WORDS + 1)
    shingles = {" ".join(found[i : i + _SHINGLE_WORDS]) for i in range(count)}
    hashes = np.array([_hash(shingle) for shingle in shingles], dtype=np.uint64)
    factors, offsets = _COEFFICIENTS
    permuted = (hashes[:, None] * factors + offsets) % np.uint64(_PRIME)
    least: Signature = permuted.min(axis=0).astype(np.uint32)
    return least


def _hash(text: str) -> int:
    """The same in every process, below 2^31."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _bands(signature: Signature) -> list[tuple[int, bytes]]:
    return [(i, row.tobytes()) for i, row in enumerate(signature.reshape(_BANDS, _ROWS))]

"""What `python -m bench.proposals` prints, over fewer pictures, is what made the default."""

from __future__ import annotations

from bench.proposals import measure, photographs, scenes
from regioncap.views.proposals import DEFAULT


def test_default_finds_more_than_the_reference_s_method() -> None:
    photos = photographs()
    for pictures in (scenes(12, [photo.image for photo in photos]), photos):
        recall, by_contours = (measure(pictures, method)[0] for method in (DEFAULT, "contours"))

        assert recall > 1.3 * by_contours
        assert recall > 0.3

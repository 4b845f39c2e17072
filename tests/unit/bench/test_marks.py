"""The figures that `python -m bench.marks` prints, over fewer pictures, keep their bars."""

from __future__ import annotations

import pytest

from bench.marks import COUNTS, measure_looks, measure_placement
from regioncap.views.marks.v1 import V1Style


@pytest.mark.parametrize("boxes", COUNTS)
def test_no_tag_touches_another_hides_a_box_or_leaves_the_picture(boxes: int) -> None:
    figures = measure_placement(V1Style(), boxes, pictures=25)

    assert figures["tags_touching_pct"] == 0
    assert figures["boxes_hidden_pct"] == 0
    assert figures["tags_outside_pct"] == 0


def test_text_and_lines_stand_out() -> None:
    looks = measure_looks(V1Style())

    for name in ("text_contrast_min", "line_contrast_min"):
        contrast = looks[name]
        assert contrast is not None
        assert contrast >= 4.5

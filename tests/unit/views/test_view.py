"""A record's views: every region is shown once, in the way that its mode says."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regioncap.inputs import examples
from regioncap.job import Grid
from regioncap.records import Region
from regioncap.settings import JobSettings
from regioncap.views.boxes import iou_xyxy
from regioncap.views.pixels import encode_jpeg
from regioncap.views.render import render_record
from regioncap.views.view import ViewSettings, crop_regions, plan
from tests.support.records import LIMITS, coloured, make_job, make_record, png, view_settings

SIZE = (640, 480)
SMALL, LARGE = (10.0, 10.0, 30.0, 30.0), (100.0, 100.0, 300.0, 300.0)
MODES = ("marks", "crop", "marks+crop")


def regions(*boxes: tuple[float, float, float, float]) -> list[Region]:
    return [Region(region=i, bbox=box) for i, box in enumerate(boxes, start=1)]


def numbers(shown: list[Region]) -> list[int]:
    return [region.region for region in shown]


@pytest.mark.parametrize(
    ("mode", "marked", "cropped"),
    [("marks", [[1, 2, 3]], []), ("crop", [], [1, 2, 3]), ("marks+crop", [[2]], [1, 3])],
)
def test_mode_decides_how_regions_are_shown(
    mode: str, marked: list[list[int]], cropped: list[int]
) -> None:
    settings = JobSettings.model_validate({"region_mode": mode})

    rounds, crops = plan(regions(SMALL, LARGE, SMALL), settings, SIZE)

    assert [numbers(shown) for shown in rounds] == marked
    assert numbers(crops) == cropped


def test_share_below_which_regions_are_cropped_is_a_setting() -> None:
    settings = JobSettings(region_mode="marks+crop", crop_below=0.5)

    assert plan(regions(SMALL, LARGE), settings, SIZE)[0] == []


box = st.tuples(st.integers(0, 500), st.integers(0, 400), st.integers(1, 139), st.integers(1, 79))


@given(st.lists(box, min_size=1, max_size=40), st.sampled_from(MODES), st.integers(1, 12))
def test_every_region_is_shown_once(
    boxes: list[tuple[float, float, float, float]], mode: str, most: int
) -> None:
    settings = JobSettings.model_validate({"region_mode": mode, "max_boxes": most})

    rounds, crops = plan(regions(*boxes), settings, SIZE)

    shown = [number for chosen in rounds for number in numbers(chosen)] + numbers(crops)
    assert sorted(shown) == list(range(1, len(boxes) + 1))


def test_rounds_show_every_box_in_pictures_of_their_own() -> None:
    boxes = [[20.0 * (i % 30), 40.0 * (i // 5), 18, 30] for i in range(23)]

    record, pictures = render_record(make_record(boxes), png(coloured(SIZE, {})), view_settings())

    assert [len(view.regions) for view in record.views] == [8, 8, 7]
    assert len({key for key, _ in pictures}) == 3
    assert all(region.colour for region in record.regions)


def test_cut_off_says_which_regions_and_why() -> None:
    boxes = [[20.0 * i, 40, 18, 30] for i in range(12)]

    record, pictures = render_record(
        make_record(boxes), png(coloured(SIZE, {})), view_settings(overflow="cut")
    )

    assert len(pictures) == 1
    assert [region.status for region in record.regions] == ["missing"] * 10 + ["skipped"] * 2
    assert record.regions[11].why == "beyond max_boxes = 10"


def test_without_boxes_things_that_stand_out_are_proposed() -> None:
    picture = coloured(
        SIZE, {(60, 60, 200, 180): (200, 30, 30), (380, 240, 560, 420): (20, 40, 200)}
    )

    record, _ = render_record(make_record(None), png(picture), view_settings())

    assert record.type == "without_bbox"
    found = [region.box_xyxy for region in record.regions]
    assert len(found) == 2
    assert iou_xyxy(found[0], (60, 60, 200, 180)) > 0.8
    assert iou_xyxy(found[1], (380, 240, 560, 420)) > 0.8


@pytest.mark.parametrize("photo", ["cat", "hopper", "coffee"])
def test_regions_are_proposed_alike_whatever_model_is_to_see_them(photo: str) -> None:
    data = (examples.examples_dir() / "photos" / f"{photo}.jpg").read_bytes()

    found = []
    for max_pixels, cell_px in ((1_003_520, 28), (1_003_520, 32), (100_000, 28), (2_000_000, 48)):
        limits = replace(LIMITS, max_pixels=max_pixels, cell_px=cell_px)
        how = replace(view_settings(), limits=limits)
        record, _ = render_record(make_record(None), data, how)
        found.append([region.bbox for region in record.regions])

    assert found[0]
    assert found == [found[0]] * 4


def test_a_picture_that_has_no_boxes_has_no_regions() -> None:
    record, pictures = render_record(make_record([]), png(coloured(SIZE, {})), view_settings())

    assert (record.error, record.regions, record.views, pictures) == (None, [], [], [])
    assert (record.type, record.bbox, record.width) == ("with_bbox", [], SIZE[0])


def test_without_boxes_a_plain_picture_is_one_region() -> None:
    record, _ = render_record(make_record(None), png(coloured(SIZE, {})), view_settings())

    assert record.bbox == [[0, 0, *SIZE]]
    assert [region.bbox for region in record.regions] == [(0, 0, *SIZE)]


def test_crops_are_cut_from_all_pixels_of_the_source() -> None:
    # Stripes two pixels wide: at the size of a whole picture for the model they would be grey.
    image = coloured((4000, 4000), {})
    for x in range(1000, 1040, 4):
        image.paste((0, 0, 0), (x, 1000, x + 2, 1040))
        image.paste((255, 255, 255), (x + 2, 1000, x + 4, 1040))
    record, [(_, jpeg)] = render_record(
        make_record([[1000, 1000, 40, 40]]),
        encode_jpeg(image),
        view_settings(region_mode="crop"),
    )

    [view] = record.views
    crop = Image.open(io.BytesIO(jpeg)).convert("L").crop(view.regions[0].box_xyxy)

    darkest, lightest = crop.getextrema()
    assert int(str(lightest)) - int(str(darkest)) > 150


def test_crop_has_words_of_its_own_and_no_mark() -> None:
    record, _ = render_record(
        make_record([list(SMALL)]), png(coloured(SIZE, {})), view_settings(region_mode="crop")
    )

    [view] = record.views
    assert (view.way, view.mark_style, view.regions[0].colour) == ("crop", "", "")
    assert "picture" in view.prompt.before
    assert "<region" not in view.prompt.before + view.prompt.after
    assert record.regions[0].colour == ""


def test_crops_made_later_are_those_made_at_once() -> None:
    data = png(coloured(SIZE, {(10, 10, 40, 40): (200, 0, 0)}))
    how = view_settings(region_mode="crop")
    record, pictures = render_record(make_record([list(SMALL)]), data, how)

    [(view, jpeg)] = crop_regions(record, record.regions, data, how)

    assert (view, jpeg) == (record.views[0], pictures[0][1])


@pytest.mark.parametrize("mode", MODES)
def test_pictures_are_made_for_the_grid_of_the_job(mode: str) -> None:
    grid = Grid(cell_px=48, max_pixels=300_000, placeholders=("<pic>",), box_unit="thousandths")
    words = 'name = "mine"\n[regions]\nafter = "<pic> $regions: $boxes"\n[image]\nafter = "<pic>"\n'
    job = make_job(region_mode=mode, image_caption=True, prompt="mine.toml").model_copy(
        update={"grid": grid, "prompt_template": words}
    )
    how, picture = ViewSettings.of(job, LIMITS), png(coloured(SIZE, {}))

    rendered, pictures = render_record(make_record([list(SMALL), list(LARGE)]), picture, how)

    assert len(rendered.all_views) == len(pictures) >= 2
    for view, (_, jpeg) in zip(rendered.all_views, pictures, strict=True):
        assert grid.keeps(view.size_wh)
        assert Image.open(io.BytesIO(jpeg)).size == view.size_wh
        assert "<pic>" not in view.prompt.after
        if view.way == "marks":
            assert view.prompt.after.startswith("(pic) ")
            assert "[155, 208, 625, 833]" in view.prompt.after

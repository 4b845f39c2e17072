"""The gallery in a real browser, opened from a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from regioncap.inputs.examples import examples_dir
from regioncap.outputs.gallery.page import GalleryRecord, GallerySummary, file_url, write_gallery

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b>"


def region(number: int, box_xywh: list[int], caption: str | None, **more: Any) -> dict[str, Any]:
    status = "ok" if caption else "missing"
    return {"region": number, "bbox": box_xywh, "status": status, "caption": caption} | more


def record(index: int, *regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"id": f"r-{index}", "index": index, "image": "photos/coffee.jpg", "error": None}
    return base | {"width": 600, "height": 400, "regions": list(regions)} | more


def sample(page_dir: Path) -> list[GalleryRecord]:
    """Five records: two regions; hostile; failed; marked picture only; one flagged, one missing."""
    photos = examples_dir() / "photos"
    coffee = file_url(photos / "coffee.jpg", page_dir)
    cat = file_url(photos / "cat.jpg", page_dir)
    cup = region(1, [172, 16, 239, 270], "a red cup")
    spoon = region(2, [322, 70, 104, 257], "a steel spoon", colour="orange")
    failed = {"code": "image-unreadable", "message": "not <b>a picture</b>", "stage": "render"}
    return [
        GalleryRecord(record(0, cup, spoon), coffee, cat),
        GalleryRecord(record(1, region(1, [10, 10, 80, 80], HOSTILE)), coffee, coffee),
        GalleryRecord(record(2, width=None, height=None, error=failed), None, None),
        GalleryRecord(record(3, region(1, [10, 10, 80, 80], "only marked")), None, cat),
        GalleryRecord(
            record(
                4,
                region(1, [0, 0, 9, 9], "x", flags=["short"]),
                region(2, [9, 9, 9, 9], None, why="not named"),
            ),
            coffee,
        ),
    ]


def open_page(tab: Page, folder: Path, records: Iterable[GalleryRecord], hash_: str = "") -> None:
    path = folder / "gallery.html"
    with path.open("w", encoding="utf-8") as out:
        write_gallery(out, records, GallerySummary("A job"))
    tab.goto(path.as_uri() + hash_)


@pytest.fixture
def gallery(tab: Page, tmp_path: Path) -> Page:
    open_page(tab, tmp_path, sample(tmp_path))
    return tab


def box(page: Page, record: int, number: int) -> Any:
    return page.locator(f"#record-{record} .box[aria-label='Region {number}']")


def caption(page: Page, record: int, number: int) -> Any:
    return page.locator(f"[id='record-{record}/region-{number}']")


def lit(page: Page) -> list[str]:
    """Which captions, boxes and tags are lit, as record and number."""
    found: list[str] = page.eval_on_selector_all(
        ".on", "nodes => nodes.map(n => (n.closest('article').id + ' ' + n.classList[0]))"
    )
    return sorted(found)


def test_hover_on_either_side_lights_the_partner_and_dims_the_rest(gallery: Page) -> None:
    both = ["record-0 box", "record-0 region", "record-0 tag"]
    caption(gallery, 0, 1).hover()
    assert lit(gallery) == both
    expect(box(gallery, 0, 1)).to_have_css("opacity", "1")
    expect(box(gallery, 0, 2)).to_have_css("opacity", "0.22")
    box(gallery, 0, 2).locator(".line").hover(position={"x": 80, "y": 200})
    assert lit(gallery) == both
    expect(caption(gallery, 0, 2)).to_have_class("region on")
    expect(caption(gallery, 0, 1)).to_have_css("opacity", "0.55")
    gallery.locator("h1").hover()
    assert lit(gallery) == []


def test_a_box_lies_where_its_pixels_are(gallery: Page) -> None:
    picture = gallery.locator("#record-0 img").bounding_box()
    drawn = box(gallery, 0, 2).locator(".line").bounding_box()
    assert picture
    assert drawn
    scale = picture["width"] / 600
    assert drawn["x"] - picture["x"] == pytest.approx(322 * scale, abs=1.5)
    assert drawn["y"] - picture["y"] == pytest.approx(70 * scale, abs=1.5)
    assert drawn["width"] == pytest.approx(104 * scale, abs=3)
    assert drawn["height"] == pytest.approx(257 * scale, abs=3)


def test_a_small_box_inside_a_large_one_can_be_pointed_at(tab: Page, tmp_path: Path) -> None:
    coffee = file_url(examples_dir() / "photos/coffee.jpg", tmp_path)
    nested = record(
        0, region(1, [250, 150, 80, 80], "small"), region(2, [100, 50, 400, 300], "large")
    )
    open_page(tab, tmp_path, [GalleryRecord(nested, coffee)])
    picture = tab.locator("#record-0 img").bounding_box()
    assert picture
    scale = picture["width"] / 600
    tab.mouse.move(picture["x"] + 290 * scale, picture["y"] + 190 * scale)
    expect(caption(tab, 0, 1)).to_have_class("region on")


def test_a_region_wears_the_colour_of_its_mark(gallery: Page) -> None:
    assert "rgb(227, 97, 7)" in caption(gallery, 0, 2).locator(".chip").evaluate(
        "node => getComputedStyle(node).backgroundColor"
    )


def test_click_pins_until_clicked_again_and_the_address_names_the_region(gallery: Page) -> None:
    box(gallery, 0, 2).locator(".line").click(position={"x": 80, "y": 200})
    gallery.locator("h1").hover()
    expect(caption(gallery, 0, 2)).to_have_attribute("aria-pressed", "true")
    expect(caption(gallery, 0, 2)).to_have_class("region on")
    assert gallery.url.endswith("#record-0/region-2")
    caption(gallery, 0, 2).click()
    gallery.keyboard.press("Escape")
    gallery.evaluate("document.activeElement.blur()")
    gallery.locator("h1").hover()
    assert lit(gallery) == []
    expect(caption(gallery, 0, 2)).to_have_attribute("aria-pressed", "false")


def test_a_link_to_a_region_opens_and_pins_it(tab: Page, tmp_path: Path) -> None:
    open_page(tab, tmp_path, sample(tmp_path), "#record-4/region-2")
    expect(caption(tab, 4, 2)).to_be_focused()
    expect(caption(tab, 4, 2)).to_have_attribute("aria-pressed", "true")
    expect(caption(tab, 4, 2)).to_be_in_viewport()


@pytest.mark.parametrize("hash_", ["#record-%", "#record-9", "#record-0/region-9"])
def test_a_link_to_nothing_shows_the_page_as_it_is(tab: Page, tmp_path: Path, hash_: str) -> None:
    open_page(tab, tmp_path, sample(tmp_path), hash_)
    assert shown(tab) == [f"record-{number}" for number in range(5)]


def test_the_link_is_copied(gallery: Page) -> None:
    gallery.get_by_label("Copy a link to region 2").first.click()
    expect(gallery.get_by_role("status")).to_have_text("Link copied")
    copied = gallery.evaluate("navigator.clipboard.readText()")
    assert copied == gallery.url.split("#")[0] + "#record-0/region-2"


def test_arrow_keys_move_between_records_and_regions(gallery: Page) -> None:
    gallery.keyboard.press("ArrowRight")
    expect(caption(gallery, 0, 1)).to_be_focused()
    assert lit(gallery) == ["record-0 box", "record-0 region", "record-0 tag"]
    gallery.keyboard.press("ArrowDown")
    expect(caption(gallery, 0, 2)).to_be_focused()
    gallery.keyboard.press("Enter")
    expect(caption(gallery, 0, 2)).to_have_attribute("aria-pressed", "true")
    gallery.keyboard.press("ArrowRight")
    gallery.keyboard.press("ArrowRight")
    expect(gallery.locator("#record-2")).to_be_focused()
    gallery.keyboard.press("ArrowLeft")
    expect(caption(gallery, 1, 1)).to_be_focused()


def test_each_record_is_one_stop_for_the_tab_key(gallery: Page) -> None:
    stops = "nodes => nodes.filter(n => n.tabIndex === 0).map(n => n.id)"
    assert gallery.eval_on_selector_all("#record-0 .region, #record-0 .box", stops) == [
        "record-0/region-1"
    ]


def test_f_shows_failed_records_only_and_the_code(gallery: Page) -> None:
    gallery.keyboard.press("f")
    assert shown(gallery) == ["record-2"]
    problem = gallery.locator("#record-2 .problem")
    expect(problem.locator("code")).to_have_text("image-unreadable")
    expect(problem).to_contain_text("not <b>a picture</b>")
    gallery.keyboard.press("f")
    assert len(shown(gallery)) == 5


def test_n_shows_records_that_lack_a_caption(gallery: Page) -> None:
    gallery.keyboard.press("n")
    assert shown(gallery) == ["record-4"]
    expect(caption(gallery, 4, 2)).to_contain_text("missing")
    expect(caption(gallery, 4, 2)).to_contain_text("not named")
    expect(gallery.locator("#counts")).to_have_text(
        "5 records  \u00b7  1 failed  \u00b7  5 of 6 regions captioned"
    )


def test_a_filter_brings_its_first_match_into_sight(gallery: Page) -> None:
    gallery.evaluate("scrollTo(0, document.body.scrollHeight)")
    gallery.keyboard.press("f")
    expect(gallery.locator("#record-2 h2")).to_be_in_viewport()


def test_g_shows_flagged_records_only(gallery: Page) -> None:
    gallery.keyboard.press("g")
    assert shown(gallery) == ["record-4"]
    expect(caption(gallery, 4, 1)).to_contain_text("short")


def test_slash_filters_by_words_and_escape_clears(gallery: Page) -> None:
    gallery.keyboard.press("/")
    gallery.keyboard.type("RED cup")
    assert shown(gallery) == ["record-0"]
    gallery.keyboard.type(" nowhere")
    assert shown(gallery) == []
    expect(gallery.locator("main")).to_contain_text("No record matches")
    gallery.keyboard.press("Escape")
    assert len(shown(gallery)) == 5


def test_captions_without_a_model_are_called_so(tab: Page, tmp_path: Path) -> None:
    for engine, notes in (("baseline", 1), ("vllm", 0)):
        records = [GalleryRecord(record(n, engine=engine)) for n in range(2)]
        open_page(tab, tmp_path, records)
        expect(tab.locator("#record-1")).to_be_visible()
        expect(tab.locator(".head .stand-in")).to_have_count(notes)


def test_whole_pictures_fields_and_verdicts_are_shown_and_found(tab: Page, tmp_path: Path) -> None:
    red = {
        "attributes": {"colour": "red", "parts": ["<i>a</i>"]},
        "verified": True,
        "verified_as": 1,
    }
    other = {"attributes": {"colour": "blue"}, "verified": False, "verified_as": None}
    regions = [region(1, [9, 9, 90, 90], "a cup", **red), region(2, [0, 0, 9, 9], "a cat", **other)]
    records = [
        GalleryRecord(record(0, *regions, image_caption="A <b>busy</b> table.")),
        GalleryRecord(record(1)),
    ]
    open_page(tab, tmp_path, records)

    expect(tab.locator("#record-0 .picture")).to_have_text("Whole picture A <b>busy</b> table.")
    expect(tab.locator("#record-1 .picture")).to_have_count(0)
    expect(caption(tab, 0, 1)).to_contain_text("colour: red")
    expect(caption(tab, 0, 1)).to_contain_text('parts: ["<i>a</i>"]')
    expect(caption(tab, 0, 1)).not_to_contain_text("verified as")
    expect(caption(tab, 0, 2)).to_contain_text("verified as none")
    for words, found in (("colour:blue", ["record-0"]), ("busy", ["record-0"]), ("zz", [])):
        tab.locator("#text").fill(words)
        assert shown(tab) == found


def shown(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("article", "nodes => nodes.map(n => n.id)")
    return found


def test_a_hostile_caption_is_text(gallery: Page) -> None:
    expect(caption(gallery, 1, 1).locator(".said")).to_have_text(HOSTILE)
    assert gallery.locator("main b").count() == 0
    assert gallery.title() == "A job"
    assert len(shown(gallery)) == 5


def test_the_policy_stops_a_script_that_gets_in(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    open_page(page, tmp_path, sample(tmp_path))
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = "document.title = 'owned'";
        document.body.append(script);
        document.querySelector('main').innerHTML = '<img src=x onerror="document.title=1">';
    }""")
    page.wait_for_function("document.querySelector('main img').complete")
    assert page.title() == "A job"
    page.close()


def test_as_the_model_saw_it(gallery: Page) -> None:
    picture = gallery.locator("#record-0 img")
    assert str(picture.get_attribute("src")).endswith("coffee.jpg")
    gallery.keyboard.press("m")
    assert str(picture.get_attribute("src")).endswith("cat.jpg")
    expect(box(gallery, 0, 1)).to_have_css("opacity", "0")
    caption(gallery, 0, 1).hover()
    expect(box(gallery, 0, 1)).to_have_css("opacity", "1")
    expect(gallery.get_by_role("button", name="As the model saw it")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_without_a_clean_picture_the_marked_one_has_no_second_boxes(gallery: Page) -> None:
    assert str(gallery.locator("#record-3 img").get_attribute("src")).endswith("cat.jpg")
    expect(box(gallery, 3, 1)).to_have_css("opacity", "0")


def test_a_picture_that_is_gone_is_said_to_be(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    open_page(page, tmp_path, [GalleryRecord(record(0, region(1, [1, 1, 9, 9], "x")), "gone.jpg")])
    expect(page.locator("#record-0 .absent")).to_have_text("Picture not found: gone.jpg")
    caption(page, 0, 1).hover()
    expect(caption(page, 0, 1)).to_have_class("region on")
    page.close()


def test_a_clean_picture_that_is_gone_gives_way_to_the_marked_one(
    browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page()
    cat = file_url(examples_dir() / "photos/cat.jpg", tmp_path)
    open_page(page, tmp_path, [GalleryRecord(record(0, region(1, [1, 1, 9, 9], "x")), "gone", cat)])
    expect(page.locator("#record-0 img")).to_have_attribute("src", cat)
    expect(page.locator("#record-0 .stage")).to_have_class("stage burnt")
    page.close()


def test_nothing_hangs_over_on_a_narrow_screen(gallery: Page) -> None:
    gallery.set_viewport_size({"width": 390, "height": 844})
    assert gallery.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.more
def test_ten_thousand_records(tab: Page, tmp_path: Path) -> None:
    coffee = file_url(examples_dir() / "photos/coffee.jpg", tmp_path)
    boxes = [[i * 50, 20, 40, 200] for i in range(5)]
    many = (
        GalleryRecord(
            record(
                n, *(region(i + 1, b, f"thing {i} of record {n} ") for i, b in enumerate(boxes))
            ),
            coffee,
        )
        for n in range(10_000)
    )
    open_page(tab, tmp_path, many)
    assert shown(tab) == [f"record-{n}" for n in range(50)]
    expect(tab.locator("#counts")).to_contain_text("10,000 records")
    tab.get_by_label("Next page").first.click()
    assert shown(tab) == [f"record-{n}" for n in range(50, 100)]
    assert tab.locator("img").count() == 50
    tab.keyboard.press("ArrowLeft")
    expect(caption(tab, 49, 1)).to_be_focused()
    tab.keyboard.press("/")
    tab.keyboard.type("record 9876")
    assert shown(tab) == ["record-9876"]
    tab.keyboard.press("Escape")
    tab.evaluate("location.hash = '#record-9999/region-5'")
    expect(caption(tab, 9999, 5)).to_be_focused()
    expect(tab.locator(".bar .range")).to_have_text("9,951\u201310,000 of 10,000")
    expect(tab.get_by_label("Next page").first).to_be_disabled()

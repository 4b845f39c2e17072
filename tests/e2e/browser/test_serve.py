"""The page of `regioncap serve` in a real browser, over a real store: seen, clicked, attacked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from regioncap.inputs.examples import photos_jsonl
from regioncap.job import Job
from regioncap.jobs.results import summarize
from regioncap.records import InputRecord, dump_lines
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.services.store import Store
from regioncap.services.waits import Waits
from regioncap.settings import load_settings
from tests.support.jobs import job_at, put_job, result
from tests.support.serving import serving
from tests.support.stages import Stages

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b>"
MISSING = {"code": "image-missing", "message": "no <b>file</b> x.jpg", "stage": "submit"}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def photos(stack_settings: dict[str, str]) -> Job:
    """The example photographs, captioned by both stages."""
    stages = Stages(load_settings(**stack_settings))
    try:
        stages.store.ensure_bucket()
        job = stages.submitted(photos_jsonl(), name="Photographs")
        for shard in range(job.shards):
            stages.render.run(job.job, shard)
            stages.caption.run(job.job, shard)
    finally:
        stages.engine.close()
    return job


@pytest.fixture(scope="module")
def store(stack_settings: dict[str, str], photos: Job) -> Store:
    return Store(load_settings(**stack_settings))


@pytest.fixture(scope="module")
def thousand(store: Store) -> None:
    """A thousand jobs, of which every fiftieth is under way."""
    for number in range(1000):
        put_job(
            store,
            job_at(number, name=f"batch {number}", labels={"team": "vision"}),
            {},
            done=number % 50 != 0,
        )


@pytest.fixture(scope="module")
def million(store: Store) -> Job:
    """A job of a million records, of which few parts are there: to ask for others shows nothing."""
    job = job_at(50_000, records=1_000_000, name="A million")
    parts = {
        shard: [
            result(
                job, index, "a cup", width=None, error=MISSING if index in {40, 500_001} else None
            )
            for index in job.shard_records(shard)
        ]
        for shard in (0, 1, 15_625, 31_249)
    }
    put_job(store, job, parts)
    return job


@pytest.fixture(scope="module")
def hostile(store: Store) -> Job:
    """A job whose every text would act in the page, and whose sources lead elsewhere."""
    store.put("secret.txt", b"the word")
    job = job_at(49_000, records=3, name=HOSTILE, labels={HOSTILE: HOSTILE}, source=HOSTILE)
    error = {"code": HOSTILE, "message": HOSTILE, "stage": HOSTILE, "hint": HOSTILE}
    records = [
        result(job, 0, HOSTILE, id=HOSTILE, image=HOSTILE),
        result(job, 1, error=error),
        result(job, 2, "x", image_with_bbox=store.uri("secret.txt")),
    ]
    inputs = [
        InputRecord(index=0, line=1, source=store.uri("secret.txt")),
        InputRecord(index=1, line=2, source="s3://elsewhere/secret.png"),
        InputRecord(index=2, line=3, source=None),
    ]
    put_job(store, job, {0: records}, inputs={0: inputs})
    return job


@pytest.fixture(scope="module")
def address(settings_env: dict[str, str], photos: Job) -> Iterator[str]:
    with serving(settings_env) as printed:
        yield printed


@pytest.fixture
def site(tab: Page, address: str) -> Page:
    """A tab that has been let in."""
    tab.goto(address)
    return tab


def root(address: str) -> str:
    return address.partition("?")[0].rstrip("/")


def open_job(site: Page, address: str, job: Job, rest: str = "") -> None:
    site.goto(f"{root(address)}/jobs/{job.job}{rest}")


def shown(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("article", "nodes => nodes.map(n => n.id)")
    return found


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def loaded(page: Page, pictures: str) -> None:
    page.wait_for_function(
        "pictures => [...document.querySelectorAll(pictures)].every(i => i.naturalWidth > 0)",
        arg=pictures,
    )


def test_the_token_lets_in_and_leaves_the_address(site: Page, address: str) -> None:
    assert "token=" in address
    assert site.url == root(address) + "/"
    expect(site.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    [cookie] = site.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert cookie["value"] not in address
    assert "token" not in site.evaluate("document.cookie + location.href")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE])
def test_a_job_is_found_in_the_list_and_looked_at(
    site: Page, photos: Job, size: dict[str, int]
) -> None:
    site.set_viewport_size(size)  # type: ignore[arg-type]
    row = site.locator("article.job", has_text="Photographs")
    expect(row).to_contain_text("done")
    expect(row).to_contain_text("12 records")
    expect(row.locator(".thumb img")).to_have_js_property("naturalWidth", 288)
    assert fits(site)
    row.get_by_role("link", name="Photographs").click()
    expect(site.get_by_role("heading", name="Photographs")).to_be_visible()
    expect(site.locator("#progress")).to_contain_text("100 %")
    assert shown(site) == [f"record-{n}" for n in range(12)]
    first = site.locator("#record-0")
    first.scroll_into_view_if_needed()
    loaded(site, "#record-0 img")
    expect(first.locator(".said").first).not_to_be_empty()
    first.locator(".region").first.hover()
    expect(first.locator(".box.on")).to_have_count(1)
    site.keyboard.press("m")
    assert str(first.locator("img").get_attribute("src")).endswith("/pictures/0/marked")
    loaded(site, "#record-0 img")
    assert fits(site)


def test_a_box_lies_where_its_pixels_are(site: Page, address: str, photos: Job) -> None:
    open_job(site, address, photos)
    loaded(site, "#record-0 img")
    picture = site.locator("#record-0 img").evaluate("i => i.naturalWidth / i.naturalHeight")
    stage = site.locator("#record-0 svg.boxes").bounding_box()
    assert stage
    assert stage["width"] / stage["height"] == pytest.approx(picture, rel=0.01)


def test_hostile_texts_are_texts(browser: Browser, address: str, hostile: Job) -> None:
    page = browser.new_page()  # its pictures are not found, which the console tells
    page.goto(address)
    # The list is some seconds old, and renews itself.
    row = page.locator("article.job", has_text="onerror")
    expect(row).to_contain_text(HOSTILE, timeout=30_000)
    open_job(page, address, hostile)
    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("#record-0 .said")).to_have_text(HOSTILE)
    expect(page.locator(".reasons")).to_contain_text(HOSTILE)
    expect(page.locator("#record-1 .problem")).to_contain_text(HOSTILE)
    assert page.locator("b").count() == 0
    assert page.title() == HOSTILE
    page.close()


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/{job}/pictures/0/clean",  # an object of the bucket that is no picture
        "/jobs/{job}/pictures/1/clean",  # another bucket
        "/jobs/{job}/pictures/2/marked",  # named by its result, and not the job's own
        "/jobs/{job}/pictures/3/clean",  # no record
        "/jobs/{job}/pictures/0/secret.txt",
        "/jobs/{job}/pictures/../../secret.txt/clean",
        "/jobs/{job}/pictures/..%2f..%2fsecret.txt/clean",
        "/jobs/..%2f{job}/pictures/0/clean",
        "/jobs/{job}%2f..%2f{job}/pictures/0/clean",
        "/jobs/{job}?from=-1",
        "/jobs/{job}?before=%00",
        "/jobs/x",
        "/?after=../../etc",
        "/etc/passwd",
    ],
)
def test_nothing_but_pictures_of_jobs_comes_out(
    site: Page, address: str, hostile: Job, path: str
) -> None:
    answer = site.request.get(root(address) + path.format(job=hostile.job))

    assert answer.status == 404
    assert b"the word" not in answer.body()


def test_the_policy_stops_a_script_that_gets_in(
    browser: Browser, address: str, photos: Job
) -> None:
    page = browser.new_page()
    page.goto(address)
    page.goto(f"{root(address)}/jobs/{photos.job}")
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = "document.title = 'owned'";
        document.body.append(script);
        document.querySelector('main').innerHTML = '<img src=x onerror="document.title=1">';
    }""")
    expect(page.locator("main img")).to_have_js_property("complete", True)
    assert page.title() == "Photographs"
    page.close()


@pytest.mark.more
@pytest.mark.usefixtures("thousand")
def test_a_thousand_jobs(site: Page, address: str) -> None:
    seen: list[str] = []
    expect(site.locator(".counts")).to_contain_text("jobs")
    while True:
        seen += site.eval_on_selector_all(
            "article.job h2 a", "nodes => nodes.map(n => n.getAttribute('href'))"
        )
        older = site.locator("a[rel=next]")
        if not older.count():
            break
        site.goto(root(address) + str(older.get_attribute("href")))
    assert len(seen) == len(set(seen)) >= 1000
    assert seen == sorted(seen, reverse=True)
    site.keyboard.press("/")
    site.keyboard.type("BATCH 77")
    site.keyboard.press("Enter")
    site.wait_for_url("**/?text=BATCH+77")
    names = "nodes => nodes.map(n => n.textContent)"
    found = site.eval_on_selector_all("article.job h2 a", names)
    assert set(found) == {f"batch {n}" for n in range(1000) if "77" in str(n)}
    site.goto(f"{root(address)}/?which=open")
    found = site.eval_on_selector_all("article.job h2 a", names)
    assert {f"batch {n}" for n in range(0, 1000, 50)} <= set(found)
    assert "batch 1" not in found


@pytest.mark.more
def test_a_million_records(site: Page, address: str, million: Job) -> None:
    # Parts that the fixture has not are looked for twice, as those of a store that shows them late.
    site.set_default_timeout(120_000)
    open_job(site, address, million)
    expect(site.locator("#progress")).to_contain_text("1,000,000")
    assert shown(site) == [f"record-{n}" for n in range(50)]
    expect(site.locator(".reasons")).to_contain_text("image-missing")
    expect(site.locator(".reasons")).to_contain_text("no <b>file</b> x.jpg")
    expect(site.locator(".reasons .many")).to_have_text("2")
    site.get_by_label("Next records").first.click()
    expect(site.locator(".range").first).to_contain_text("50")
    assert shown(site)[:14] == [f"record-{n}" for n in range(50, 64)]
    site.get_by_label("Previous records").first.click()
    expect(site.locator(".range").first).to_contain_text("0\u201349")
    assert shown(site) == [f"record-{n}" for n in range(50)]
    open_job(site, address, million, "#record-999999/region-1")
    expect(site.locator("[id='record-999999/region-1']")).to_be_focused()
    expect(site.locator(".range").first).to_contain_text("999,999 of 1,000,000")
    open_job(site, address, million, "?before=999999")
    assert shown(site)[-1] == "record-999998"
    site.locator("body").press("f")
    expect(site.locator("a[data-pick=failed]")).to_have_attribute("aria-current", "page")
    assert shown(site) == ["record-40", "record-500001"]
    expect(site.locator("#record-500001 .problem")).to_contain_text("image-missing")
    site.locator("body").press("n")
    expect(site.locator("a[data-pick=uncaptioned]")).to_have_attribute("aria-current", "page")
    assert shown(site) == []  # those that failed count as failed


def test_words_are_looked_for_in_the_whole_job(site: Page, address: str, photos: Job) -> None:
    open_job(site, address, photos)
    [third] = site.locator("#record-2 h2").all_inner_texts()
    name = third.split()[-1]
    site.locator("body").press("/")
    site.keyboard.type(name.upper())
    site.keyboard.press("Enter")
    site.wait_for_url("**text=**")
    expect(site.locator("#record-2")).to_be_visible()
    assert shown(site) == ["record-2"]
    open_job(site, address, photos, "?text=nowhere+to+be+found")
    expect(site.locator("main")).to_contain_text("No record")


def test_a_job_under_way_moves_by_itself(
    site: Page, address: str, store: Store, stack_settings: dict[str, str]
) -> None:
    now = datetime.now(UTC)
    job = job_at(0, records=64, name="Moving").model_copy(
        update={"job": f"{now:%Y%m%d-%H%M%S}-zzzzzz", "created": now}
    )
    parts = {
        n: [result(job, i, "a cup", width=None) for i in job.shard_records(n)] for n in range(2)
    }
    put_job(store, job, {}, done=False)
    open_job(site, address, job)
    expect(site.locator("#progress")).to_contain_text("waiting")
    expect(site.locator("main")).to_contain_text("No record")
    put_job(store, job, {0: parts[0]}, done=False)
    # As the worker that wrote the part.
    client = connect(load_settings(**stack_settings))
    Progress(client, job.job).note_part(0, summarize(dump_lines(parts[0])))
    expect(site.locator("#progress")).to_contain_text("32 of 64", timeout=30_000)
    site.get_by_role("link", name="More records are done").click()
    expect(site.locator("#record-31")).to_be_attached()
    waits = Waits(client, job.job, "caption", "caption.of-no-worker")
    waits.put(1, "store-refused", f"the store refused {HOSTILE}", pause_s=60.0)
    expect(site.locator("#progress .wait")).to_contain_text(
        f"caption waits: the store refused {HOSTILE}, for", timeout=30_000
    )
    waits.forget(1)
    put_job(store, job, parts)
    expect(site.locator("#progress")).to_contain_text("100 %", timeout=30_000)
    expect(site.locator("#progress .state")).to_have_text("done")


def test_what_is_no_job_is_said_to_be(browser: Browser, address: str, store: Store) -> None:
    page = browser.new_page()
    page.goto(address)
    answer = page.goto(f"{root(address)}/jobs/20261101-000000-zzzzzz")
    assert answer
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("there is no job 20261101-000000-zzzzzz")
    page.get_by_role("link", name="All jobs").click()
    expect(page.locator("h1")).to_have_text("Jobs")
    page.close()

"""A job that does not keep its marked pictures: they go, and come again where they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis

from regioncap import keys
from regioncap.inputs.originals import Originals
from regioncap.job import Job
from regioncap.jobs import parts, results, retry
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.marked import Redrawn
from regioncap.outputs.gallery import write_view
from regioncap.records import Problem, RenderedRecord, dump_lines, load_lines
from regioncap.services.broker import connect
from regioncap.services.messages import RENDER, RENDER_TASK, Message, parse
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Verify, load_settings
from regioncap.views.view import Limits
from tests.support.stages import Silent, Stages, own_stages


@pytest.fixture(scope="module")
def stages(stack_settings: dict[str, str]) -> Iterator[Stages]:
    changed = {"s3_bucket": "marked", "keep_marked": "false", "image_caption": "true"}
    settings = load_settings(**stack_settings | changed)
    connect(settings).flushdb()  # others' jobs would be taken before
    with own_stages(settings) as made:
        yield made


@pytest.fixture
def job(stages: Stages, tmp_path: Path) -> Iterator[Job]:
    yield stages.job(tmp_path)
    stages.store.delete_all(stages.store.list_keys(""))


def pictures(stages: Stages, job: Job) -> dict[str, bytes]:
    listed = stages.store.list_keys(keys.prefix(job.job, "marked"))
    return {key: stages.store.get(key) for key in listed}


def lines(stages: Stages, job: Job) -> list[dict[str, Any]]:
    return list(results.read(stages.store, job))


def redrawn(stages: Stages, job: Job) -> Redrawn:
    originals = Originals(stages.store, stages.settings)
    return Redrawn(stages.store, job, Limits.of(stages.settings), originals.fetch)


def test_they_go_when_results_stand_and_are_the_same_drawn_again(
    stages: Stages, job: Job, tmp_path: Path
) -> None:
    stages.render.run(job.job, 0)
    drawn = pictures(stages, job)
    assert sorted(Path(key).name for key in drawn) == [
        "00000000-w.jpg", "00000000.jpg", "00000001-w.jpg", "00000001.jpg",
    ]  # fmt: skip
    assert stages.caption.run(job.job, 0) == "done"

    assert pictures(stages, job) == {}
    for line in lines(stages, job):
        assert (line["error"], line["image_with_bbox"], line["pictures"]) == (None, None, [])
    again = redrawn(stages, job)
    given = parts.submitted(stages.store, job, 0)
    assert dict(pair for record in given for pair in again.pictures(record)) == drawn
    page = tmp_path / "page.html"
    write_view(stages.store, job, page, Originals(stages.store, stages.settings).fetch)
    shown = tmp_path / "page_files" / "00000001-marked.jpg"
    assert shown.read_bytes() == drawn[keys.marked_key(job.job, 1)]


def test_what_is_captioned_again_is_drawn_again_and_goes_again(stages: Stages, job: Job) -> None:
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    before = lines(stages, job)

    assert retry.begin(stages.store, stages.progress(job.job), job, {1})
    stages.render.run(job.job, 0)
    assert {Path(key).name for key in pictures(stages, job)} == {"00000001-w.jpg", "00000001.jpg"}
    assert stages.caption.run(job.job, 0) == "done"

    assert lines(stages, job)[1]["error"] is None
    assert lines(stages, job)[0] == before[0]
    assert pictures(stages, job) == {}


def test_pictures_that_went_too_early_are_drawn_again(stages: Stages, job: Job) -> None:
    stages.render.run(job.job, 0)
    stages.store.delete_all(list(pictures(stages, job)))

    assert stages.caption.run(job.job, 0) == "rendered anew"
    assert stages.render.run(job.job, 0) == "done"
    assert stages.caption.run(job.job, 0) == "done"

    assert [line["error"] for line in lines(stages, job)] == [None, None]
    assert pictures(stages, job) == {}


def test_a_worker_that_dies_before_it_removes_them_leaves_that_to_the_next(
    stages: Stages, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.render.run(job.job, 0)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_all", die)
        with pytest.raises(KeyboardInterrupt):
            stages.caption.run(job.job, 0)
    assert len(pictures(stages, job)) == 4

    assert stages.caption.run(job.job, 0) == "already done"
    assert pictures(stages, job) == {}


def test_captions_are_asked_back_of_no_regions_that_the_pictures_do_not_show(
    stages: Stages, job: Job
) -> None:
    """As where an earlier version drew proposals anew for another model."""
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    assert retry.begin(stages.store, stages.progress(job.job), job, verify="mark")
    stages.caption.run(job.job, 0)
    stages.render.run(job.job, 0)
    key = keys.part_key(job.job, "rendered", 0)
    first, second = load_lines(RenderedRecord, stages.store.get(key))
    first.regions[0].bbox = (1, 2, 3, 4)
    stages.store.put(key, dump_lines([first, second]))
    assert stages.caption.run(job.job, 0) == "done"

    verdicts = [line["regions"][0]["verified"] for line in lines(stages, job)]
    assert verdicts[0] is None
    assert verdicts[1] is not None


def test_captions_are_asked_back_of_pictures_that_come_for_that(stages: Stages, job: Job) -> None:
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    before = lines(stages, job)
    assert stages.caption.run(job.job, 0) == "already done"

    assert retry.begin(stages.store, stages.progress(job.job), job, verify="mark")
    assert stages.caption.run(job.job, 0) == "rendered anew"
    stages.render.run(job.job, 0)
    assert {Path(key).name for key in pictures(stages, job)} >= {"00000000.jpg", "00000001.jpg"}
    assert stages.caption.run(job.job, 0) == "done"

    for line, old in zip(lines(stages, job), before, strict=True):
        assert line["regions"][0]["verified"] is not None
        assert line["regions"][0]["caption"] == old["regions"][0]["caption"]
        assert (line["image_with_bbox"], line["pictures"]) == (None, [])
    assert pictures(stages, job) == {}


@pytest.mark.parametrize("verify", ["no", "mark"])
def test_a_picture_that_cannot_be_drawn_again_is_its_record_s_error(
    stages: Stages, job: Job, verify: Verify
) -> None:
    """Else the shard would go from caption to render and back for ever."""
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    before = lines(stages, job)
    first = parts.submitted(stages.store, job, 0)[0].source
    assert first is not None
    stages.store.delete(first.removeprefix(stages.store.uri("")))

    assert retry.begin(stages.store, stages.progress(job.job), job, {0, 1}, verify=verify)
    stages.render.run(job.job, 0)
    assert stages.caption.run(job.job, 0) == "done"

    old, new = lines(stages, job)
    if verify == "no":
        assert (old["error"]["code"], old["error"]["stage"]) == ("image-missing", "render")
    else:
        assert old == before[0]
        assert new["regions"][0]["verified"] is not None
    assert (new["error"], pictures(stages, job)) == (None, {})


def test_where_there_is_no_picture_none_is_drawn_again(stages: Stages, job: Job) -> None:
    for stage in (stages.render, stages.caption):
        stage.run(job.job, 0)
    again = redrawn(stages, job)
    given = parts.submitted(stages.store, job, 0)[0]
    assert again.first(given) is not None
    problem = Problem(code="bad-box", message="", stage="submit")

    gone = stages.store.uri("images/gone.png")
    for other in ({"source": gone}, {"source": None}, {"error": problem}):
        record = given.model_copy(update=other)
        assert (again.pictures(record), again.first(record)) == ([], None)


def test_who_lacks_pictures_asks_for_them(stages: Stages, job: Job) -> None:
    client = stages.progress(job.job).redis
    caption = CaptionStage(
        stages.store, stages.engine, stages.progress, stages.settings,
        Sender(client, stages.settings),
    )  # fmt: skip
    stages.render.run(job.job, 0)
    stages.store.delete_all(list(pictures(stages, job)))

    assert caption.run(job.job, 0) == "rendered anew"
    assert (RENDER_TASK, job.job, 0) in [message[:3] for message in _taken(client)]


def _taken(client: redis.Redis) -> list[Message]:
    texts = iter(lambda: client.rpop(RENDER), None)
    return [parse(str(text), RENDER) for text in texts]


def test_who_is_overtaken_while_it_fetches_asks_for_none(
    stages: Stages, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.render.run(job.job, 0)
    get, overtaken = Store.get, Event()

    def late(store: Store, key: str, **limits: int) -> bytes:
        if key.endswith(".jpg") and not overtaken.is_set():
            overtaken.set()
            assert stages.caption.run(job.job, 0) == "done"
        return get(store, key, **limits)

    monkeypatch.setattr(Store, "get", late)
    slow = CaptionStage(
        stages.store, stages.engine, stages.progress, stages.settings, Silent()  # type: ignore[arg-type]
    )  # fmt: skip
    assert slow.run(job.job, 0) == "already done"

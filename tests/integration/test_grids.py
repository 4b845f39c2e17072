"""A job's pictures are made for the model that captions them, whoever learns of it when."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap import keys
from regioncap.engines.base import CaptionRequest
from regioncap.engines.baseline import BaselineEngine
from regioncap.engines.thread import EngineThread
from regioncap.job import Grid
from regioncap.jobs import grids
from regioncap.jobs.caption import CaptionStage
from regioncap.jobs.results import parse_part
from regioncap.records import RenderedRecord, load_lines
from regioncap.services.store import Store
from regioncap.settings import load_settings
from tests.support.engines import ScriptedEngine
from tests.support.stages import Stages


@pytest.fixture(scope="module")
def stages(stack_settings: dict[str, str]) -> Iterator[Stages]:
    made = Stages(load_settings(**stack_settings))
    made.store.ensure_bucket()
    yield made
    made.engine.close()


class Noting:
    """Notes which shards are to be rendered."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def render(self, _job: object, shards: list[int]) -> None:
        self.asked += shards


def other(grid: Grid, requests: list[CaptionRequest] | None = None) -> EngineThread:
    """An engine whose model takes pictures otherwise."""

    def reply(request: CaptionRequest) -> str:
        if requests is not None:
            requests.append(request)
        return "In <region1>, a thing"

    engine = ScriptedEngine(reply)
    engine.grid = grid
    thread = EngineThread(engine)
    thread.start()
    return thread


def sizes(store: Store, job: str) -> set[tuple[int, int]]:
    part = store.get(keys.part_key(job, "rendered", 0))
    return {view.size_wh for r in load_lines(RenderedRecord, part) for view in r.views}


@pytest.mark.parametrize("grid", [Grid(cell_px=32), Grid(max_pixels=100_000), Grid(cell_px=48)])
def test_pictures_for_another_model_are_made_anew(
    stages: Stages, tmp_path: Path, grid: Grid
) -> None:
    job = stages.job(tmp_path)
    stages.render.run(job.job, 0)
    # 448 is a multiple of 28 and of 32; a budget or a cell of 48 is what differs.
    fits = all(map(grid.keeps, sizes(stages.store, job.job)))
    requests: list[CaptionRequest] = []
    engine, sender = other(grid, requests), Noting()
    stage: Any = CaptionStage(
        stages.store, engine, stages.progress, stages.settings, sender  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        first = stage.run(job.job, 0)
        if not fits:
            assert (first, sender.asked, requests) == ("rendered anew", [0], [])
            assert stages.render.run(job.job, 0) == "done anew"
            assert stages.render.run(job.job, 0) == "already done"
            assert stage.run(job.job, 0) == "done"
    finally:
        engine.close()

    assert len(requests) == 2
    for request in requests:
        assert grid.keeps(Image.open(io.BytesIO(request.image)).size)
    assert all(map(grid.keeps, sizes(stages.store, job.job)))
    part = stages.store.get(keys.part_key(job.job, "results", 0))
    assert [record["regions"][0]["status"] for record in parse_part(part)] == ["ok", "ok"]
    assert stages.store.exists(keys.grid_key(job.job)) is not fits


def test_a_submission_takes_what_the_queue_s_worker_has_told(
    stages: Stages, tmp_path: Path
) -> None:
    settings = stages.settings.model_copy(update={"queue": "caption.other"})
    before = grids.choose(stages.store, settings)
    assert before.grid == Grid()
    assert before.lines() == []  # nobody has told anything that a user would want to know

    engine = ScriptedEngine(lambda _: "")
    engine.grid = Grid(cell_px=32, max_pixels=200_000, placeholders=("<pic>",), model="q3")
    grids.tell(stages.store, settings.queue, engine)

    after = grids.choose(stages.store, settings)
    assert after.grid == engine.grid
    assert "made as scripted takes them" in after.lines()[0]
    # Another queue has heard nothing of it.
    assert grids.choose(stages.store, stages.settings).grid == Grid()


def test_an_engine_that_cannot_tell_leaves_it_to_the_model_that_is_named(
    stages: Stages, tmp_path: Path
) -> None:
    settings = load_settings(
        **stages.settings.model_dump(include={"s3_endpoint"}), queue="caption.quiet", model="small"
    )
    grids.tell(stages.store, settings.queue, BaselineEngine())
    choice = grids.choose(stages.store, settings)
    assert choice.grid.max_pixels == 28_224
    assert choice.lines() == ["pictures: made as small takes them"]

    unknown = load_settings(queue="caption.quiet", model=str(tmp_path / "none"))
    choice = grids.choose(stages.store, unknown)
    assert choice.grid == Grid()
    assert "cannot be read here, " in choice.lines()[0]
    assert "is no folder on this machine" in choice.lines()[0]


def test_a_model_without_a_grid_is_warned_of() -> None:
    choice = grids.Choice(grid=Grid(resizes=True), origin="as llava takes them")
    assert "resizes what it gets, marks with it" in choice.lines()[0]


def test_what_is_no_word_of_a_worker_s_counts_for_nothing(stages: Stages) -> None:
    settings = stages.settings.model_copy(update={"queue": "caption.odd"})
    for text in (b"{", b'{"schema_version": 99}', b'{"engine": 1}'):
        stages.store.put(keys.queue_key("caption.odd"), text)
        assert grids.choose(stages.store, settings).grid == Grid()

"""Grids: for which model's eyes the pictures of a job are made.

A caption worker tells how its model takes pictures, in an object of its queue. A submission pins
that in job.json, and render workers obey it. A caption worker whose model takes them otherwise
writes `grid.json` beside job.json, and has the shard rendered anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from regioncap import keys
from regioncap.engines.base import Engine
from regioncap.engines.model_grid import grid_of_model
from regioncap.errors import EngineStartError, NewerFormatError
from regioncap.job import Grid, Job
from regioncap.records import SCHEMA_VERSION, FormatVersion, RenderedRecord, dump_json
from regioncap.services.store import Store
from regioncap.settings import Settings


class Served(BaseModel):
    """What serves a queue, as its last caption worker told."""

    schema_version: FormatVersion = SCHEMA_VERSION
    engine: str
    model: str
    #: None where the engine cannot tell.
    grid: Grid | None = None


class Choice(BaseModel):
    """A grid, and where it came from, in words for people."""

    grid: Grid
    origin: str
    #: Whether a model was asked, or named in vain: of a default nobody needs to hear.
    is_told: bool = True

    def lines(self) -> list[str]:
        """What a submission says of it."""
        if not self.is_told:
            return []
        if not self.grid.resizes:
            return [f"pictures: made {self.origin}"]
        return [
            f"pictures: {self.origin}, which takes pictures of fixed size or in tiles and resizes"
            " what it gets, marks with it; `regioncap eval` measures what that costs"
        ]


def tell(store: Store, queue: str, engine: Engine) -> None:
    """Tells how a started engine takes pictures."""
    served = Served(engine=engine.name, model=engine.model, grid=engine.grid)
    store.put(keys.queue_key(queue), dump_json(served), "application/json")


def choose(store: Store, settings: Settings) -> Choice:
    """What to make the pictures of a new job for.

    It is what a caption worker of the job's queue has told, else what the model says that the user
    names, else the default.

    Raises:
        StoreError: The store is away.
    """
    queue, served = settings.queue, _served(store, settings.queue)
    if served is not None and served.grid is not None:
        return Choice(
            grid=served.grid,
            origin=f"as {served.model} takes them, which serves the queue {queue}",
        )
    if "model" in settings.model_fields_set:
        try:
            grid = grid_of_model(settings)
        except EngineStartError as error:
            why = f"how {settings.model} takes them cannot be read here, {error.message}"
            return Choice(grid=Grid(), origin=f"as Qwen2.5-VL takes them: {why}")
        return Choice(grid=grid, origin=f"as {settings.model} takes them")
    return Choice(grid=Grid(), origin="as Qwen2.5-VL takes them", is_told=False)


def of_job(store: Store, job: Job) -> Grid:
    """What the pictures of a job are made for."""
    text = store.find(keys.grid_key(job.job))
    return job.grid if text is None else Grid.model_validate_json(text)


def change(store: Store, job: Job, grid: Grid) -> None:
    """Has the pictures of a job made for another model from now on."""
    store.put(keys.grid_key(job.job), dump_json(grid), "application/json")


def fit(records: Iterable[RenderedRecord], grid: Grid) -> bool:
    """Whether a model sees all pictures of some records as they are."""
    return all(grid.keeps(view.size_wh) for record in records for view in record.all_views)


def _served(store: Store, queue: str) -> Served | None:
    text = store.find(keys.queue_key(queue))
    if text is None:
        return None
    try:
        return Served.model_validate_json(text)
    except (ValidationError, NewerFormatError):
        return None  # of a newer version, or no worker's: as if nothing had been told

"""What makes a record another record, as far as its captions go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from regioncap import keys
from regioncap.engines.baseline import BaselineEngine
from regioncap.job import Job, now
from regioncap.jobs.reuse import fingerprint
from regioncap.records import Problem, Prompt, Region, RegionInView, RenderedRecord, View
from regioncap.settings import JobSettings


def record() -> RenderedRecord:
    view = View(
        key="jobs/a/marked/00000000.jpg",
        size_wh=(64, 48),
        regions=[RegionInView(1, (1, 2, 4, 6), "red")],
        prompt=Prompt(after="Describe <region1>."),
        mark_style="v1",
    )
    return RenderedRecord(
        index=0,
        line=1,
        image="a.png",
        source="s3://b/images/a.png",
        source_sha256="0" * 64,
        bbox=[[1, 2, 3, 4]],
        regions=[Region(region=1, bbox=(1, 2, 3, 4))],
        views=[view],
    )


def job(**settings: Any) -> Job:
    return Job(
        job=keys.new_job_id(),
        created=now(),
        records=1,
        shards=1,
        settings=JobSettings.model_validate(settings),
    )


class Model(BaselineEngine):
    """An engine with a model of some name and revision."""

    def __init__(self, name: str = "baseline", model: str = "m", revision: str = "r1") -> None:
        super().__init__()
        self.name, self.model, self.model_revision = name, model, revision


def name(change: Callable[[RenderedRecord], object] = lambda _: None, **settings: Any) -> str:
    changed = record()
    change(changed)
    found = fingerprint(changed, job(**settings), Model())
    assert found is not None
    return found


def set_to(path: str, value: Any) -> Callable[[RenderedRecord], None]:
    """Changes a record at a path such as `views.0.mark_style`."""

    def change(target: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        setattr(target, last, value)

    return change


def ask_with(**words: Any) -> Callable[[RenderedRecord], None]:
    """Changes the prompt of a record's first view."""

    def change(target: RenderedRecord) -> None:
        view = target.views[0]
        view.prompt = replace(view.prompt, **words)

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_to("source_sha256", "1" * 64),
        set_to("regions.0.bbox", (1, 2, 3, 5)),
        set_to("views.0.regions", [RegionInView(1, (1, 2, 4, 7), "red")]),
        set_to("views.0.size_wh", (128, 96)),
        set_to("views.0.regions", [RegionInView(1, (1, 2, 4, 6), "blue")]),
        set_to("views.0.mark_style", "reference"),
        ask_with(after="Name <region1>."),
        ask_with(system="Be brief."),
        ask_with(answer_schema={"type": "object"}),
    ],
)
def test_change_of_the_record_makes_it_new(change: Callable[[RenderedRecord], None]) -> None:
    assert name(change) != name()


@pytest.mark.parametrize(
    "setting",
    [{"temperature": 0.1}, {"top_p": 0.5}, {"max_tokens": 9}, {"seed": 1}, {"prompt": "json-2"}],
)
def test_change_of_the_asking_makes_it_new(setting: dict[str, Any]) -> None:
    assert name(**setting) != name()


@pytest.mark.parametrize("engine", [Model(name="vllm"), Model(model="n"), Model(revision="r2")])
def test_another_model_makes_it_new(engine: Model) -> None:
    assert fingerprint(record(), job(), engine) != name()


@pytest.mark.parametrize(
    "change",
    [
        set_to("index", 7),
        set_to("line", 8),
        set_to("id", "x"),
        set_to("image", "elsewhere/b.png"),
        set_to("meta", {"k": 1}),
        set_to("views.0.key", "jobs/b/marked/00000007.jpg"),
    ],
)
def test_what_captions_do_not_depend_on_changes_nothing(
    change: Callable[[RenderedRecord], None],
) -> None:
    assert name(change) == name()
    assert name(shard_size=7, reuse=True, queue="caption.b", price_per_gpu_hour=3) == name()


def test_what_earlier_versions_have_kept_is_found() -> None:
    # As it was named before results knew of attributes and verdicts.
    assert (
        name(prompt="regions-1")
        == "d59641a73527033528186a678de5434afdc6bff7af2eee589acf4db3e4940204"
    )
    assert name(verify="mark") != name()
    assert name(set_to("whole", record().views[0].model_copy(update={"regions": []}))) != name()


def test_record_without_pictures_has_no_name() -> None:
    failed = record()
    failed.error = Problem(code="x", message="x", stage="render")
    old = record()
    old.source_sha256 = None

    assert fingerprint(failed, job(), Model()) is None
    assert fingerprint(old, job(), Model()) is None

"""Which job is meant: by id, beginning, name, or by nothing."""

from __future__ import annotations

import pytest

from regioncap import keys
from regioncap.errors import NotFoundError, UsageError
from regioncap.job import Job, now
from regioncap.jobs import catalogue
from regioncap.jobs.lookup import find
from regioncap.plurals import counted
from regioncap.services.store import Store
from regioncap.settings import Settings
from tests.simulation import s3
from tests.support.jobs import job_at


@pytest.fixture
def store() -> Store:
    server = s3.with_bucket()
    return s3.store_of(server, Settings())


@pytest.fixture
def jobs(store: Store) -> list[Job]:
    """Birds, cats and birds again, in November, each some minutes after the one before."""
    made = [job_at(n, name=name) for n, name in ((1, "birds"), (70, "cats"), (1500, "birds"))]
    for job in made:
        catalogue.save(store, job)
    store.put(keys.part_key("20261201-000000-aaaaaa", "input", 0), b"being submitted")
    return made


def test_the_latest(store: Store, jobs: list[Job]) -> None:
    found = find(store)
    assert found.job == jobs[2]
    assert found.said == f"job {jobs[2].job} (birds), the latest"


def test_a_whole_id_needs_no_word(store: Store, jobs: list[Job]) -> None:
    assert find(store, jobs[0].job) == (jobs[0], "", False)


@pytest.mark.parametrize("wanted", ["20261101-0110", "20261101-011000-a"])
def test_the_beginning_of_one(store: Store, jobs: list[Job], wanted: str) -> None:
    found = find(store, wanted, to_change=True)
    assert (found.job, found.said) == (jobs[1], f"job {jobs[1].job} (cats)")


def test_a_beginning_that_is_another_job_s_name_is_changed_by_its_id_alone(
    store: Store, jobs: list[Job]
) -> None:
    """Files of a day are called after it, and submitted the day after."""
    named = job_at(90_000, name=jobs[1].job[:13])
    catalogue.save(store, named)
    wanted = named.name
    assert find(store, wanted).job == jobs[1]
    with pytest.raises(UsageError, match="and a name of another job") as caught:
        find(store, wanted, to_change=True)
    assert caught.value.code == "ambiguous-job"
    assert {jobs[1].job in caught.value.hint, named.job in caught.value.hint} == {True}
    assert find(store, named.job, to_change=True).job == named


def test_the_beginning_of_several(store: Store, jobs: list[Job]) -> None:
    with pytest.raises(UsageError, match="2 jobs begin with 20261101") as caught:
        find(store, "20261101")
    assert caught.value.code == "ambiguous-job"
    assert jobs[0].job in caught.value.hint


@pytest.mark.parametrize("wanted", ["brids", "birds.jsonl", "lists/cats.csv"])
def test_a_name_that_is_meant_is_named(store: Store, jobs: list[Job], wanted: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find(store, wanted)
    meant = "cats" if "cats" in wanted else "birds"
    assert caught.value.hint.startswith(f"did you mean {meant}? `regioncap jobs`")


def test_a_name(store: Store, jobs: list[Job]) -> None:
    assert find(store, "cats", to_change=True).job == jobs[1]


def test_of_several_of_a_name_reading_takes_the_newest_and_says_so(
    store: Store, jobs: list[Job]
) -> None:
    found = find(store, "birds")
    assert (found.job, found.has_namesakes) == (jobs[2], True)
    assert found.said.endswith("(birds), the newest of 2 with this name")


def test_of_several_of_a_name_none_is_changed(store: Store, jobs: list[Job]) -> None:
    with pytest.raises(UsageError, match="2 jobs are named 'birds'") as caught:
        find(store, "birds", to_change=True)
    days = [f"{(now() - jobs[place].created).days:,} days old" for place in (2, 0)]
    assert caught.value.hint == (
        f"give the id of one: {jobs[2].job} ({days[0]}, {counted(jobs[2].records, 'record')}),"
        f" {jobs[0].job} ({days[1]}, {counted(jobs[0].records, 'record')})"
    )


@pytest.mark.parametrize("wanted", ["dogs", "20270101-000000-aaaaaa", "2027", "../x", "20261201"])
def test_none_of_that_name(store: Store, jobs: list[Job], wanted: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find(store, wanted)
    assert (caught.value.code, caught.value.exit_code) == ("no-such-job", 6)


def test_there_is_none_at_all(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there are no jobs yet"):
        find(store)

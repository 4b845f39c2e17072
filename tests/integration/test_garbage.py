"""What `regioncap gc` finds and removes, in a real store; time is what the search is told it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from regioncap import keys
from regioncap.errors import StoreError
from regioncap.job import Job, Summary, now
from regioncap.jobs import catalogue, garbage
from regioncap.jobs.cancel import cancel
from regioncap.jobs.garbage import Rubbish, Search
from regioncap.jobs.keyed import Taken
from regioncap.jobs.submit import submit
from regioncap.records import InputRecord
from regioncap.services.broker import connect
from regioncap.services.progress import Progress
from regioncap.services.store import Store, Stored
from regioncap.settings import Settings, load_settings
from tests.support.rig import wait_until
from tests.support.success import dump_success
from tests.support.system import run_command

MONTH = timedelta(days=30)
WEEK = timedelta(days=7)


@pytest.fixture
def settings(stack_settings: dict[str, str], tmp_path: Path) -> Settings:
    return load_settings(**stack_settings | {"s3_bucket": f"gc-{hash(tmp_path) & 0xFFFFFFFF:x}"})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(settings)
    store.ensure_bucket()
    yield store
    store.delete_all(store.list_keys(""))


class Jobs:
    """Makes jobs over pictures that are told apart by their shade."""

    def __init__(self, store: Store, settings: Settings, folder: Path) -> None:
        self._store, self._settings, self._folder = store, settings, folder

    def submitted(self, *shades: int, name: str = "") -> Job:
        """A job that is under way."""
        for shade in shades:
            Image.new("L", (32, 32), shade).save(self._folder / f"{shade}.png")
        records = [
            InputRecord(index=index, line=index + 1, image=f"{shade}.png")
            for index, shade in enumerate(shades)
        ]
        job, _ = submit(
            records, store=self._store, settings=self._settings, root=self._folder, name=name
        )
        self._store.put(keys.marked_key(job.job, 0), b"jpeg")
        self._store.put(keys.part_key(job.job, "rendered", 0), b"{}\n")
        self._store.put(keys.part_key(job.job, "results", 0), b"{}\n")
        return job

    def ended(self, *shades: int, name: str = "") -> Job:
        """A job that is done."""
        job = self.submitted(*shades, name=name)
        success = Summary(job=job.job, finished=now(), counts={})
        self._store.put(keys.success_key(job.job), dump_success(success))
        self._store.delete(keys.open_key(job.job))
        return job


@pytest.fixture
def make(store: Store, settings: Settings, tmp_path: Path) -> Jobs:
    return Jobs(store, settings, tmp_path)


def search(
    store: Store, *, marked_only: bool = False, later: timedelta = MONTH
) -> Iterator[Rubbish]:
    """Looks for what is older than a week, some time from now."""
    return Search(store, now() + later, WEEK, marked_only=marked_only).run()


def found(store: Store, *, marked_only: bool = False) -> list[tuple[str, str, int]]:
    return [(r.kind, r.name, r.objects) for r in search(store, marked_only=marked_only)]


def test_a_marker_of_a_submission_that_broke_off_before_its_first_part_goes(store: Store) -> None:
    job = keys.new_job_id()
    store.put(keys.open_key(job), b"")

    assert [list(search(store, later=timedelta(days=days))) for days in (0, 6)] == [[], []]
    assert found(store) == [("broken-off", job, 1)]
    assert [rubbish.remove() for rubbish in search(store)] == [1]
    assert not list(store.list_keys(keys.OPEN))


def test_a_job_that_ended_goes_with_the_pictures_that_only_it_had(
    store: Store, settings: Settings, make: Jobs
) -> None:
    old, running = make.ended(1, 2), make.submitted(2, 3)
    cancelled = make.submitted(4)
    store.delete(keys.part_key(cancelled.job, "results", 0))
    assert cancel(store, Progress(connect(settings), cancelled.job), cancelled) == "cancelled"
    shared = set(store.list_keys(keys.IMAGES))
    before = set(store.list_keys(""))

    # A dry run tells what a real one does, and touches nothing.
    expected = [("job", old.job, 6), ("job", cancelled.job, 6), ("pictures", "images/", 2)]
    assert found(store) == sorted(expected[:2], key=lambda each: each[1]) + expected[2:]
    assert set(store.list_keys("")) == before

    assert sum(each.remove() for each in search(store)) == 6 + 6 + 2 + 2  # job.json is named twice
    left = set(store.list_keys(""))
    assert {key for key in left if key.startswith("jobs/")} == set(
        store.list_keys(keys.prefix(running.job))
    )
    named = store.get(keys.part_key(running.job, "input", 0)).decode()
    kept = {key for key in left if key.startswith(keys.IMAGES)}
    assert kept == {key for key in shared if key in named}
    assert len(kept) == 2
    assert list(search(store)) == []
    # Whether or not the store goes on listing their folders.
    jobs = [old, cancelled, running]
    assert [catalogue.is_gone(store, job.job) for job in jobs] == [True, True, False]


def test_ends_that_nobody_was_told_of_go_after_a_week(store: Store, make: Jobs) -> None:
    running = make.submitted(1)
    store.put(keys.end_key(running.job, "t1"), b"")
    later = search(store, later=timedelta(days=8))
    assert [(each.kind, each.objects) for each in later if each.kind == "ends"] == [("ends", 1)]
    assert [each.kind for each in search(store, later=timedelta(days=6))] == []


def test_a_key_that_stands_for_another_job_by_now_stays(store: Store, make: Jobs) -> None:
    """As where a removal broke off behind its key, which was taken anew."""
    name = keys.submission_key("daily")
    jobs = [make.ended(shade) for shade in (10, 20)]
    for job in jobs:
        catalogue.save(store, job.model_copy(update={"key": "daily"}))
        store.delete(keys.open_key(job.job))
    taken = Taken(key="daily", job=jobs[1].job, content_sha256="0" * 64)
    store.put(name, taken.model_dump_json().encode())
    first, second = (each for job in jobs for each in search(store) if each.name == job.job)

    first.remove()
    assert store.exists(name)
    second.remove()
    assert not store.exists(name)


def test_what_is_young_stays(store: Store, make: Jobs) -> None:
    make.ended(1)
    store.put(keys.captions_key("ab" * 32), b"{}")
    assert list(search(store, later=timedelta(days=6))) == []
    # Jobs may go at once, pictures never do.
    moment = now() + timedelta(minutes=1)
    kinds = [each.kind for each in Search(store, moment, timedelta(0)).run()]
    assert kinds == ["job", "captions"]


def test_what_counts_is_the_end(store: Store, make: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["20200101-000000-aaaaaa", "20200101-000000-bbbbbb"])
    monkeypatch.setattr(keys, "new_job_id", lambda: next(ids))
    make.ended(1)
    broken_off = make.submitted(2)
    for key in (keys.job_key(broken_off.job), keys.open_key(broken_off.job)):
        store.delete(key)
    assert list(search(store, later=timedelta(days=6))) == []
    assert [kind for kind, *_ in found(store)] == ["job", "broken-off", "pictures"]


def test_marked_pictures_alone(store: Store, make: Jobs) -> None:
    old, running = make.ended(1), make.submitted(1)
    assert found(store, marked_only=True) == [("marked", old.job, 2)]
    for each in search(store, marked_only=True):
        each.remove()
    assert not store.exists(keys.marked_key(old.job, 0))
    assert not store.exists(keys.part_key(old.job, "rendered", 0))
    assert store.exists(keys.part_key(old.job, "results", 0))
    assert store.exists(keys.marked_key(running.job, 0))
    assert catalogue.find_success(store, old.job)
    assert found(store, marked_only=True) == []


def test_a_job_that_is_to_be_done_again_stays(store: Store, make: Jobs) -> None:
    job = make.ended(1)
    store.put(keys.open_key(job.job), b"")
    assert list(search(store)) == []


def test_a_submission_that_broke_off_goes_once_nothing_more_comes(store: Store, make: Jobs) -> None:
    job = make.ended(1)
    for key in (keys.job_key(job.job), keys.success_key(job.job)):
        store.delete(key)
    assert [kind for kind, *_ in found(store)] == ["broken-off", "pictures"]
    assert list(search(store, later=timedelta(days=6))) == []
    # Whatever is asked for: it may be under way.
    assert list(Search(store, now() + timedelta(days=6), timedelta(0)).run()) == []


def test_a_removal_that_broke_off_goes_on(
    store: Store, make: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make.ended(1)
    list_stored = store.list_stored

    def breaks(prefix: str) -> Iterator[Stored]:
        yield next(list_stored(prefix))
        raise StoreError("gone")

    (first, *_) = search(store)
    monkeypatch.setattr(store, "list_stored", breaks)
    monkeypatch.setattr("regioncap.services.store._MOST_DELETED", 1)
    with pytest.raises(StoreError):
        first.remove()
    monkeypatch.undo()
    assert not store.exists(keys.job_key(job.job))
    assert store.exists(keys.part_key(job.job, "results", 0))
    for each in search(store):
        each.remove()
    assert list(store.list_keys("")) == []


def test_a_job_of_another_version_keeps_its_pictures(store: Store, make: Jobs) -> None:
    job = make.submitted(1)
    line = {
        "schema_version": 99,
        "unheard": {"of": store.uri(next(iter(store.list_keys("images/"))))},
    }
    store.put(keys.part_key(job.job, "input", 0), json.dumps(line).encode())
    store.put(keys.job_key(job.job), b'{"schema_version": 99}')
    store.delete(keys.open_key(job.job))
    assert list(search(store)) == []


def test_a_picture_that_a_submission_takes_up_again_stays(
    store: Store, make: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.ended(1)
    (key,) = store.list_keys(keys.IMAGES)
    written = store.modified(key)
    assert written is not None
    wait_until(lambda: now() - written > timedelta(seconds=3))
    monkeypatch.setattr(garbage, "PICTURES_KEPT", timedelta(0))
    (_, pictures) = Search(store, written + timedelta(seconds=2), timedelta(0)).run()
    assert (pictures.kind, pictures.objects) == ("pictures", 1)

    make.submitted(1)  # finds the picture fresh, and leaves it as it is
    assert store.modified(key) == written
    monkeypatch.setattr("regioncap.jobs.submit.FRESH", timedelta(0))
    make.submitted(1)
    assert store.modified(key) > written  # type: ignore[operator]
    # The search was before, the removal is now: it looks once more.
    assert pictures.remove() == 0
    assert store.get(key).startswith(b"\x89PNG")


def test_the_command(
    store: Store, settings: Settings, make: Jobs, settings_env: dict[str, str], tmp_path: Path
) -> None:
    env = settings_env | {"REGIONCAP_S3_BUCKET": settings.s3_bucket}
    job = make.ended(1)
    progress = Progress(connect(settings), job.job)
    progress.note_part(0, {"sha256": "", "counts": {"records": 1}})
    wait_until(lambda: now() - keys.submitted_at(job.job) > timedelta(seconds=2))

    kept = run_command("gc", "--older-than", "1h", env=env)
    assert (kept.returncode, kept.stdout) == (0, b"")
    assert b"there is nothing to remove" in kept.stderr
    told = run_command("gc", "--older-than", "0h", "--json", env=env)
    assert told.returncode == 0, told.stderr.decode()
    (line,) = map(json.loads, told.stdout.splitlines())
    assert (line["kind"], line["name"], line["objects"]) == ("job", job.job, 6)
    assert store.exists(keys.job_key(job.job))
    assert b"--delete removes it" in told.stderr

    done = run_command("gc", "--older-than", "0h", "--delete", env=env)
    assert done.returncode == 0, done.stderr.decode()
    assert job.job in done.stdout.decode()
    assert list(store.list_keys(keys.JOBS)) == []
    assert progress.counts() == {"shards": 0}

    wrong = run_command("gc", "--older-than", "soon", env=env)
    assert wrong.returncode == 2
    assert b"bad-age" in wrong.stderr
    away = run_command("gc", "--older-than", "1d", env=env | {"REGIONCAP_S3_BUCKET": "nowhere"})
    assert away.returncode == 4
    assert b"no-bucket" in away.stderr


def test_the_command_takes_jobs_by_name_whatever_their_age(
    store: Store, settings: Settings, make: Jobs, settings_env: dict[str, str]
) -> None:
    env = settings_env | {"REGIONCAP_S3_BUCKET": settings.s3_bucket}
    cats, dogs = make.ended(1, name="cats"), [make.ended(2, name="dogs") for _ in range(2)]
    running = make.submitted(3, name="birds")
    before = set(store.list_keys(""))

    # A job that runs, and a name that two have, stop the whole before anything goes.
    for refused, code in [("birds", b"not-finished"), ("dogs", b"ambiguous-job")]:
        told = run_command("gc", "cats", refused, "--delete", env=env)
        assert (told.returncode, code in told.stderr) == (2, True), told.stderr.decode()
    shown = run_command("gc", "cats", env=env)
    assert (shown.returncode, cats.job in shown.stdout.decode()) == (0, True)
    assert f"job {cats.job} (cats)" in shown.stderr.decode()
    assert set(store.list_keys("")) == before

    pictures = run_command("gc", "cats", "--marked", "--delete", env=env)
    assert pictures.returncode == 0, pictures.stderr.decode()
    assert list(store.list_keys(keys.prefix(cats.job, "marked"))) == []
    done = run_command("gc", "cats", dogs[0].job, "--delete", env=env)
    assert done.returncode == 0, done.stderr.decode()
    left = {key.split("/")[1] for key in store.list_keys(keys.JOBS)}
    assert left == {dogs[1].job, running.job}
    assert len(list(store.list_keys(keys.IMAGES))) == 3

    for neither in [[], ["cats", "--older-than", "1d"]]:
        assert run_command("gc", *neither, env=env).returncode == 2

"""Who is told that a job has ended: once if all is well, again where it is not."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from regioncap import keys
from regioncap.errors import StoreDeniedError, StoreError, UsageError
from regioncap.job import Job, Summary
from regioncap.jobs import catalogue, ends, markers
from regioncap.jobs.budgets import Purse
from regioncap.jobs.cancel import cancel
from regioncap.jobs.ends import Ends
from regioncap.jobs.finish import finish
from regioncap.parallel import Runtime
from regioncap.records import dump_lines
from regioncap.services.progress import Progress
from regioncap.settings import Settings, load_settings
from tests.simulation import s3, valkey
from tests.simulation.gate import Gate
from tests.support.jobs import a_job, result
from tests.support.success import dump_success

JOB = "20260101-000000-aaaaaa"
TOKEN = "tok-3n-0f-th3-h00k"


class Clock(Gate, Runtime):
    """The time of store, Redis and janitor."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)
        #: Told of each request to the store or Redis.
        self.on_request: Callable[[str], object] = lambda _: None

    def enter(self, request: str) -> None:
        self.on_request(request)

    def now_s(self) -> float:
        return self.moment.timestamp()

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Place:
    """Servers in memory, and a command that notes what it is told while `up` is there."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.server = s3.with_bucket()
        self.store = s3.store_of(self.server, Settings(), self.clock)
        self.redis = valkey.Client(valkey.Server(self.clock.now_s))
        self._told, self.up = folder / "told", folder / "up"
        self.up.touch()
        self.tries = folder / "tries"
        script = 'echo >> "$1"; test -e "$2" && cat >> "$3" && echo >> "$3"'
        self.command = ["/bin/sh", "-c", script, "sh"] + [
            str(path) for path in (self.tries, self.up, self._told)
        ]
        self.ends = self.janitor(on_end_command=self.command)

    def janitor(self, **settings: Any) -> Ends:
        return Ends(self.store, self.redis, load_settings(**settings), self.clock)

    def turn(self, later_s: float = ends.LOOK_S) -> None:
        """The janitor's turn, some time after the last."""
        self.clock.sleep(later_s)
        self.ends.tell()

    @property
    def told(self) -> list[dict[str, Any]]:
        lines = self._told.read_text("utf-8").splitlines() if self._told.exists() else []
        return [json.loads(line) for line in lines if line]

    @property
    def tried(self) -> int:
        return len(self.tries.read_text().splitlines()) if self.tries.exists() else 0

    @property
    def left(self) -> list[str]:
        """Ends that are still to be told."""
        return [keys.ending(key) for key in self.store.list_keys(keys.ENDS)]

    def submitted(self, job: Job | None = None) -> Job:
        job = job or a_job(JOB, 2)
        catalogue.save(self.store, job)
        return job

    def end(self, job: Job) -> None:
        """What is written when a job is done, but for its marker."""
        success = Summary(
            job=job.job, finished=self.clock.now(), counts={"records": 2, "failed": 1, "regions": 3}
        )
        self.store.put(keys.success_key(job.job), dump_success(success))

    def ended(self, job: Job | None = None) -> Job:
        job = self.submitted(job)
        markers.note_end(self.store, job.job)
        self.end(job)
        return job


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_end_is_told_once(place: Place) -> None:
    job = place.ended()
    for _ in range(3):
        place.turn(60)

    assert [(told["job"], told["state"]) for told in place.told] == [(JOB, "done")]
    assert place.told[0]["counts"] == {
        "records": 2, "done": 2, "failed": 1, "shards": 2, "shards_done": 2,
        "regions": 3, "regions_ok": 0,
    }  # fmt: skip
    assert datetime.fromisoformat(place.told[0]["created"]) == job.created
    assert datetime.fromisoformat(place.told[0]["finished"]) == datetime(2026, 1, 1, tzinfo=UTC)
    assert not place.left


def test_a_job_that_ends_again_is_told_again(place: Place) -> None:
    job = place.ended()
    place.turn()
    place.ended(job)
    place.turn()

    assert len(place.told) == 2


def test_a_cancelled_job_is_told(place: Place) -> None:
    job = place.submitted()
    assert cancel(place.store, Progress(place.redis, JOB), job, runtime=place.clock) == "cancelled"
    place.turn()

    assert [told["state"] for told in place.told] == ["cancelled"]
    assert datetime.fromisoformat(place.told[0]["finished"]) == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_job_that_pauses_is_told(place: Place) -> None:
    job, purse = place.submitted(a_job(JOB, 2, max_gpu_seconds=1)), Purse(place.store, place.clock)
    assert not purse.is_spent(place.redis, job)
    assert not place.left
    purse.spend(place.redis, job, 2000)
    assert purse.is_spent(place.redis, job)
    place.turn()

    assert [(told["state"], told["finished"]) for told in place.told] == [("paused", None)]
    assert not place.left


@pytest.mark.slow
def test_what_fails_is_tried_again_ever_more_rarely_and_given_up_after_a_day(place: Place) -> None:
    place.ended()
    place.up.unlink()
    tries = []
    with capture_logs() as logs:
        while place.left:
            before = place.tried
            place.turn()
            if place.tried > before:
                tries.append(place.clock.now())
            assert len(tries) < 100
    pauses = [after - before for before, after in itertools.pairwise(tries)]

    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(seconds=30)
    assert pauses[-1] == timedelta(minutes=30)
    assert timedelta(days=1) <= tries[-1] - datetime(2026, 1, 1, tzinfo=UTC) < timedelta(days=1.1)
    assert [log["log_level"] for log in logs] == ["warning"] * (len(tries) - 1) + ["error"]
    assert logs[-1]["job"] == JOB
    assert not place.told


def test_what_failed_is_told_when_it_can_be(place: Place) -> None:
    place.ended()
    place.up.unlink()
    place.turn()
    place.up.touch()
    place.turn()  # not yet
    assert (place.tried, place.told) == (1, [])
    place.turn(30)

    assert len(place.told) == 1
    assert not place.left


def test_whoever_dies_before_the_end_tells_nothing(place: Place) -> None:
    job = place.submitted()
    markers.note_end(place.store, JOB)
    place.turn()
    assert not place.told

    place.end(job)
    place.turn()
    assert [told["state"] for told in place.told] == ["done"]


def test_whoever_dies_after_telling_has_it_told_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise StoreError("the janitor dies here")

    place.ended()
    with monkeypatch.context() as patch:
        patch.setattr(ends, "remove", die)
        with pytest.raises(StoreError):
            place.turn()
    place.turn(60)

    assert len(place.told) == 2
    assert not place.left


def test_janitors_tell_it_once_together(place: Place) -> None:
    place.ended()
    other = place.janitor(on_end_command=place.command)
    place.turn()
    other.tell()
    place.clock.sleep(ends.LOOK_S)
    other.tell()

    assert len(place.told) == 1


def test_a_hostile_name_is_data(place: Place, tmp_path: Path) -> None:
    name = f"$(touch {tmp_path}/pwned); `id` ' \" \\ \x1b[2J {{}} --help \N{SNOWMAN}"
    place.ended(a_job(JOB, 2).model_copy(update={"name": name}))
    place.turn()

    assert [told["name"] for told in place.told] == [name]
    assert not (tmp_path / "pwned").exists()


def test_one_bad_job_keeps_no_other_waiting(place: Place) -> None:
    for letter in "bcdefg":
        job = JOB.replace("aaaaaa", letter * 6)
        markers.note_end(place.store, job)
        place.store.put(keys.job_key(job), b"{")
    place.store.put(f"{keys.ENDS}what/is this", b"")
    markers.note_end(place.store, JOB.replace("aaaaaa", "zzzzzz"))  # `gc` has removed it
    place.clock.sleep(1)
    place.ended()
    place.turn()
    assert not place.told  # three failures are enough for a turn
    place.turn()
    place.turn()

    assert [told["job"] for told in place.told] == [JOB]
    assert JOB.replace("aaaaaa", "zzzzzz") not in place.left


def test_what_lies_there_for_no_job_is_none_s_failure(place: Place) -> None:
    place.store.put(f"{keys.ENDS}what/is this", b"")
    with capture_logs() as logs:
        place.turn()
    assert (logs, place.left) == ([], ["what/is this"])


def test_a_job_that_may_not_be_read_keeps_no_other_waiting(place: Place) -> None:
    refused = JOB.replace("aaaaaa", "bbbbbb")
    place.ended(a_job(refused, 2))
    place.server.denied.add(f"regioncap/{keys.job_key(refused)}")
    place.clock.sleep(1)
    place.ended()
    with capture_logs() as logs:
        place.turn()

    assert [told["job"] for told in place.told] == [JOB]
    assert [log["job"] for log in logs if log["log_level"] == "warning"] == [refused]


def test_a_store_that_is_away_gives_no_job_up(place: Place) -> None:
    def away(request: str) -> None:
        if request == "s3 get job.json":
            raise s3.error(503)

    place.ended()
    place.clock.on_request = away
    with pytest.raises(StoreError):
        place.turn(timedelta(days=2).total_seconds())
    place.clock.on_request = lambda _: None
    place.turn(ends._LATEST_S)

    assert [told["job"] for told in place.told] == [JOB]


def test_what_lies_in_redis_for_ever_is_no_turn_of_a_janitor_s(place: Place) -> None:
    place.ended()
    place.redis.set("regioncap:ends", "of somebody")
    place.turn()
    place.turn()
    assert len(place.told) == 1


def test_the_end_is_noted_before_it_comes(place: Place) -> None:
    written: list[str] = []
    place.server.on_put = written.append
    for name, end in ((JOB, keys.success_key), (JOB.replace("a", "b"), keys.cancelled_key)):
        job = place.submitted(a_job(name, 1))
        if end is keys.success_key:
            place.store.put(keys.part_key(name, "results", 0), dump_lines([result(job, 0, "x")]))
            assert finish(place.store, Progress(place.redis, name), job, runtime=place.clock)
        else:
            cancel(place.store, Progress(place.redis, name), job, runtime=place.clock)
        (noted,) = place.store.list_keys(keys.end_key(name))
        assert written.index(noted) < written.index(end(name))


def test_one_janitor_looks_every_few_seconds(place: Place) -> None:
    place.turn()
    place.ended()
    place.ends.tell()
    assert not place.told
    place.turn()
    assert len(place.told) == 1


def test_a_turn_that_takes_long_leaves_the_rest_to_the_next(place: Place) -> None:
    def take_long(request: str) -> None:
        if request == "s3 get job.json":
            place.clock.sleep(6.0)

    for letter in "abc":
        place.ended(a_job(JOB.replace("aaaaaa", letter * 6), 2))
        place.clock.sleep(1)
    place.clock.on_request = take_long
    place.turn()
    assert len(place.told) == 2
    place.turn()
    assert len(place.told) == 3


def test_an_end_that_never_came_is_forgotten_after_a_day(place: Place) -> None:
    place.submitted()
    markers.note_end(place.store, JOB)
    place.turn(timedelta(hours=23).total_seconds())
    assert place.left == [JOB]
    place.turn(timedelta(hours=2).total_seconds())
    assert (place.left, place.told) == ([], [])


def test_nobody_is_told_of_an_end_of_last_week(place: Place) -> None:
    place.ended()
    with capture_logs() as logs:
        place.turn(timedelta(days=7).total_seconds())
    assert (place.left, place.told) == ([], [])
    assert "7 days ago" in logs[0]["error"]


def test_a_command_that_fails_is_what_is_said_and_the_address_has_to_wait(place: Place) -> None:
    place.ended()
    place.ends = place.janitor(on_end_command=["/bin/false"], on_end_url="http://127.0.0.1:1/")
    with capture_logs() as logs:
        place.turn()
    assert logs[0]["error"] == "on_end_command ended with 1"


def test_where_nobody_wants_to_know_nothing_is_looked_for(place: Place) -> None:
    place.ended()
    place.janitor().tell()

    assert place.left == [JOB]
    assert not list(place.redis.scan_iter())


def test_a_job_ends_where_its_marker_may_not_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = place.store.put

    def deny(key: str, *args: Any) -> None:
        if key.startswith(keys.ENDS):
            raise StoreDeniedError("AccessDenied")
        put(key, *args)

    job = place.submitted()
    monkeypatch.setattr(place.store, "put", deny)
    with capture_logs() as logs:
        assert cancel(place.store, Progress(place.redis, JOB), job) == "cancelled"
    assert [log["job"] for log in logs] == [JOB]


def test_a_command_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "TIMEOUT_S", 0.1)

    assert "longer" in ends.run(["/bin/sh", "-c", "sleep 600 & wait"], b"{}")


def test_what_a_command_has_started_is_killed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "TIMEOUT_S", 0.5)
    noted = tmp_path / "pid"
    ends.run(["/bin/sh", "-c", f"sleep 600 & echo $! > {noted}; wait"], b"{}")

    began_s = time.monotonic()
    while Path(f"/proc/{noted.read_text().strip()}/cmdline").exists():
        is_dead = not Path(f"/proc/{noted.read_text().strip()}/cmdline").read_bytes()
        if is_dead:  # nobody has waited for it yet
            break
        assert time.monotonic() - began_s < 10
        time.sleep(0.05)


def test_what_a_command_prints_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    assert ends.run(["/bin/sh", "-c", "echo out; echo err >&2"], b"{}") == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("command", [["/nowhere/at-all"], ["nul\0"], ["/bin/false"]])
def test_a_command_that_cannot_be_run_says_so(command: list[str]) -> None:
    assert ends.run(command, b"{}").startswith("on_end_command ")


def test_a_token_in_the_address_stays_out_of_the_logs(place: Place) -> None:
    place.ended()
    place.ends = place.janitor(on_end_url=f"http://user:{TOKEN}@127.0.0.1:1/{TOKEN}?t={TOKEN}")
    with capture_logs() as logs:
        place.turn()

    assert [log["log_level"] for log in logs] == ["warning"]
    assert "on_end_url" in logs[0]["error"]
    assert TOKEN not in str(logs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("notify --to 'the team'", ["notify", "--to", "the team"]),
        ('["notify", "--to", "the team"]', ["notify", "--to", "the team"]),
        ("", []),
    ],
)
def test_a_command_is_words(given: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONCAP_ON_END_COMMAND", given)

    assert load_settings().on_end_command == words


@pytest.mark.parametrize(
    "settings",
    [
        {"on_end_url": f"ftp://host/{TOKEN}"},
        {"on_end_url": f"http://host:{TOKEN}/"},
        {"on_end_url": f"https:///{TOKEN}"},
        {"on_end_command": "an 'open quote"},
        {"on_end_command": "[not json"},
    ],
)
def test_what_cannot_be_told_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="on_end_") as caught:
        load_settings(**settings)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", ["on_end_command", "on_end_url"])
def test_no_job_names_whom_to_tell(name: str) -> None:
    with pytest.raises(UsageError, match="no setting"):
        load_settings().for_job({name: "http://127.0.0.1/"})

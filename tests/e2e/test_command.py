"""The command as people use it: what it prints where, how it ends, and what it looks like."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from regioncap.records import SCHEMA_VERSION
from regioncap.services.waits import Waits
from tests.support.system import ROOT, System, read_jsonl, run_command, write_jsonl

HEAVY = {
    "celery",
    "minio",
    "PIL",
    "numpy",
    "pydantic",
    "pydantic_settings",
    "redis",
    "torch",
    "kombu",
}
JOB_ID = re.compile(rb"\d{8}-\d{6}-[a-z2-7]{6}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of its own with two pictures."""
    for name in ("red.png", "blue.png"):
        Image.effect_noise((320, 200), 90).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """The environment of someone who has configured nothing."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
    # Ports that nothing listens on, whatever runs on this machine.
    (tmp_path / "regioncap.toml").write_text("")
    return inherited


def on_terminal(system: System, *arguments: str, keys: bytes = b"") -> tuple[str, int]:
    """Runs the command on a terminal of its own; returns what it showed, and its exit code."""
    command = [sys.executable, "-m", "producer", *arguments]
    env = system.env | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "110"}
    env.pop("NO_COLOR", None)
    parent, child = pty.openpty()
    process = subprocess.Popen(
        command, env=env, stdin=child, stdout=child, stderr=child, start_new_session=True
    )
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux: the other end is closed
                raise
            break
        if not piece:
            break
        shown += piece
        if keys and b"records" in shown:
            os.killpg(process.pid, signal.SIGINT)
            keys = b""
    os.close(parent)
    return shown.decode(), process.wait(30)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, producer.cli\n"
        "producer.cli.app(['--help'], standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT, timeout=60
    )
    assert b"submit" in found.stdout
    assert not HEAVY & set(found.stderr.decode().split())


def test_a_missing_job_and_a_bad_value_are_told_in_plain_words(nowhere: dict[str, str]) -> None:
    missing = run_command("cancel", env=nowhere)
    assert b"hint: `regioncap jobs` lists the recent ones with their names; see " in missing.stderr
    for command in (["gc"], ["serve", "--port", "99999"]):
        said = run_command(*command, env=nowhere).stderr
        assert b"Invalid value: " not in said
        assert b"Input should be" not in said


def test_version(nowhere: dict[str, str]) -> None:
    found = run_command("--version", env=nowhere)
    assert re.fullmatch(rb"regioncap \d+\.\d+\.\d+\n", found.stdout)


def test_validate_reports_each_problem(nowhere: dict[str, str], folder: Path) -> None:
    boxes = [[1, 1, 9, 9], [1, 1, 0, 9]]
    write_jsonl(folder / "in.jsonl", [{"image": "red.png", "bbox": boxes}, {"image": "gone.png"}])

    people = run_command("validate", "in.jsonl", env=nowhere, cwd=folder)
    program = run_command("validate", "in.jsonl", "--json", env=nowhere, cwd=folder)
    (folder / "pictures").mkdir()
    shutil.copy(folder / "red.png", folder / "pictures")
    good = run_command("validate", "pictures", env=nowhere, cwd=folder)

    first, second = people.stdout.decode().splitlines()
    assert first == "in.jsonl:1: bad-box: bbox[1] [1, 1, 0, 9] has no area"
    assert second.startswith("in.jsonl:2: image-missing: image 'gone.png' cannot be read: ")
    assert b"2 problems in 2 of 2 records" in people.stderr
    problem, _, summary = map(json.loads, program.stdout.splitlines())
    assert (problem["line"], problem["field"], problem["code"]) == (1, "bbox[1]", "bad-box")
    assert (summary["records"], summary["failing"]) == (2, 1)
    assert (people.returncode, program.returncode, good.returncode) == (2, 2, 0)
    assert good.stdout == b""


def test_what_is_no_utf8_in_names_is_shown_with_question_marks(
    system: System, tmp_path: Path
) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    file = write_jsonl(tmp_path / os.fsdecode(b"in-\xff.jsonl"), [{"image": "red.png"}])
    for named in ((), ("--name", "my-\udcff", "--label", "of=\udcff")):
        done = system.command("submit", file, *named)
        assert done.returncode == 0, done.stderr.decode()
        told = system.command("status", done.stdout.decode().strip(), "--json").stdout
        assert json.loads(told)["name"] == ("my-?" if named else "in-?")


def test_validate_cuts_a_long_list_for_people_only(nowhere: dict[str, str], folder: Path) -> None:
    write_jsonl(folder / "in.jsonl", [{"image": "gone.png"}] * 25)

    people = run_command("validate", "in.jsonl", env=nowhere, cwd=folder)
    program = run_command("validate", "in.jsonl", "--json", env=nowhere, cwd=folder)

    assert len(people.stdout.splitlines()) == 3
    assert b"... and 22 more image-missing; --limit 0 shows all" in people.stderr
    assert len(program.stdout.splitlines()) == 25 + 1


def test_results_do_not_take_a_folders_place(system: System, folder: Path) -> None:
    job = _unqueued_job(system, write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))

    found = system.command("results", job, "-o", folder)

    assert found.returncode == 2
    assert b"is a folder [bad-output]" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["view", "-o", "taken"],
        ["view", "-o", "red.png/page.html"],
        ["results", "-o", "out.jsonl", "--images", "red.png"],
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    system: System, folder: Path, arguments: list[str]
) -> None:
    job = _unqueued_job(system, write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))
    (folder / "taken").mkdir()

    found = system.command(*arguments, job, cwd=folder)

    assert found.returncode == 2
    assert b"[bad-output]" in found.stderr
    assert not (folder / "out.jsonl").exists()


def test_validate_of_nothing_is_a_mistake(nowhere: dict[str, str], folder: Path) -> None:
    (folder / "empty").mkdir()
    found = run_command("validate", "empty", env=nowhere, cwd=folder)
    assert found.returncode == 2
    assert b"empty holds no records [no-records]" in found.stderr


def test_dry_run_needs_no_services(nowhere: dict[str, str], folder: Path) -> None:
    found = run_command("submit", "--dry-run", folder, "--shard-size", "1", env=nowhere, cwd=folder)

    assert (found.returncode, found.stdout) == (0, b"")
    assert b"2 shards would be queued" in found.stderr
    assert b"2 images, " in found.stderr


@pytest.mark.parametrize("arguments", [["status"], ["submit", "red.png"], ["results", "x"]])
def test_nothing_configured_names_the_way_out(
    nowhere: dict[str, str], folder: Path, arguments: list[str]
) -> None:
    if arguments[0] == "results":
        arguments = ["results", "20261124-031522-k3v7qa"]

    found = run_command(*arguments, env=nowhere, cwd=folder)

    assert (found.returncode, found.stdout) == (4, b"")
    assert b"127.0.0.1:9000" in found.stderr
    assert b"`regioncap up`" in found.stderr
    assert len(found.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["submit", "none.jsonl"], 2, b"[no-input-file]"),
        (["submit", "in.jsonl", "--label", "x"], 2, b"key=value"),
        (["submit", "in.jsonl", "--label", "x", "--dry-run"], 2, b"key=value"),
        (["submit"], 2, b"--resume"),
        (["stats"], 2, b"Did you mean 'status'? [usage]"),
        (["submit", "in.jsonl", "--lable", "x"], 2, b"--label"),
        (["cancel"], 2, b"regioncap cancel --help"),
        (["status", "20200101-000000-aaaaaa"], 6, b"[no-such-job]"),
        (["watch", "nonsense"], 6, b"[no-such-job]"),
        (["--s3-endpoint", "127.0.0.1:1", "status"], 4, b"[store-unavailable]"),
    ],
)
def test_exit_codes(
    system: System, folder: Path, arguments: list[str], code: int, words: bytes
) -> None:
    write_jsonl(folder / "in.jsonl", [{"image": "red.png"}])

    found = system.command(*arguments, cwd=folder)

    assert (found.returncode, found.stdout) == (code, b"")
    assert words in found.stderr
    assert found.stderr.startswith(b"error: ")
    assert len(found.stderr.splitlines()) <= 3


def test_debug_shows_the_traceback(system: System) -> None:
    found = system.command("--debug", "status", "20200101-000000-aaaaaa")
    assert b"Traceback" in found.stderr


def test_submit_a_folder_and_stdin(system: System, folder: Path) -> None:
    from_folder = system.command("submit", folder, "--name", "pics", "--label", "a=b", "--wait")
    line = b'{"image": "red.png", "bbox": [[1, 1, 50, 50]]}\n'
    from_stdin = system.command("submit", "-", cwd=folder, stdin=line)
    job = from_folder.stdout.decode().strip()
    status = json.loads(system.command("status", job, "--json").stdout)

    assert from_folder.returncode == 0
    assert JOB_ID.fullmatch(from_stdin.stdout.strip())
    assert (status["records"], status["state"], status["labels"]) == (2, "done", {"a": "b"})
    assert status["schema_version"] == SCHEMA_VERSION
    assert b"watch it: regioncap watch " in from_stdin.stderr
    assert b"0 new, 1 there already" in from_stdin.stderr


def test_interrupted_submission_leaves_no_job(system: System, folder: Path) -> None:
    def jobs() -> list[bytes]:
        return system.command("jobs", "--limit", "1000", "--json").stdout.splitlines()

    before = jobs()
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "submit", "-", "--shard-size", "1"],
        env=system.env | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    # More than those by which an input is judged before anything is sent.
    process.stdin.write(b'{"image": "red.png"}\n' * 1_200)
    process.stdin.flush()
    _wait_for(lambda: _half_jobs(system) > len(before))
    process.send_signal(signal.SIGINT)
    out, talk = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, b"")
    assert b"run it again" in talk
    assert [json.loads(job)["job"] for job in jobs()] == [json.loads(job)["job"] for job in before]


def _half_jobs(system: System) -> int:
    return sum(1 for _ in system.services.store.list_keys("jobs/", recursive=False))


def _wait_for(condition: object) -> None:
    import time

    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_redis_away_at_submission__the_job_is_safe(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}])

    away = system.command("--broker-url", "redis://127.0.0.1:1", "submit", file)
    talk = away.stderr.decode()
    assert (away.returncode, away.stdout) == (4, b"")
    assert "is safe in the store" in talk
    assert "[queue-unavailable]" in talk
    remedy = talk.rpartition("regioncap ")[2].split()
    assert remedy[:2] == ["submit", "--resume"]

    resumed = system.command(*remedy, "--wait")
    assert (resumed.returncode, resumed.stdout.decode().split()) == (0, remedy[2:])


def test_resume_queues_what_is_missing(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}] * 6)
    job = _unqueued_job(system, file)

    first = system.command("submit", "--resume", job, "--wait")
    again = system.command("submit", "--resume", job)

    assert (first.returncode, first.stdout.decode()) == (0, f"{job}\n")
    assert b"3 shards of 3 queued" in first.stderr
    assert b"nothing to queue: the job is finished" in again.stderr


@pytest.mark.more
def test_a_key_goes_on_with_what_broke_off_and_then_finds_it(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}] * 6)
    job = _unqueued_job(system, file, key="of this test")
    asked = ("--shard-size", "2", "--key", "of this test")

    first = system.command("submit", file, *asked, "--wait")
    again = system.command("submit", file, *asked)
    other = system.command("submit", file, *asked, "--max-boxes", "3")

    assert (first.returncode, first.stdout.decode()) == (0, f"{job}\n")
    assert b"3 shards of 3 queued that were missing" in first.stderr
    assert (again.returncode, again.stdout.decode()) == (0, f"{job}\n")
    assert b"nothing is submitted anew" in again.stderr
    assert b"done  6 of 6 records" in again.stderr
    assert (other.returncode, other.stdout) == (2, b"")
    assert b"max_boxes is 3, and was 10 [key-taken]" in other.stderr


@pytest.mark.more
def test_a_job_that_pauses_is_told_of_and_goes_on(system: System, folder: Path) -> None:
    from regioncap.services.spending import Spending

    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png"}] * 6)
    job = _unqueued_job(system, file, max_gpu_seconds=10)
    client = system.services.redis
    Spending(client, job).begin(11_000)  # as if another had it in hand
    system.command("submit", "--resume", job)

    watched = system.command("watch", job)
    waited = system.command("submit", "--resume", job, "--wait")
    endless = system.command("resume", job, "--max-gpu-seconds", "inf")
    less = system.command("resume", job, "--max-gpu-seconds", "11")
    more = system.command("resume", job, "--max-gpu-seconds", "12")
    done = system.command("watch", job)
    again = system.command("resume", job, "--max-gpu-seconds", "13")

    assert (watched.returncode, waited.returncode) == (9, 9)
    assert b"go on with: regioncap resume " + job.encode() in watched.stderr
    assert (endless.returncode, less.returncode) == (2, 2)
    assert b"inf is no limit of GPU time [bad-budget]" in endless.stderr
    assert b"has taken 11.0 GPU seconds already" in less.stderr
    assert (more.returncode, done.returncode, again.returncode) == (0, 0, 0)
    assert b"it goes on: 3 shards queued" in more.stderr
    assert b"there is nothing to go on with: the job is done" in again.stderr


def _unqueued_job(system: System, file: Path, key: str = "", **changed: object) -> str:
    """A job whose submission broke off before anything was queued."""
    from regioncap.inputs.source import open_source
    from regioncap.jobs.submit import submit

    with open_source(str(file), sys.stdin.buffer) as source:
        settings = system.services.settings.for_job({"shard_size": 2, **changed})
        job, _ = submit(
            source.records,
            store=system.services.store,
            settings=settings,
            root=source.root,
            key=key,
        )
    return job.job


def test_results_filter_and_follow(system: System, folder: Path) -> None:
    lines = [{"image": "red.png"}, {"image": "gone.png"}] * 3
    file = write_jsonl(folder / "in.jsonl", lines)
    job = system.command("submit", file, "--shard-size", "2").stdout.decode().strip()

    followed = system.command("results", job, "--follow")
    failed = system.command("results", job, "--failed", "-o", folder / "failed.jsonl")
    missing = system.command("results", job, "-o", folder / "none" / "x.jsonl")
    system.command("results", job, "--images", folder / "marked")

    indices = [json.loads(line)["index"] for line in followed.stdout.splitlines()]
    assert followed.returncode == 3
    assert sorted(indices) == list(range(6))
    assert failed.returncode == 0
    assert [r["image"] for r in read_jsonl(folder / "failed.jsonl")] == ["gone.png"] * 3
    assert missing.returncode == 2
    assert sorted(p.name for p in (folder / "marked").iterdir()) == [
        "00000000.jpg", "00000002.jpg", "00000004.jpg",
    ]  # fmt: skip


def test_pictures_that_are_not_kept_are_drawn_for_who_wants_them(
    system: System, folder: Path
) -> None:
    from producer.site.app import _has_marked
    from producer.site.pictures import Pictures
    from regioncap import keys

    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png", "bbox": [[9, 9, 90, 90]]}])
    done = system.command("submit", file, "--no-keep-marked", "--wait")
    client, job = system.services, system.services.load(done.stdout.decode().strip())
    assert not list(client.store.list_keys(keys.prefix(job.job, "marked")))

    system.command("results", job.job, "--images", folder / "marked")

    (drawn,) = (folder / "marked").iterdir()
    assert drawn.name == "00000000.jpg"
    assert Pictures(client, client.load).jpeg(job, 0, "marked") == drawn.read_bytes()
    assert [_has_marked(job, record) for record in client.results(job)] == [True]


def test_reader_that_leaves_is_no_error(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "red.png", "pad": "x" * 200_000}] * 24)
    # Many parts: a write is under way when the reader goes, and others come after.
    submitted = system.command("submit", file, "--shard-size", "1", "--wait")
    job = submitted.stdout.decode().strip()
    line = f"{sys.executable} -m producer results {job} | head -c 10; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(
        ["bash", "-c", line],
        env=system.env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (piped.stdout, piped.stderr) == (b'{"image": 141\n', b"")


@pytest.mark.more
def test_a_job_that_nobody_serves_is_said_to_wait(system: System, folder: Path) -> None:
    submitted = system.command("submit", folder, "--queue", "caption.nobody")
    job = submitted.stdout.decode().strip()
    watched = system.command("watch", job, "--timeout", "0")
    status = system.command("status", job)
    cancelled = [system.command("cancel", job).stderr.decode() for _ in range(2)]
    audited = system.command("audit", job)
    ended = system.command("watch", job)
    served = system.command("submit", folder)

    told = b"start one: regioncap worker caption --queue caption.nobody"
    assert told in submitted.stderr
    assert told in watched.stderr
    assert told in status.stderr
    assert [said.splitlines()[0] for said in cancelled] == ["cancelled", "it is cancelled already"]
    assert b"not finished" not in audited.stderr
    assert b"cancelled before a record was done" in audited.stderr
    assert told not in ended.stderr
    assert b"start one" not in served.stderr


def test_watch_gives_up_in_time(system: System, folder: Path) -> None:
    job = _unqueued_job(system, write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))

    found = system.command("watch", job, "--timeout", "0.1")

    assert (found.returncode, found.stdout) == (5, b"")
    assert f"come back with: regioncap watch {job}".encode() in found.stderr


def test_watch_says_why_a_job_waits_and_for_how_long_to_scripts_too(
    system: System, folder: Path
) -> None:
    job = _unqueued_job(system, write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))
    why = "the S3 store refused 'sources/locked.png': AccessDenied"
    waits = Waits(system.services.redis, job, "render", "nobody-looks-here")
    waits.put(0, "store-refused", why, pause_s=600.0)

    shown = system.command("watch", job, "--timeout", "0")
    told = system.command("watch", job, "--timeout", "0", "--json")
    waits.forget(0)
    system.command("submit", "--resume", job)
    ended = system.command("watch", job, "--json")

    assert f"render waits: {why}, for ".encode() in shown.stderr
    (looked,) = map(json.loads, told.stdout.splitlines())
    assert (looked["waits"][0]["reason"], looked["state"]) == (why, "waiting")
    assert json.loads(ended.stdout.splitlines()[-1])["state"] == "done"


def test_watch_on_a_terminal_is_live_and_lets_go(system: System, folder: Path) -> None:
    job = _unqueued_job(system, write_jsonl(folder / "in.jsonl", [{"image": "red.png"}]))

    shown, code = on_terminal(system, "watch", job, keys=b"\x03")

    assert code == 130
    assert "0 done · 0 failed · 0 running · 1 queued" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert f"still running; come back with: regioncap watch {job}" in shown


def test_problems_and_the_bar_do_not_run_into_each_other(system: System, folder: Path) -> None:
    file = write_jsonl(folder / "in.jsonl", [{"image": "gone.png"}] * 3)

    shown, code = on_terminal(system, "validate", str(file), "--limit", "3")

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n").split("\n")
    assert code == 2
    assert sum(line.startswith(f"{file}:") for line in lines) == 3


def test_tables_are_coloured_on_a_terminal_only(system: System, folder: Path) -> None:
    job = system.command("submit", folder, "--wait").stdout.decode().strip()

    shown, _ = on_terminal(system, "jobs")
    piped = system.command("jobs").stdout
    table, _ = on_terminal(system, "results", job)

    assert "\x1b[" in shown
    assert b"\x1b[" not in piped
    assert piped.split(b"\n")[0].split() == [
        b"JOB", b"STATE", b"RECORDS", b"DONE", b"FAILED", b"CREATED", b"NAME",
    ]  # fmt: skip
    assert "red.png" in table
    assert "CAPTION" in table


@pytest.mark.parametrize(
    "arguments",
    [["status", "JOB"], ["audit", "JOB"], ["prompts", "show", "default"], ["top", "--once"]],
)
def test_one_object_of_json_has_a_version(system: System, arguments: list[str]) -> None:
    photos = ROOT / "regioncap/inputs/examples/photos.jsonl"
    job = system.command("submit", photos).stdout.decode().strip()

    found = system.command(*(job if each == "JOB" else each for each in arguments), "--json")

    assert json.loads(found.stdout)["schema_version"] == SCHEMA_VERSION


def test_config_shows_origins_and_no_secrets(system: System, folder: Path) -> None:
    found = system.command("--s3-bucket", "mine", "config", "show", "--json", cwd=folder)
    settings = {each["name"]: each for each in map(json.loads, found.stdout.splitlines())}

    assert settings["s3_bucket"] == {"name": "s3_bucket", "value": "mine", "origin": "flag"}
    assert settings["s3_endpoint"]["origin"] == "environment"
    assert settings["max_boxes"]["origin"] == "default"
    assert system.stack.settings()["s3_secret_key"].encode() not in found.stdout


def test_doctor_looks_at_everything(system: System) -> None:
    found = system.command("doctor", "--json")
    checks = {check["name"]: check for check in map(json.loads, found.stdout.splitlines())}

    assert found.returncode == 0
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert "conditions of writes hold" in checks["store conditions"]["what"]
    assert {"redis", "redis persistence", "clock", "caption workers", "queues"} <= set(checks)


def test_doctor_names_the_remedy(nowhere: dict[str, str], folder: Path) -> None:
    found = run_command("doctor", env=nowhere | {"NO_COLOR": "1"}, cwd=folder)

    assert found.returncode == 4
    assert b"REGIONCAP_BROKER_URL" in found.stdout
    assert b"REGIONCAP_S3_ENDPOINT" in found.stdout

"""How regions are shown, and what is found in their captions, as a user sees it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from regioncap.client import Client
from regioncap.errors import UsageError
from regioncap.evaluation.as_job import run_job
from regioncap.evaluation.in_process import Variant
from regioncap.evaluation.scenes import make_scene
from regioncap.jobs import audits, catalogue
from regioncap.jobs.cancel import cancel
from regioncap.jobs.status import JobStatus
from regioncap.keys import audit_key, part_key
from regioncap.records import dump_lines
from regioncap.services.progress import Progress
from regioncap.services.spending import Spending
from regioncap.services.store import parse_s3_uri
from regioncap.settings import load_settings
from regioncap.views.pixels import probe
from tests.support.records import coloured
from tests.support.system import System, write_jsonl

RED, BLUE = (200, 30, 30), (20, 40, 200)


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    """A picture with a small red patch and a large blue one."""
    patches = {(40, 40, 70, 70): RED, (200, 100, 600, 440): BLUE}
    coloured((640, 480), patches).save(tmp_path / "a.png")
    boxes = [[40, 40, 30, 30], [200, 100, 400, 340]]
    return write_jsonl(tmp_path / "in.jsonl", [{"image": "a.png", "bbox": boxes}])


@pytest.mark.parametrize(
    ("mode", "views", "requests"),
    [
        ("marks", ["marks", "marks"], 1),
        pytest.param("crop", ["crop", "crop"], 2, marks=pytest.mark.more),
        ("marks+crop", ["crop", "marks"], 2),
    ],
)
def test_region_mode(
    system: System, input_file: Path, mode: str, views: list[str], requests: int
) -> None:
    [record] = system.captioned(input_file, "--region-mode", mode)

    assert record["region_mode"] == mode
    assert [region["view"] for region in record["regions"]] == views
    assert "red" in record["regions"][0]["caption"]
    assert "blue" in record["regions"][1]["caption"]
    assert record["usage"]["requests"] == len(record["pictures"]) == requests
    assert (record["image_with_bbox"] is None) == (mode == "crop")


@pytest.mark.more
def test_whole_pictures_and_fields_beside_captions(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "mine.json"
    fields = {"colour": {"enum": ["red", "blue", "other"]}, "note": {"type": "string"}}
    schema.write_text(json.dumps({"type": "object", "properties": fields}))

    [record] = system.captioned(input_file, "--image-caption", "--schema", schema)

    assert record["image_caption"].endswith(".")
    assert [region["attributes"]["colour"] for region in record["regions"]] == ["red", "blue"]
    assert record["prompt_version"] == "fields-2"
    assert record["usage"]["requests"] == len(record["pictures"]) == 2
    assert [each["regions"] for each in record["answers"]] == [[1, 2], []]
    assert record["image_caption"] not in record["answer"]
    job = record["result_file"].split("/")[4]
    page = tmp_path / "view.html"
    system.command("view", job, "-o", page)
    assert record["image_caption"] in page.read_text("utf-8")


def test_captions_are_asked_back(system: System, input_file: Path) -> None:
    [record] = system.captioned(input_file, "--verify")
    assert [(r["verified"], r["verified_as"]) for r in record["regions"]] == [(True, 1), (True, 2)]
    assert record["usage"]["requests"] == 3
    job = record["result_file"].split("/")[4]
    status = json.loads(system.command("status", job, "--json").stdout)
    assert status["sums"]["quality"]["verified"] == 2


@pytest.mark.more
def test_captions_of_a_finished_job_are_asked_back(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    [record] = system.captioned(input_file)
    assert {region["verified"] for region in record["regions"]} == {None}
    job, store = record["result_file"].split("/")[4], system.services.store
    first, second = record["regions"]
    first["caption"], second["caption"] = second["caption"], "A unicorn."
    store.put(part_key(job, "results", 0), dump_lines([record]))

    asked = system.command("verify", job)
    assert b"1 record is asked back" in asked.stderr
    assert system.command("watch", job, "--timeout", "90").returncode == 0

    [found] = system.services.results(job)
    regions = [(r["caption"], r["verified"], r["verified_as"]) for r in found["regions"]]
    assert regions == [(first["caption"], False, 2), ("A unicorn.", False, None)]
    assert found["usage"]["requests"] == record["usage"]["requests"] + 2
    assert found["answer"] == record["answer"]
    status = json.loads(system.command("status", job, "--json").stdout)
    assert (status["state"], status["sums"]["quality"]["refuted"]) == ("done", 2)
    report = json.loads(system.command("audit", job, "--json").stdout)
    assert report["flags"]["refuted"] == 2
    out = tmp_path / "verified.jsonl"
    system.command("export", job, "--verified", "-o", out)
    exported = json.loads(out.read_text("utf-8"))["regions"]
    assert [(r["caption"], r["why"]) for r in exported] == [
        (None, "verified as 2"),
        (None, "verified as none"),
    ]

    # Asked again for those alone, by a crop; the baseline sees the same there.
    assert b"1 record is asked back" in system.command("verify", job, "--retry").stderr
    assert system.command("watch", job, "--timeout", "90").returncode == 0
    [better] = system.services.results(job)
    assert better["usage"]["requests"] > found["usage"]["requests"]
    assert all(r["status"] == "ok" for r in better["regions"])


def test_a_schema_that_no_grammar_holds_is_refused_at_submit(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "mine.json"
    schema.write_text('{"type": "object", "properties": {"f": {"type": "string", "pattern": "a"}}}')
    with pytest.raises(UsageError, match=r"properties\.f: pattern"):
        system.services.submit(input_file, region_schema=str(schema))
    with pytest.raises(UsageError, match="asks for text, and a schema needs JSON"):
        system.services.submit(input_file, schema="referring", prompt="tied-2")


@pytest.mark.more
def test_pictures_that_the_engine_saw_can_be_brought(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    [record] = system.captioned(input_file, "--region-mode", "marks+crop")
    job = record["result_file"].split("/")[4]

    system.command("results", job, "-o", tmp_path / "out", "--images", tmp_path / "pictures")

    names = [Path(parse_s3_uri(uri)[1]).name for uri in record["pictures"]]
    sizes = [probe((tmp_path / "pictures" / name).read_bytes()) for name in names]
    assert sizes[0] == (644, 476)
    assert sizes[1][0] == sizes[1][1]


@pytest.mark.more
def test_own_prompt_speaks_of_colours_and_places_as_the_model_sees_them(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\n[regions]\nafter = "$count in ${width}x$height: $tags; $boxes"\n')

    [record] = system.captioned(input_file, "--prompt", own)

    assert record["prompt"] == (
        "2 in 644x476: tag 1, red box, is <region1>; tag 2, blue box, is <region2>; "
        "<region1>: [40, 39, 70, 69]; <region2>: [201, 99, 604, 436]"
    )
    assert record["prompt_version"].startswith("own+")


def test_own_prompt_that_cannot_be_filled_is_refused_at_submit(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\n[regions]\nafter = "Say what $regons hold."\n')

    refused = system.command("submit", input_file, "--prompt", own)

    assert (refused.returncode, refused.stdout) == (2, b"")
    assert "$regons" in refused.stderr.decode()


@pytest.mark.more
def test_audit_reports_and_the_gallery_shows_flags(
    system: System, input_file: Path, tmp_path: Path
) -> None:
    again = write_jsonl(tmp_path / "twice.jsonl", [json.loads(input_file.read_text())] * 2)
    [record, _] = system.captioned(again)
    job = record["result_file"].split("/")[4]

    text = system.command("audit", job).stdout.decode()
    report = json.loads(system.command("audit", job, "--json").stdout)
    findings = [
        json.loads(line) for line in system.command("audit", job, "--findings").stdout.splitlines()
    ]
    viewed = system.command("view", job, "-o", tmp_path / "page.html")

    assert "4 regions asked about in 2 records, 0 failed; none flagged, 2 near duplicates" in text
    assert (report["regions"], report["near_duplicates"]) == (4, 2)
    assert [(f["index"], f["region"], f["detail"]) for f in findings] == [
        (1, 1, "0/1"),
        (1, 2, "0/2"),
    ]
    assert viewed.returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert "near-duplicate" in page
    # One number everywhere, as long as the results are the same.
    status = json.loads(system.command("status", job, "--json").stdout)
    assert status["audit"] == report
    assert status["sums"]["quality"]["repeated"] == 0
    assert sum(status["sums"]["quality"]["caption_words"].values()) == 4
    assert "none flagged, 2 near duplicates" in page
    assert b"none flagged, 2 near duplicates" in system.command("status", job).stdout
    store = system.services.store
    success = catalogue.find_success(store, job)
    assert success is not None
    assert audits.kept(store, job, success) is not None
    later = success.model_copy(update={"finished": success.finished + timedelta(seconds=1)})
    assert audits.kept(store, job, later) is None
    store.put(audit_key(job), b"{")
    assert audits.kept(store, job, success) is None


@pytest.mark.more
def test_flagged_records_are_captioned_again(system: System, input_file: Path) -> None:
    [record] = system.captioned(input_file)
    job = record["result_file"].split("/")[4]
    key = part_key(job, "results", 0)
    good = system.services.store.get(key)
    record["regions"][0]["caption"] = "The red box"
    system.services.store.put(key, dump_lines([record]))

    untouched = system.command("retry", job)
    retried = system.command("retry", job, "--flagged")
    watched = system.command("watch", job, "--timeout", "60")

    assert "nothing to run again" in untouched.stderr.decode()
    assert "1 record runs again" in retried.stderr.decode()
    assert watched.returncode == 0
    assert system.services.store.get(key) == good


def test_eval_has_the_running_system_caption_scenes(system: System) -> None:
    options = ["--kinds", "colours, large", "--scenes", "2", "--modes", "marks,crop", "--json"]

    done = system.command("eval", "--as-jobs", *options)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr.decode()
    assert [row["variant"] for row in rows] == ["marks v1 default x10", "crop default"]
    assert all(row["right"] == 1 and row["engine"] == "baseline" for row in rows)
    assert [row["requests"] for row in rows] == [2, rows[1]["regions"]]
    listed = system.command("jobs", "--json").stdout.decode()
    assert "eval marks v1 default x10" in listed


def test_eval_as_jobs_chooses_no_engine(system: System) -> None:
    done = system.command("eval", "--as-jobs", "--engine", "baseline")

    assert done.returncode == 2
    assert "leave out --engine" in " ".join(done.stderr.decode().replace("│", " ").split())


def test_eval_whose_job_is_cancelled_says_so(system: System) -> None:
    client = system.services
    scene = make_scene("colours", "large", 2, seed=1)

    def stop(status: JobStatus) -> None:
        cancel(
            client.store,
            Progress(client.redis, status.job),
            catalogue.load(client.store, status.job),
        )

    with pytest.raises(UsageError, match="was cancelled"):
        run_job(Variant("marks", "v1", 10, "default"), [scene] * 300, client, stop)


def test_eval_whose_job_pauses_at_its_limit_says_so(system: System) -> None:
    settings = load_settings(**system.stack.settings(), max_gpu_seconds=10)
    client = Client(settings)
    scene = make_scene("colours", "large", 2, seed=1)

    def spend(status: JobStatus) -> None:
        Spending(client.redis, status.job).begin(11_000)

    with pytest.raises(UsageError, match="has paused: its limit of GPU time is reached"):
        run_job(Variant("marks", "v1", 10, "default"), [scene] * 300, client, spend)


@pytest.mark.more
def test_retry_says_what_it_cannot_run_again(system: System, input_file: Path) -> None:
    input_file.write_text(input_file.read_text() + "no JSON\n")
    record, _ = system.captioned(input_file)
    job = record["result_file"].split("/")[4]

    said = system.command("retry", job).stderr.decode()

    assert "1 failed record cannot be run again, as its line of" in said
    assert "there is nothing to run again" in said

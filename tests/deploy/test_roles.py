"""What each role may do, tried on real servers with real users."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from minio import Minio
from minio.error import S3Error
from PIL import Image

from producer.checks import run_checks
from regioncap import keys
from regioncap.client import Client
from regioncap.errors import StoreError
from regioncap.job import Job
from regioncap.jobs.reconcile import Reconciled, reconcile
from regioncap.jobs.retry import Again
from regioncap.local import seaweed
from regioncap.local.files import free_ports
from regioncap.services import due
from regioncap.services.backlog import read_depths
from regioncap.services.broker import connect
from regioncap.services.feeder import Feeder
from regioncap.services.sender import Sender
from regioncap.services.store import Store
from regioncap.settings import Settings, load_settings
from tests.support.compose import ROOT, make_secrets, read_compose
from tests.support.jobs import a_job
from tests.support.rig import wait_until
from tests.support.stages import Silent, Stages

JOB = "20260101-000000-eeeeee"
#: What each role may do to an object: put, get, delete.
RIGHTS = {
    "images/0.jpg": {"producer": "pg", "worker": "g", "reader": "g"},
    "keys/0.json": {"producer": "pg", "worker": "g", "reader": ""},
    f"jobs/{JOB}/job.json": {"producer": "pg", "worker": "g", "reader": "g"},
    f"jobs/{JOB}/budget.json": {"producer": "pg", "worker": "pg", "reader": "g"},
    f"jobs/{JOB}/input/part-00000.jsonl": {"producer": "pg", "worker": "g", "reader": "g"},
    f"jobs/{JOB}/marked/00000000.jpg": {"producer": "g", "worker": "pgd", "reader": "g"},
    f"jobs/{JOB}/results/part-00000.jsonl": {"producer": "g", "worker": "pg", "reader": "g"},
    f"jobs/{JOB}/partial/part-00000.ab.jsonl": {"producer": "g", "worker": "pgd", "reader": "g"},
    f"jobs/{JOB}/_SUCCESS": {"producer": "g", "worker": "pgd", "reader": "g"},
    f"jobs/{JOB}/_CANCELLED": {"producer": "pgd", "worker": "gd", "reader": "g"},
    f"open/{JOB}": {"producer": "pgd", "worker": "pgd", "reader": ""},
    # No star of a policy reaches over a slash into what belongs to another role.
    f"jobs/{JOB}/retry/input/part-00000.json": {"producer": "g", "worker": "gd", "reader": "g"},
    f"jobs/{JOB}/results/input/part-x.jsonl": {"producer": "g", "worker": "pg", "reader": "g"},
    f"jobs/{JOB}/rendered/input/part-x.jsonl": {"producer": "g", "worker": "pg", "reader": "g"},
    f"jobs/{JOB}/versions/0001/input/x": {"producer": "g", "worker": "g", "reader": "g"},
    f"jobs/{JOB}/input/rendered/x": {"producer": "pg", "worker": "g", "reader": "g"},
    "jobs/x/y/job.json": {"producer": "g", "worker": "g", "reader": "g"},
    f"open/{JOB}.0123456789ab": {"producer": "gd", "worker": "pgd", "reader": ""},
    f"ends/{JOB}.0123456789ab": {"producer": "pg", "worker": "pgd", "reader": ""},
    "ends/x/y": {"producer": "g", "worker": "g", "reader": ""},
    "open/x/y": {"producer": "g", "worker": "g", "reader": ""},
}


@pytest.mark.parametrize("key", RIGHTS)
def test_roles_of_the_store(secrets: Path, services: dict[str, int], key: str) -> None:
    admin = _client(secrets, services, "admin")
    wait_until(lambda: seaweed.is_ready(admin, "regioncap"))
    found = {}
    for role in ("producer", "worker", "reader"):
        admin.put_object("regioncap", key, io.BytesIO(b"1"), 1)
        one = _client(secrets, services, role)
        found[role] = "".join(
            letter
            for letter, act in (
                ("p", lambda one=one: one.put_object("regioncap", key, io.BytesIO(b"2"), 1)),
                ("g", lambda one=one: one.get_object("regioncap", key).close()),
                ("d", lambda one=one: one.remove_object("regioncap", key)),
            )
            if _allowed(act)
        )
    admin.remove_object("regioncap", key)
    assert found == RIGHTS[key]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """A store whose users were made for a folder of its bucket."""
    secrets = make_secrets(tmp_path / "secrets", S3_PREFIX="team/captions")
    ports = dict(zip(seaweed.PORT_NAMES, free_ports(len(seaweed.PORT_NAMES)), strict=True))
    command = seaweed.command(
        tmp_path / "weed", ports=ports, access_key="-", secret_key="-", keep_fds=()
    )
    (tmp_path / "weed" / "s3.json").write_bytes((secrets / "store_identities").read_bytes())
    process = subprocess.Popen(
        command.argv, cwd=command.cwd, env=command.env, stderr=subprocess.DEVNULL
    )
    try:
        yield secrets, {"store": ports["s3.port"]}
    finally:
        process.kill()
        process.wait()
        seaweed.remove_sockets(ports)


def test_roles_of_a_folder_of_a_shared_bucket(shared: tuple[Path, dict[str, int]]) -> None:
    secrets, services = shared
    admin = _client(secrets, services, "admin")
    wait_until(lambda: seaweed.is_ready(admin, "regioncap"))
    admin.put_object("regioncap", "other/private.png", io.BytesIO(b"1"), 1)
    (ours, others), rights = (f"team/captions/jobs/{JOB}/", "other/"), {}
    for role in ("producer", "worker", "reader"):
        one = _client(secrets, services, role)
        rights[role] = [_may_list(one, prefix) for prefix in (ours, others, "")]
        assert not _allowed(partial(one.get_object, "regioncap", "other/private.png"))
        put = partial(one.put_object, "regioncap", "images/0.jpg", io.BytesIO(b"2"), 1)
        assert not _allowed(put)
        settings = load_settings(
            s3_endpoint=f"127.0.0.1:{services['store']}",
            s3_access_key=(secrets / f"{role}_s3_access_key").read_text(),
            s3_secret_key=(secrets / f"{role}_s3_secret_key").read_text(),
            s3_prefix="team/captions",
        )
        checks = {check.name: check.status for check in run_checks(settings)}
        assert checks["store"] == ("fail" if role == "reader" else "ok")
    assert rights == {role: [True, False, False] for role in rights}


def _may_list(client: Minio, prefix: str) -> bool:
    return _allowed(lambda: list(client.list_objects("regioncap", prefix)))


def _client(secrets: Path, services: dict[str, int], role: str) -> Minio:
    access, secret = ((secrets / f"{role}_s3_{p}_key").read_text() for p in ("access", "secret"))
    return seaweed.client(f"127.0.0.1:{services['store']}", access, secret)


def test_a_role_that_may_not_remove_is_told_so(secrets: Path, services: dict[str, int]) -> None:
    admin = _client(secrets, services, "admin")
    wait_until(lambda: seaweed.is_ready(admin, "regioncap"))
    access, secret = ((secrets / f"producer_s3_{p}_key").read_text() for p in ("access", "secret"))
    store = Store(
        load_settings(
            s3_endpoint=f"127.0.0.1:{services['store']}", s3_access_key=access, s3_secret_key=secret
        )
    )
    with pytest.raises(StoreError, match="AccessDenied") as caught:
        store.delete_all([f"jobs/{JOB}/results/part-00000.jsonl"])
    assert caught.value.code == "store-refused"


def _allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except S3Error as error:
        if error.code == "AccessDenied":
            return False
        raise
    return True


@pytest.mark.parametrize(
    ("role", "command", "allowed"),
    [
        ("producer", ["LPUSH", "render", "x"], True),
        ("producer", ["LPUSH", "caption.tiny", "x"], True),
        ("producer", ["SET", "render", "x"], False),
        ("producer", ["SADD", "render", "x"], False),
        ("producer", ["SADD", "_kombu.binding.render", "x"], False),
        ("producer", ["SET", "_kombu.binding.render", "x"], False),
        ("producer", ["LPUSH", "regioncap:janitor", "x"], False),
        ("producer", ["LPUSH", "unacked", "x"], False),
        ("producer", ["LPUSH", "rendering", "x"], False),
        ("producer", ["SET", "regioncap:depths:render", "x"], False),
        ("producer", ["EXPIRE", "render", "1"], False),
        ("producer", ["RENAME", "render", "caption.x"], False),
        ("producer", ["COPY", "render", "caption.x"], False),
        ("producer", ["LMOVE", "render", "caption.x", "LEFT", "LEFT"], False),
        ("producer", ["SORT", "render", "STORE", "caption.x"], False),
        ("producer", ["PUBLISH", "x", "x"], False),
        ("producer", ["GET", "regioncap:j:counts"], True),
        ("producer", ["SET", "regioncap:j:counts", "1"], False),
        ("producer", ["BRPOP", "render", "1"], False),
        ("producer", ["DEL", "render"], False),
        ("producer", ["HDEL", "unacked", "x"], False),
        ("producer", ["KEYS", "*"], False),
        ("producer", ["FLUSHALL"], False),
        ("producer", ["CONFIG", "GET", "*"], False),
        ("producer", ["EVAL", "return 1", "0"], False),
        ("producer", ["SETBIT", "regioncap:j:rendered", "4294967295", "1"], False),
        ("producer", ["HSET", "regioncap:j:parts", "0", "{}"], False),
        ("producer", ["HSET", "unacked", "x", "x"], False),
        ("producer", ["ZADD", "unacked_index", "0", "x"], False),
        ("producer", ["ZADD", "regioncap:later:render", "0", "x"], False),
        ("producer", ["SET", "regioncap:worker:render:h:1", "{}"], False),
        ("producer", ["SET", "regioncap:janitor", "1"], False),
        ("producer", ["SET", "regioncap:j:due:render:more", "1"], True),
        ("producer", ["ZADD", "regioncap:turns:render", "0", "j"], True),
        ("producer", ["SETBIT", "regioncap:j:due:render", "4294967295", "1"], False),
        ("producer", ["SET", "regioncap:mark:render", "9"], False),
        *[
            ("producer", [*words.split()], False)
            for words in (
                "RPUSH render x",
                "LPUSHX regioncap:x x",
                "LSET render 0 x",
                "LTRIM render 1 0",
                "LREM render 0 x",
                "LINSERT render BEFORE x y",
                "RPOP render",
                "RPOPLPUSH render x",
                "UNLINK render",
                "GETDEL render",
                "GETSET render x",
                "APPEND render x",
                "SETRANGE render 0 x",
                "SETEX render 1 x",
                "PERSIST render",
                "BITOP NOT render x",
                "PFADD render x",
                "XADD render * a b",
                "RESTORE render 0 x",
                "FLUSHDB",
                "SWAPDB 0 1",
                "SCRIPT FLUSH",
                "FUNCTION FLUSH",
                "FCALL f 0",
                "SUBSCRIBE x",
                "PSUBSCRIBE *",
                "MONITOR",
                "CLIENT KILL TYPE normal",
                "CLIENT PAUSE 1",
                "CLIENT LIST",
                "SHUTDOWN NOSAVE",
                "REPLICAOF NO ONE",
                "SAVE",
                "MIGRATE h 1 k 0 1",
                "ACL WHOAMI",
            )
        ],
        ("worker", ["RPOP", "render"], True),
        ("worker", ["SET", "regioncap:j:counts", "1"], True),
        ("worker", ["SET", "somebody:else", "1"], False),
        ("worker", ["FLUSHALL"], False),
        ("worker", ["CONFIG", "SET", "dir", "/"], False),
        ("worker", ["ACL", "LIST"], False),
    ],
)
def test_roles_of_redis(
    secrets: Path, services: dict[str, int], role: str, command: list[str], allowed: bool
) -> None:
    url = (secrets / f"{role}_broker_url").read_text()
    url = url.replace("@redis:6379", f"@127.0.0.1:{services['redis']}")
    with redis.Redis.from_url(url) as client:
        if allowed:
            client.execute_command(*command)
        else:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def _settings(secrets: Path, services: dict[str, int], role: str) -> Settings:
    url = (secrets / f"{role}_broker_url").read_text()
    return load_settings(
        broker_url=url.replace("@redis:6379", f"@127.0.0.1:{services['redis']}"),
        s3_endpoint=f"127.0.0.1:{services['store']}",
        s3_access_key=(secrets / f"{role}_s3_access_key").read_text(),
        s3_secret_key=(secrets / f"{role}_s3_secret_key").read_text(),
    )


def test_redis_6_knows_the_words_of_a_worker_s_rules() -> None:
    """Rights of a key (`%R~`) and selectors are newer; docs/security.md says what that means."""
    rules = ROOT / "deploy/security/redis"
    assert not {"%", "("} & set((rules / "worker.acl").read_text())
    assert {"%", "("} < set((rules / "producer.acl").read_text())
    told = (ROOT / "docs/security.md").read_text()
    assert "The producer's need Redis 7.0 or newer, or Valkey" in told


def test_who_may_only_submit_has_shards_follow(secrets: Path, services: dict[str, int]) -> None:
    """Those of workers put them into the queue then."""
    settings, job = _settings(secrets, services, "producer"), a_job(JOB, 9)
    with connect(settings) as client:
        others = due.count(client, JOB), read_depths(client, ["render"])["render"].due
        assert others[0] == 0
        Sender(client, settings).render(job, range(job.shards))
        assert due.count(client, JOB) == 9
        assert read_depths(client, ["render"])["render"].due == others[1] + 9
    with connect(_settings(secrets, services, "worker")) as client:
        assert Feeder(client).feed("render")
        assert due.count(client, JOB) < 9
    with connect(settings) as client:
        due.drop(client, JOB)
        assert JOB not in due.jobs(client)


def test_who_may_only_submit_has_a_late_shard_follow(
    secrets: Path, services: dict[str, int]
) -> None:
    """Others set its bit by itself, where this role has no right to."""
    settings, job = _settings(secrets, services, "producer"), a_job(JOB, 5001)
    with connect(settings) as client:
        for shard in (5000, 4999):
            Sender(client, settings).render(job, [shard])
        assert due.first_shards(client, JOB, "render", 9) == [4999, 5000]
        due.drop(client, JOB)


@pytest.fixture
def stages(secrets: Path, services: dict[str, int]) -> Iterator[Stages]:
    """The work of workers, by what they may do."""
    admin = _client(secrets, services, "admin")
    wait_until(lambda: seaweed.is_ready(admin, "regioncap"))
    made = Stages(_settings(secrets, services, "worker"))
    yield made
    made.engine.close()


def test_who_may_only_submit_goes_on_with_a_job(
    secrets: Path, services: dict[str, int], stages: Stages, tmp_path: Path
) -> None:
    """What is noted of it, and its end, are left to workers."""
    client = Client(_settings(secrets, services, "producer"))
    file = tmp_path / "in.jsonl"
    file.write_text('{"image": "red.png"}\n' * 3)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")

    def submit() -> Job:
        return client.load(str(client.submit(file, key="nightly", shard_size=1)))

    def by_worker() -> Reconciled:
        return reconcile(stages.store, progress, Silent(), job)  # type: ignore[arg-type]

    job = submit()
    stages.render.run(job.job, 0)
    stages.caption.run(job.job, 0)
    stages.render.run(job.job, 1)
    progress = stages.progress(job.job)
    progress.drop()
    due.drop(progress.redis, job.job)
    assert submit() == job
    assert due.first_shards(client.redis, job.job, "render", 9) == [2]
    assert due.first_shards(client.redis, job.job, "caption", 9) == [1]
    assert progress.done() == set()

    for shard in (1, 2):
        stages.render.run(job.job, shard)
        stages.caption.run(job.job, shard)
    # As if the last worker had died.
    stages.store.delete(keys.success_key(job.job))
    stages.store.put(keys.open_key(job.job), b"")
    assert submit() == job
    assert client.reconcile(job) == Reconciled("open", [], [])
    assert by_worker().state == "finished"
    assert client.reconcile(job).state == "finished"

    # As if who wanted a record done again had died before the job was opened for that.
    wish = Again(indices={0}).model_dump_json().encode()
    key = keys.retry_key(job.job, 0, keys.new_token())
    _client(secrets, services, "admin").put_object("regioncap", key, io.BytesIO(wish), len(wish))
    assert client.reconcile(job) == Reconciled("open", [], [])
    assert by_worker() == Reconciled("open", [0], [])

    stages.caption.run(job.job, 0)
    assert by_worker().state == "finished"
    due.drop(progress.redis, job.job)


def test_users_of_minio(secrets: Path, tmp_path: Path) -> None:
    users = read_compose(secrets, STORE="minio")
    assert users.service("users")["entrypoint"] == ["/bin/sh", "/minio-users"]
    (script,) = users.service("users")["volumes"]
    laid = users.lay_secrets("users", tmp_path / "secrets")
    mc = tmp_path / "mc"

    def run(answer: str) -> subprocess.CompletedProcess[str]:
        """Runs the script with a client that notes what it is told, and how it answers attach."""
        mc.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/told\ncase $* in *attach*) {answer};; esac'
        )
        mc.chmod(0o755)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SECRETS": str(laid)}
        argv = ["/bin/sh", str(script).split(":")[0]]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    assert run("true").returncode == 0
    alias, *told = (tmp_path / "told").read_text().splitlines()
    admin = [(secrets / f"admin_s3_{part}_key").read_text() for part in ("access", "secret")]
    assert alias == " ".join(["alias set store http://store:9000", *admin])
    assert told == [
        line
        for role in ("worker", "producer", "reader")
        for line in (
            f"admin policy create store {role} {laid}/store_policy_{role}",
            f"admin user add store regioncap-{role} {(laid / f'{role}_s3_secret_key').read_text()}",
            f"admin policy attach store {role} --user regioncap-{role}",
        )
    ]
    assert run("echo 'The policy change is already in effect.'; exit 1").returncode == 0
    refused = run("echo 'no such user'; exit 1")
    assert (refused.returncode, refused.stderr) == (1, "no such user\n")
    for role in ("worker", "producer", "reader"):
        policy = json.loads((laid / f"store_policy_{role}").read_text())
        assert policy == json.loads((ROOT / f"deploy/security/s3/{role}.json").read_text())

"""docker-compose.yml, the Dockerfiles and the scripts beside them."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis

from regioncap import __version__
from regioncap.local.files import free_ports
from regioncap.local.process import Supervisor
from tests.support.compose import PROFILES, ROOT, Compose, command, make_secrets, read_compose, tool
from tests.support.rig import wait_until
from tests.support.system import read_jsonl, run_command

WORKERS = ("render", "caption", "janitor")
PHOTOS = ROOT / "regioncap/inputs/examples/photos.jsonl"


def test_everything_is_confined(compose: Compose) -> None:
    for name, service in compose.file["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "volumes":
            assert service["user"] == "10001:10001", name
            assert service.get("init"), name


def test_every_service_has_a_limit_and_shows_its_health(compose: Compose) -> None:
    once = {"volumes", "users", "setup", "regioncap"}
    for name, service in compose.file["services"].items():
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert ("healthcheck" in service) == (name not in once), name
        assert service.get("restart") == "unless-stopped" or name in once, name


def test_no_service_can_be_reached_from_outside(compose: Compose) -> None:
    ports = {name: s["ports"] for name, s in compose.file["services"].items() if "ports" in s}
    assert set(ports) == {"prometheus", "grafana", "page"}
    assert all(str(port).startswith("127.0.0.1:") for [port] in ports.values())
    assert compose.file["networks"]["services"]["internal"]
    for name in ("redis", "store"):
        assert list(compose.service(name)["networks"]) == ["services"]


def test_without_a_profile_no_gpu_is_needed(secrets: Path) -> None:
    found = read_compose(secrets, *PROFILES).file["services"]
    plain = {name for name, service in found.items() if "profiles" not in service}
    assert plain == {
        "redis", "store", "volumes", "users", "setup", "render", "caption", "janitor",
    }  # fmt: skip
    assert found["caption-gpu"]["profiles"] == ["gpu"]


def test_workers_may_finish_before_they_are_killed(compose: Compose) -> None:
    for name in ("render", "caption", "caption-gpu"):
        service = compose.service(name)
        grace_s = float(service["environment"]["REGIONCAP_GRACE_S"])
        assert _seconds(service["stop_grace_period"]) >= grace_s + 20, name


def test_as_many_processes_draw_as_the_limit_has_cores(compose: Compose) -> None:
    """Celery would start one for each core of the machine, whatever its container may take."""
    service = compose.service("render")
    cores = float(service["deploy"]["resources"]["limits"]["cpus"])
    assert int(service["environment"]["REGIONCAP_CONCURRENCY"]) == cores


def test_every_variable_is_in_the_example(secrets: Path) -> None:
    text = "".join(
        path.read_text()
        for path in [ROOT / "docker-compose.yml", *(ROOT / "deploy/docker").glob("*.yml")]
    )
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    told = dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    assert used == set(told) - {"COMPOSE_PROFILES"}  # which Compose itself reads
    defaults = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", text))
    for name, value in defaults.items():
        if name not in {"ENGINE_ARGS", "STORE_IMAGE"}:
            assert told[name] == value, name


def test_the_store_can_be_minio(secrets: Path) -> None:
    store = read_compose(secrets, STORE="minio").service("store")
    assert "minio" in store["image"]
    assert store["entrypoint"] == ["minio"]
    assert store["environment"]["MINIO_ROOT_PASSWORD_FILE"] == "/run/secrets/admin_s3_secret_key"
    assert {secret["source"] for secret in store["secrets"]} == {
        "admin_s3_access_key", "admin_s3_secret_key",
    }  # fmt: skip


@pytest.mark.parametrize("store", ["seaweedfs", "minio"])
def test_the_store_can_be_one_outside(secrets: Path, store: str) -> None:
    own = {"REGIONCAP_S3_ENDPOINT": "s3.example", "REGIONCAP_S3_SECURE": "true",
           "REGIONCAP_S3_REGION": "eu-central-1", "REGIONCAP_S3_BUCKET": "mine"}  # fmt: skip
    variables = {name.removeprefix("REGIONCAP_"): value for name, value in own.items()}
    found = read_compose(secrets, *PROFILES, STORE=store, STORE_REPLICAS="0", **variables)
    services = found.file["services"]
    # Compose waits for no service of which there is none.
    ours = {name for name, service in services.items() if service["deploy"].get("replicas") == 0}
    assert ours == {"store", "users"}
    asking = {name for name, service in services.items()
              if "REGIONCAP_S3_ENDPOINT" in service.get("environment", {})}  # fmt: skip
    assert {"setup", "page", "regioncap", "caption-gpu", *WORKERS} == asking
    for name in asking:
        assert own.items() <= services[name]["environment"].items(), name
        assert "outside" in services[name]["networks"], name


@pytest.mark.parametrize("store", ["seaweedfs", "minio"])
@pytest.mark.parametrize("profiles", [(), *((name,) for name in PROFILES), PROFILES])
def test_compose_reads_every_combination(
    secrets: Path, profiles: tuple[str, ...], store: str
) -> None:
    assert read_compose(secrets, *profiles, STORE=store).service("setup")["command"] == ["setup"]


def test_secrets_stay_as_they_are(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    make_secrets(secrets)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert len({before[f"{role}_s3_secret_key"] for role in ("admin", "worker", "producer")}) == 3


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_dockerfiles_are_sound(name: str) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or tool("hadolint")
    done = subprocess.run(
        [linter, ROOT / "deploy/docker" / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_dockerfiles_copy_what_the_context_holds(name: str) -> None:
    text = (ROOT / "deploy/docker" / name).read_text()
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        *sources, _ = [part for part in line.split() if not part.startswith("--")]
        for source in sources:
            assert any(fnmatch.fnmatch(source, pattern) for pattern in kept)
            assert (ROOT / source).exists()


def test_every_replica_takes_a_gpu_of_its_own(compose: Compose) -> None:
    """By locks in a folder that they share; tests/unit/producer/test_worker.py has the command."""
    service = compose.service("caption-gpu")
    assert service["command"] == ["worker", "caption", "--gpus", "any"]
    locks = service["environment"]["REGIONCAP_GPU_LOCKS"]
    assert f"gpu-locks:{locks}:rw" in service["volumes"]
    assert "gpu-locks:/volumes/gpu-locks:rw" in compose.service("volumes")["volumes"]


def test_what_a_gpu_worker_compiles_and_fetches_survives(compose: Compose) -> None:
    service = compose.service("caption-gpu")
    assert "models:/models:rw" in service["volumes"]
    for name in ("REGIONCAP_COMPILE_CACHE_DIR", "REGIONCAP_HF_CACHE_DIR"):
        assert f"{service['environment'][name]}/".startswith("/models/")


def test_the_health_of_redis_needs_no_secret(compose: Compose, services: dict[str, int]) -> None:
    _, shell = compose.service("redis")["healthcheck"]["test"]
    tool("redis-cli")
    probe = shell.replace("redis-cli", f"redis-cli -p {services['redis']}")
    assert subprocess.run(["sh", "-c", probe], check=False).returncode == 0
    nobody = redis.Redis(port=services["redis"], username="health", password="-")
    with pytest.raises(redis.exceptions.NoPermissionError):
        nobody.info()
    stranger = redis.Redis(port=services["redis"])
    with pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def test_redis_keeps_what_it_is_given(secrets: Path, services: dict[str, int]) -> None:
    url = (secrets / "worker_broker_url").read_text()
    with redis.Redis.from_url(url.replace("@redis:6379", f"@127.0.0.1:{services['redis']}")) as one:
        told: Any = one.info()
    assert told["aof_enabled"] == 1
    assert (told["maxmemory"], told["maxmemory_policy"]) == (2**30, "noeviction")


def test_its_commands_caption_a_file(
    compose: Compose, services: dict[str, int], tmp_path: Path
) -> None:
    done = _run(compose, "setup", ["setup"], services, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    metrics_ports = dict(zip(WORKERS, free_ports(len(WORKERS)), strict=True))
    processes = Supervisor(tmp_path / "logs", keep_fds=())
    try:
        for name, port in metrics_ports.items():
            assert compose.service(name)["command"][0] == "worker"
            argv = [sys.executable, "-m", "producer", *compose.service(name)["command"]]
            environment = _environment(compose, name, services, tmp_path)
            environment["REGIONCAP_METRICS_PORT"] = str(port)
            processes.start(command(name, argv, tmp_path, environment))
        submitted = _run(compose, "regioncap", ["submit", PHOTOS, "--wait"], services, tmp_path)
        assert submitted.returncode == 0, submitted.stderr.decode()
        job = submitted.stdout.decode().split()[0]
        out = tmp_path / "out.jsonl"
        found = _run(compose, "regioncap", ["results", job, "-o", out], services, tmp_path)
        assert found.returncode == 0, found.stderr.decode()
        for name, port in metrics_ports.items():
            argv = _probe(compose, name, port)
            assert subprocess.run(argv, check=False, cwd=ROOT).returncode == 0
        looked = _run(compose, "regioncap", ["top", "--once", "--json"], services, tmp_path)
        kinds = {worker["kind"] for worker in json.loads(looked.stdout)["workers"]}
        assert kinds == {"render", "caption"}
        metrics = {name: _metrics(port) for name, port in metrics_ports.items()}
        environment = _environment(compose, "render", services, tmp_path)
        assert _celery_inspect("render", environment).returncode == 69  # nobody answers
    finally:
        processes.stop()
    _check_metrics(metrics)
    _check_logs(tmp_path / "logs", job)
    records = read_jsonl(out)
    assert len(records) == len(PHOTOS.read_text().splitlines())
    assert all(record["engine"] == "baseline" and record["answer"] for record in records)
    # With the admin's users, as on Kubernetes.
    cleaned = _run(compose, "setup", ["gc", "--older-than", "0h", "--delete"], services, tmp_path)
    assert cleaned.returncode == 0, cleaned.stderr.decode()
    assert job in cleaned.stdout.decode()
    gone = _run(compose, "regioncap", ["status", job], services, tmp_path)
    assert gone.returncode == 6


def test_its_page_shows_jobs_to_who_has_the_token(
    compose: Compose, services: dict[str, int], secrets: Path, tmp_path: Path
) -> None:
    """With the reader's user, who has none in Redis."""
    assert _run(compose, "setup", ["setup"], services, tmp_path).returncode == 0
    submitted = _run(compose, "regioncap", ["submit", PHOTOS], services, tmp_path)
    assert submitted.returncode == 0, submitted.stderr.decode()
    job = submitted.stdout.decode().strip()
    (port,) = free_ports(1)
    argv = list(compose.service("page")["command"])
    assert argv[-1] == "/run/secrets/page_token"
    argv[-1], argv[argv.index("0.0.0.0")] = str(secrets / "page_token"), "127.0.0.1"
    processes = Supervisor(tmp_path / "logs", keep_fds=())
    root = f"http://127.0.0.1:{port}"
    try:
        processes.start(
            command(
                "page",
                [sys.executable, "-m", "producer", *argv, "--port", str(port)],
                tmp_path,
                _environment(compose, "page", services, tmp_path),
            )
        )
        wait_until(lambda: _answers(f"{root}/healthz"))
        probe = [*compose.service("page")["healthcheck"]["test"][1:-1], str(port)]
        probe[0] = sys.executable
        assert subprocess.run(probe, check=False, cwd=ROOT).returncode == 0
        assert not _answers(f"{root}/")
        token = (secrets / "page_token").read_text()
        for path in ("/", f"/jobs/{job}", f"/jobs/{job}/pictures/0/clean"):
            request = urllib.request.Request(
                root + path, headers={"Authorization": f"Bearer {token}"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert path.endswith("clean") or job in answer.read().decode()
    finally:
        processes.stop()
    assert token not in (tmp_path / "logs/page.log").read_text()


def test_prometheus_starts_as_the_file_says(compose: Compose, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    prometheus = compose.service("prometheus")
    swaps = {
        "--config.file=/etc/prometheus": f"--config.file={ROOT / 'deploy/prometheus'}",
        "--storage.tsdb.path=/prometheus": f"--storage.tsdb.path={tmp_path}",
    }
    argv = list(prometheus["command"])
    for old, new in swaps.items():
        assert any(part.startswith(old) for part in argv)
        argv = [part.replace(old, new) for part in argv]
    argv = [tool("prometheus"), *argv, f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    address = prometheus["healthcheck"]["test"][-1].replace("9090", str(port))
    try:
        wait_until(lambda: process.poll() is not None or _answers(address))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _celery_inspect(kind: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "celery", "-A", f"workers.{kind}", "inspect", "ping"]
    return subprocess.run(argv, env=environment, capture_output=True, check=False)


def _check_logs(folder: Path, job: str) -> None:
    """One line for a shard at each stage, with what is needed to find it again."""
    lines = [
        json.loads(line) for name in ("render", "caption")
        for line in (folder / f"{name}.log").read_text().splitlines()
        if line.startswith("{")  # Celery greets in a form of its own
    ]  # fmt: skip
    told = [line for line in lines if line.get("job") == job and line["level"] == "info"]
    assert [(line["event"], line["stage"], line["shard"], line["outcome"]) for line in told] == [
        ("shard", "render", 0, "done"),
        ("shard", "caption", 0, "done"),
    ]


def _check_metrics(metrics: dict[str, dict[str, float]]) -> None:
    count = len(PHOTOS.read_text().splitlines())
    render, caption = metrics["render"], metrics["caption"]
    assert caption['regioncap_records_total{outcome="ok"}'] == count
    assert caption['regioncap_regions_total{status="ok"}'] >= count
    assert caption['regioncap_shards_total{outcome="done",stage="caption"}'] == 1
    assert caption['regioncap_shard_seconds_count{stage="caption"}'] == 1
    # Counted in a process of the pool, told by the one that forked it.
    assert render['regioncap_shards_total{outcome="done",stage="render"}'] == 1
    assert metrics["janitor"]['regioncap_info{stage="janitor",version="' + __version__ + '"}'] == 1
    for name in ("render", "caption"):
        # A job that another test left unfinished in this store is taken up and dropped.
        ends = "regioncap_shards_total", f'stage="{name}"'
        ended = sum(n for key, n in metrics[name].items() if all(part in key for part in ends))
        assert metrics[name][f'regioncap_attempts_total{{stage="{name}"}}'] == ended
        assert metrics[name]["regioncap_shards_in_hand"] == 0
        assert metrics[name]["regioncap_shards_in_hand_max"] >= 1
        for state in ("queued", "unacked"):
            for queue in ("render", "caption"):
                sample = f'regioncap_backlog_shards{{queue="{queue}",state="{state}"}}'
                assert metrics[name][sample] == 0


def _probe(compose: Compose, name: str, port: int) -> list[str]:
    """A worker's health check, for the port that it has here."""
    _, python, *arguments = compose.service(name)["healthcheck"]["test"]
    assert python == "python3"
    return [sys.executable, *(str(port) if part == "9464" else part for part in arguments)]


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        sample: float(value)
        for sample, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")
    }


def _run(
    compose: Compose, name: str, arguments: list[str | Path], services: dict[str, int], folder: Path
) -> subprocess.CompletedProcess[bytes]:
    environment = _environment(compose, name, services, folder)
    return run_command(*arguments, env=environment, cwd=folder)


def _environment(
    compose: Compose, name: str, services: dict[str, int], folder: Path
) -> dict[str, str]:
    """A service's environment, with this machine's addresses in place of the network's."""
    laid = folder / f"{name}-secrets"
    if not laid.exists():
        compose.lay_secrets(name, laid)
        if (url := laid / "regioncap_broker_url").exists():  # a reader has none
            said = url.read_text().replace("@redis:6379", f"@127.0.0.1:{services['redis']}")
            url.write_text(said)
    environment = {
        key: str(value) for key, value in compose.service(name)["environment"].items() if value
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REGIONCAP_")}
    return (
        inherited
        | environment
        | {
            "REGIONCAP_SECRETS_DIR": str(laid),
            "REGIONCAP_S3_ENDPOINT": f"127.0.0.1:{services['store']}",
            "PYTHONPATH": str(ROOT),
        }
    )


def _line(replica: subprocess.Popen[Any]) -> str:
    assert replica.stdout is not None
    return str(replica.stdout.readline())


def _seconds(duration: str) -> float:
    total = 0.0
    for number, unit in re.findall(r"([\d.]+)([hms])", duration):
        total += float(number) * {"h": 3600, "m": 60, "s": 1}[unit]
    return total

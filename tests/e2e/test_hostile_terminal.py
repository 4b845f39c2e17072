"""Every command on a terminal, about a job whose every text would command that terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from producer.cli import COMMANDS
from regioncap import keys
from regioncap.records import dump_lines
from regioncap.services.broker import connect
from tests.support.system import ROOT, System, write_jsonl

#: Sets a window's title, turns text red, rings, goes back, C1, and turns the order of what is read;
#: last, rich's own markup, broken.
EVIL = "x\x1b]0;OWNED\x07\x1b[31mred\x08\x9b31m\x7f\u202egpj.\u2066[/bold]"
#: A name that a file can have.
EVIL_FILE = EVIL.replace("/", "") + ".jpg"

#: What no text may bring to a terminal; what rich itself sends are colours and moves.
NEVER = ("\x1b]", "\x07", "\x08", "\x7f", "\x9b", "\u202e", "\u2066", "\x1b[31mred")

#: What each command is asked; JOB, FILE, PICTURE and EDITS are put in.
ASKED: dict[str, list[list[str]]] = {
    "validate": [["validate", "FILE"]],
    "submit": [["submit", "FILE", "--name", EVIL], ["submit", EVIL]],
    "jobs": [["jobs"], ["jobs", "--json"]],
    "status": [["status"], ["status", "JOB"], ["status", "--json"], ["status", EVIL]],
    "watch": [["watch", "JOB"]],
    "results": [
        ["results", "JOB", "--json"],
        ["results", "JOB"],
        ["results", "JOB", "--failed"],
        ["results", "JOB", "--follow"],
    ],
    "audit": [["audit", "JOB"], ["audit", "JOB", "--findings"]],
    "view": [["view", "JOB", "-o", "page.html"]],
    "export": [
        ["export", "JOB", "-o", EVIL, "-f", "csv"],
        ["export", "JOB", "-o", "-", "-f", "csv"],
        ["export", "JOB", "-o", "-", "-f", "jsonl"],
        ["export", "JOB", "-o", "-", "-f", "coco"],
    ],
    "import-edits": [["import-edits", "JOB", "EDITS"]],
    "reconcile": [["reconcile", "JOB"]],
    "top": [["top", "--once"]],
    "gc": [["gc", "JOB"], ["gc", EVIL]],
    "doctor": [["doctor"]],
    "config": [["config", "show"]],
    "marks": [["marks", "PICTURE", "--boxes", "[[1,1,9,9]]", "-o", "out.png"]],
    "prompts": [["prompts", "show", EVIL]],
    "retry": [["retry", "JOB"]],
    "verify": [["verify", "JOB"], ["verify", EVIL]],
    "resume": [
        ["resume", "JOB", "--max-gpu-seconds", "9"],
        ["resume", EVIL, "--max-gpu-seconds", "9"],
    ],
    "cancel": [["cancel", "JOB"]],
}
#: Those that print nothing of others, or run until they are stopped.
LEFT_OUT = {"init", "demo", "up", "down", "setup", "worker", "eval", "serve"}


def test_all_commands_are_asked() -> None:
    named = {name for commands in COMMANDS.values() for name in commands}
    assert named == set(ASKED) | LEFT_OUT


@pytest.fixture(scope="module")
def folder(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An input, its job, done, and edits of its results."""
    folder = tmp_path_factory.mktemp("evil")
    Image.effect_noise((64, 64), 90).convert("RGB").save(folder / EVIL_FILE)
    records = [
        {"image": EVIL_FILE, "bbox": [[1, 1, 30, 30]], "id": EVIL, EVIL: EVIL},
        {"image": f"missing-{EVIL}", "bbox": [[1, 1, 30, 30]], "id": EVIL},
        {"image": EVIL_FILE, "bbox": [[500, 500, 9, 9], EVIL]},
    ]
    file = write_jsonl(folder / "evil.jsonl", records)
    arguments = ("--name", EVIL, "--label", f"a={EVIL}", "--wait")
    done = system.command("submit", file, *arguments)
    job = done.stdout.decode().split()[0]
    _say_evil(system, job)
    (folder / "job").write_text(job)
    result = system.command("results", job, "-o", folder / "edits.jsonl")
    assert result.returncode == 0, result.stderr.decode()
    edits = [json.loads(line) for line in (folder / "edits.jsonl").read_text().split("\n") if line]
    edits[0]["regions"][0]["caption"] = f"other {EVIL}"
    write_jsonl(folder / "edits.jsonl", edits)
    return folder


def _say_evil(system: System, job: str) -> None:
    """Lets the engine have said it, and the failed records' errors."""
    store = system.services.store
    key = keys.part_key(job, "results", 0)
    lines = [json.loads(line) for line in store.get(key).split(b"\n") if line]
    for line in lines:
        for region in line["regions"]:
            region.update(caption=EVIL, status="ok", why=None)
        if line["error"]:
            line["error"]["message"] = EVIL
    store.put(key, dump_lines(lines))  # as workers write it: nothing but JSON's own is escaped


@pytest.fixture(scope="module")
def _rubbish_in_redis(system: System) -> Iterator[None]:
    """What may lie in Redis besides."""
    client = connect(system.services.settings)
    base = "regioncap:worker:"
    rubbish = {
        f"{base}caption:h:1": "garbage",
        f"{base}caption:h:2": "[]",
        f"{base}caption:h:3": json.dumps({"kind": "caption", "host": EVIL}),
        f"{base}render:h:4": json.dumps(
            {"kind": "render", "host": EVIL, "pid": 1, "since": 1.0, "queue": EVIL,
             "in_hand": [{"seconds": 1}]}
        ),
        f"{base}render:h:5": json.dumps(
            {"kind": "render", "host": EVIL, "pid": 1, "since": 1.0, "queue": EVIL, "engine": EVIL,
             "in_hand": [{"job": EVIL, "shard": 1, "seconds": 1}]}
        ),
        f"{base}render:h:6": "[" * 5000,
    }  # fmt: skip
    for key, value in rubbish.items():
        client.set(key, value, ex=600)
    client.lpush(f"{base}render:h:7", "x")
    yield
    client.delete(*rubbish, f"{base}render:h:7")


@pytest.mark.usefixtures("_rubbish_in_redis")
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(name, number, marks=[pytest.mark.more] if number else [])
        for name, asked in ASKED.items()
        for number in range(len(asked))
    ],
)
def test_no_text_commands_the_terminal(
    name: str, number: int, system: System, folder: Path
) -> None:
    places = {
        "JOB": (folder / "job").read_text(),
        "FILE": "evil.jsonl",
        "PICTURE": EVIL_FILE,
        "EDITS": "edits.jsonl",
    }
    argv = [places.get(word, word) for word in ASKED[name][number]]
    seen = _on_terminal(argv, system, folder)
    assert not [text for text in NEVER if text in seen]
    assert "[internal]" not in seen
    assert "Traceback" not in seen


def _on_terminal(argv: list[str], system: System, folder: Path) -> str:
    """All that a command writes to its terminal until it ends."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", *argv],
        env=system.env | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"},
        cwd=folder, stdin=child, stdout=child, stderr=child, start_new_session=True,
    )  # fmt: skip
    os.close(child)
    seen = bytearray()
    try:
        while piece := os.read(parent, 65536):
            seen += piece
    except OSError:  # on Linux, the end
        pass
    process.wait(60)
    os.close(parent)
    return seen.decode(errors="replace")

"""What the benches of an engine rest on: pictures drawn ahead, and how much nobody has taken."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bench import drawing
from bench.occupancy import untaken
from regioncap import keys
from regioncap.client import Client
from regioncap.jobs.ends import Ends
from regioncap.jobs.janitor import Janitor
from regioncap.jobs.submit import submit
from regioncap.records import InputRecord
from regioncap.settings import load_settings

#: More than are drawn ahead of captions, or wait in a list, where nobody captions.
SHARDS = 24


def test_all_of_a_job_is_drawn_ahead_and_waits_for_captions(
    stack_settings: dict[str, str], tmp_path: Path
) -> None:
    queue = "caption.nobody"
    client = Client(load_settings(**stack_settings, queue=queue, shard_size=1))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    records = [InputRecord(index=n, line=n + 1, image="a.png", bbox=[]) for n in range(SHARDS)]
    job, _ = submit(records, store=client.store, settings=client.settings, root=tmp_path)

    drawing.draw(client.settings, [job])
    parts = [keys.part_key(job.job, "rendered", shard) for shard in range(SHARDS)]
    assert all(client.store.exists(part) for part in parts)
    assert untaken(client.redis, queue) == 0, "nobody has asked for captions"

    client.sender.caption(job, range(SHARDS))
    assert untaken(client.redis, queue) == SHARDS > client.redis.llen(queue)
    client.cancel(job.job)


def test_no_janitor_sees_a_job_before_its_turn(
    stack_settings: dict[str, str], tmp_path: Path
) -> None:
    client = Client(load_settings(**stack_settings, queue="caption.aside"))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "in.jsonl").write_text('{"image": "a.png", "bbox": []}\n')
    job = drawing.upload(client, tmp_path / "in.jsonl")
    drawing.draw(client.settings, [job])
    ends = Ends(client.store, client.redis, client.settings)
    janitor = Janitor(client.store, client.redis, client.sender, patience_s=0.0, ends=ends)

    for _ in range(2):  # the first one notes how the job looks
        janitor.round()
    assert untaken(client.redis, job.settings.queue) == 0

    drawing.take_up(client, job)
    for _ in range(2):
        janitor.round()
    assert untaken(client.redis, job.settings.queue) == 1
    client.cancel(job.job)

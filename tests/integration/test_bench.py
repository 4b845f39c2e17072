"""What the benches of an engine rest on: pictures drawn ahead, and how much nobody has taken."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bench import drawing
from bench.occupancy import untaken
from regioncap import keys
from regioncap.client import Client
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

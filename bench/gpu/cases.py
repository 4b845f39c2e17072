"""What is asked of a model in the rows of `bench.gpu`."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from bench import drawing
from regioncap import keys
from regioncap.client import Client
from regioncap.inputs import examples
from regioncap.job import Job
from regioncap.jobs.submit import submit
from regioncap.parallel import map_ahead
from regioncap.records import InputRecord, RenderedRecord, load_lines
from regioncap.views.sizes import CELL_PX, fit_size

#: Different pictures of a case. Their boxes differ from record to record, so that no two marked
#: pictures are alike and no cache of pictures answers.
PICTURES = 96


@dataclass(frozen=True, slots=True)
class Case:
    """Pictures of one size with as many regions each, and how long the answers are."""

    name: str
    #: Of the pictures as they come, pixels.
    size_wh: tuple[int, int]
    regions: int
    max_tokens: int
    #: Its records for one of the first case.
    weight: float

    @property
    def grid_wh(self) -> tuple[int, int]:
        """Of the picture that the model sees, tokens."""
        width, height = fit_size(self.size_wh, 10**7)
        return width // CELL_PX, height // CELL_PX

    @property
    def picture_tokens(self) -> int:
        """Tokens of the picture."""
        return self.grid_wh[0] * self.grid_wh[1]

    def told(self) -> str:
        """The case in words."""
        return (
            f"pictures of {self.picture_tokens} tokens, {self.regions} region"
            f"{'s' if self.regions > 1 else ''}, {self.max_tokens} tokens of answer"
        )


def cases(toy: bool) -> list[Case]:
    """The cases in the order of their importance; the toy's answers are shorter."""
    short, long = (32, 64) if toy else (128, 400)
    return [
        Case("small", (640, 480), 1, short, 1.0),
        Case("large", (1148, 868), 1, short, 0.35),
        Case("regions", (640, 480), 5, short, 0.65),
        Case("long", (640, 480), 1, long, 0.5),
    ]


def write_pictures(folder: Path, case: Case, count: int) -> list[Path]:
    """JPEGs cut from the example photographs."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    files = sorted((examples.examples_dir() / "photos").glob("*.jpg"))
    photos = [Image.open(file).convert("RGB") for file in files]
    paths = []
    for number in range(min(count, PICTURES)):
        photo = rng.choice(photos)
        w, h = (rng.randint(side // 2, side) for side in photo.size)
        x, y = rng.randint(0, photo.width - w), rng.randint(0, photo.height - h)
        out = io.BytesIO()
        photo.crop((x, y, x + w, y + h)).resize(case.size_wh).save(out, "JPEG", quality=90)
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(out.getvalue())
    return paths


def make_job(client: Client, pictures: list[Path], case: Case, records: int, label: str) -> Job:
    """A job of the case, uploaded and set aside; other labels have other boxes."""
    rng = random.Random(f"{case.name} {label}")

    def lines() -> Iterator[InputRecord]:
        for index in range(records):
            picture = pictures[index % len(pictures)]
            boxes = [_box(rng, case.size_wh) for _ in range(case.regions)]
            yield InputRecord(index=index, line=index + 1, image=picture.name, bbox=boxes)

    settings = client.settings.for_job({"max_tokens": case.max_tokens})
    job, _ = submit(lines(), store=client.store, settings=settings, root=pictures[0].parent)
    drawing.set_aside(client, job)
    return job


def _box(rng: random.Random, size_wh: tuple[int, int]) -> list[float]:
    w, h = (rng.randint(side // 16, side // 2) for side in size_wh)
    return [rng.randint(0, size_wh[0] - w), rng.randint(0, size_wh[1] - h), w, h]


def write_questions(client: Client, job: Job, folder: Path) -> Path:
    """What a caption worker would ask about a rendered job, pictures as files; the file's path."""
    folder.mkdir(parents=True)
    parts = [keys.part_key(job.job, "rendered", shard) for shard in range(job.shards)]
    records = [r for key in parts for r in load_lines(RenderedRecord, client.store.get(key))]
    questions = list(map_ahead(partial(_question, client, folder), records))
    file = folder / "questions.json"
    file.write_text(json.dumps(questions))
    return file


def _question(client: Client, folder: Path, record: RenderedRecord) -> dict[str, str]:
    (view,) = record.views
    picture = folder / f"{record.index}.jpg"
    picture.write_bytes(client.store.get(view.key))
    words = view.prompt
    return {
        "image": str(picture),
        "system": words.system,
        "before": words.before,
        "after": words.after,
    }

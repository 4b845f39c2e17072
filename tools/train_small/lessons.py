"""Lessons: marked pictures with questions and answers, made by the product's own code.

Canvases (a made scene as the model sees it, without marks) are kept and shown again with other
numbers, so that what is in a place says nothing of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from regioncap.engines.chat_template import chat_text
from regioncap.evaluation.contents import Content
from regioncap.evaluation.placing import Layout
from regioncap.evaluation.scenes import make_scene
from regioncap.records import Prompt, RegionInView, View
from regioncap.settings import SMALL_MAX_PIXELS
from regioncap.views import crops, marks, prompts
from regioncap.views.boxes import Rect, Size, pixel_rect, scale_xyxy
from regioncap.views.pixels import decode, encode_jpeg, fit, size_of
from regioncap.views.prompts import NONE
from regioncap.views.sizes import fit_size
from tools.train_small.words import (
    COLOURS,
    REGIONS,
    SHAPES,
    answer_json,
    answer_text,
    content_of,
    lone_caption,
)

#: Sizes of the pictures as submitted: landscape, square, portrait.
SOURCES_WH: tuple[Size, ...] = ((640, 480), (560, 560), (480, 640))
Kind = Literal["regions-2", "json-2", "tied-2", "crop", "check", "check-crop"]
_LAYOUTS: tuple[tuple[Layout, float], ...] = (
    ("large", 0.65), ("apart", 0.25), ("crowded", 0.1),
)  # fmt: skip
_KINDS: tuple[tuple[Kind, float], ...] = (
    ("regions-2", 0.68), ("json-2", 0.18), ("tied-2", 0.08), ("crop", 0.06),
)  # fmt: skip
#: Questions about captions, of marked pictures and of crops.
_CHECKS: tuple[tuple[Kind, float], ...] = (("check", 0.9), ("check-crop", 0.1))
#: Whose words a question about a caption follows.
_CHECKED: tuple[tuple[Kind, float], ...] = (("regions-2", 0.7), ("json-2", 0.2), ("tied-2", 0.1))
#: Captions asked back of a picture that are true of no region, and how often one nearly is.
_UNTRUE, _NEARLY = 2, 0.6
#: How often scenes have 1, 2, ... regions: in the first lessons, and later.
_EASY, _USUAL = (6, 4, 2, 1, 1), (1, 2, 3, 4, 6)
#: A token of the picture belongs to a region that covers this much of it, and none that covers
#: less than the second share.
_MOST, _LEAST = 0.5, 0.05
#: A patch belongs to a tag that covers this much of it.
_ON_TAG = 0.4
#: Pools smaller than this are filled before anything is shown again.
_FEWEST = 32


@dataclass(frozen=True, slots=True)
class Canvas:
    """A made scene as the model sees it, without marks."""

    pixels: NDArray[np.uint8]
    boxes_xyxy: list[Rect]
    contents: list[str]


@dataclass(frozen=True, slots=True)
class Marked:
    """A canvas with marks drawn, as it comes to the model."""

    picture: NDArray[np.uint8]
    canvas: Canvas
    #: Numbers on the tags, each with the place in the canvas's lists.
    numbered: list[tuple[int, int]]
    #: Names of the boxes' colours, by number.
    colours: dict[int, str]
    hints: NDArray[np.int64]
    tags: NDArray[np.int64]


@dataclass(slots=True)
class Batch:
    """N lessons on pictures of one size; arrays as the model wants them."""

    pictures: NDArray[np.uint8]
    #: Prompt and answer, (N, length), padded at the end.
    ids: NDArray[np.int64]
    #: 1 for a token of an answer that says what a region holds, less for its others, else 0.
    weights: NDArray[np.float32]
    #: Where the picture's tokens begin, and their rows and columns.
    image_start: int
    grid: tuple[int, int]
    #: For each picture token: the region's number, 0 outside, -1 if unclear; its colour and shape,
    #: -1 outside and if unclear.
    number: NDArray[np.int64]
    #: For each patch, in the model's order: the number of the tag that lies on it, else 0.
    tag: NDArray[np.int64]
    colour: NDArray[np.int64]
    shape: NDArray[np.int64]
    #: Of each caption asked back: its lesson, the token after which the answer comes, and its two
    #: words' tokens, (captions, 4).
    asked: NDArray[np.int64]
    #: The tokens that its answer follows from, (captions, length): those of the picture that the
    #: caption is true of, or what stands before the picture if there are none.
    shown: NDArray[np.bool_]


@dataclass(slots=True)
class Lesson:
    """A picture, a question and its answer."""

    picture: NDArray[np.uint8]
    prompt: list[int]
    answer: list[int]
    hints: NDArray[np.int64]
    tags: NDArray[np.int64]
    #: Of the answer's tokens; by default what tells a colour or a shape weighs most.
    weights: list[float] | None = None
    #: Of each caption asked back: where in the answer its own is, and of which picture tokens it is
    #: true; None if it is true of no region.
    asked: list[tuple[int, NDArray[np.bool_] | None]] = field(default_factory=list)


def make_canvas(
    source_wh: Size, seed: int, count: int | None = None, *, easy: bool = False
) -> Canvas:
    """A scene of shapes, or now and then of bare colours, fitted as the render stage does it.

    Args:
        source_wh: Size of the picture as submitted, pixels.
        seed: Decides all that is not given.
        count: Number of regions, in the layout `large`.
        easy: Whether one or two regions are likelier than more.
    """
    random = Random(seed)  # no secret
    content: Content = "shapes" if random.random() < 0.9 else "colours"
    names, shares = zip(*_LAYOUTS, strict=True)
    layout: Layout = random.choices(names, shares)[0] if count is None else "large"
    count = count or random.choices(range(1, REGIONS + 1), _EASY if easy else _USUAL)[0]
    scene = make_scene("shapes" if layout != "large" else content, layout, count, seed, source_wh)
    view_wh = fit_size(source_wh, SMALL_MAX_PIXELS)
    canvas = fit(decode(scene.image).pixels, view_wh)
    boxes = [pixel_rect(scale_xyxy(box, source_wh, view_wh), view_wh) for box in scene.boxes_xyxy]
    return Canvas(canvas, boxes, [content_of(truth) for truth in scene.truths])


def mark(canvas: Canvas, numbered: list[tuple[int, int]]) -> Marked:
    """Draws the marks of some regions; see `Marked`."""
    size_wh = size_of(canvas.pixels)
    boxes = [canvas.boxes_xyxy[place] for _, place in numbered]
    style = marks.get(marks.DEFAULT)
    drawn = style.layout(size_wh, boxes, [number for number, _ in numbered])
    picture = decode(encode_jpeg(style.draw(canvas.pixels, drawn))).pixels
    colours = {each.number: each.colour for each in drawn}
    tags = _tags(size_wh, {each.number: each.tag_xyxy for each in drawn})
    return Marked(picture, canvas, numbered, colours, _hints(canvas, numbered), tags)


@dataclass(slots=True)
class Teacher:
    """Makes batches without end.

    Args:
        tokenizer: The model's.
        seed: Decides all.
        easy: The batches until scenes have as many regions as they come to have.
        asked_back: The share of batches that ask captions back.
        kept: Canvases, and marked pictures, kept of each size.
    """

    tokenizer: Any
    seed: int
    easy: int = 0
    asked_back: float = 0.0
    kept: int = 2500
    _canvases: dict[int, list[Canvas]] = field(default_factory=dict)
    _pictures: dict[int, list[Marked]] = field(default_factory=dict)
    _made: int = 0
    _random: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # no secret

    def batch(self, size: int, marked: float = 0.3, fresh: float = 0.3) -> Batch:
        """A batch of so many lessons on pictures of one size.

        Args:
            size: How many.
            marked: The share of pictures that no lesson has shown with these marks.
            fresh: The share of these on canvases that no lesson has shown at all.
        """
        random = self._random
        self.easy -= 1
        kinds = _CHECKS if random.random() < self.asked_back else _KINDS
        kind: Kind = random.choices(*zip(*kinds, strict=True))[0]
        # One for all: what stands before the picture is equally long then.
        checked: Kind = random.choices(*zip(*_CHECKED, strict=True))[0]
        which = random.randrange(len(SOURCES_WH))
        lessons = []
        for _ in range(size):
            if kind in ("crop", "check-crop"):
                canvas = self._canvas(which, fresh)
                lessons.append(self._crop_lesson(canvas, is_check=kind == "check-crop"))
                continue
            shown = self._marked(which, marked, fresh)
            if kind == "check":
                lessons.append(self.check_lesson(shown, checked, self._claims(shown)))
            else:
                lessons.append(self._marked_lesson(shown, kind))
        return self.stacked(lessons)

    def _canvas(self, which: int, fresh: float) -> Canvas:
        pool = self._canvases.setdefault(which, [])
        if len(pool) >= _FEWEST and self._random.random() >= fresh:
            return self._random.choice(pool)
        self._made += 1
        seed = self.seed * 1_000_003 + self._made
        canvas = make_canvas(SOURCES_WH[which], seed, easy=self.easy > 0)
        self._keep(pool, canvas)
        return canvas

    def _marked(self, which: int, marked: float, fresh: float) -> Marked:
        pool = self._pictures.setdefault(which, [])
        if len(pool) >= _FEWEST and self._random.random() >= marked:
            return self._random.choice(pool)
        canvas = self._canvas(which, fresh)
        count = len(canvas.contents)
        numbers = list(range(1, count + 1))
        if self._random.random() < 0.5:  # as in one of several rounds; each number is as frequent
            numbers = sorted(self._random.sample(range(1, REGIONS + 1), count))
        places = self._random.sample(range(count), count)
        picture = mark(canvas, list(zip(numbers, places, strict=True)))
        self._keep(pool, picture)
        return picture

    def _keep(self, pool: list[Any], thing: Any) -> None:
        if len(pool) < self.kept:
            pool.append(thing)
        else:
            pool[self._random.randrange(len(pool))] = thing

    def _marked_lesson(self, shown: Marked, kind: Kind) -> Lesson:
        random, asked = self._random, shown.numbered
        if len(asked) > 1 and random.random() < 0.45:
            few = 1 if random.random() < 0.75 else random.randint(1, len(asked) - 1)
            asked = sorted(random.sample(asked, few))
        return self.lesson(shown, kind, asked)

    def lesson(self, shown: Marked, kind: Kind, asked: list[tuple[int, int]]) -> Lesson:
        """A lesson on a marked picture.

        Args:
            shown: The picture.
            kind: The prompt template.
            asked: The regions asked for: number, place in the canvas's lists.
        """
        canvas = shown.canvas
        labels = [RegionInView(n, canvas.boxes_xyxy[place], shown.colours[n]) for n, place in asked]
        ask: prompts.Ask = "regions" if len(asked) == len(shown.numbered) else "again"
        prompt = prompts.build(prompts.built_in(kind), labels, ask=ask)
        pairs = [(number, canvas.contents[place]) for number, place in asked]
        answer = answer_json(pairs) if kind == "json-2" else answer_text(pairs)
        return self._told(shown.picture, prompt, answer, (shown.hints, shown.tags))

    def _claims(self, shown: Marked) -> list[str]:
        """What captions say that are to be asked back: each true of one region or of none."""
        contents = shown.canvas.contents
        claims = [content for content in contents if contents.count(content) == 1]
        # At first each is true of some region: none to everything is a habit that is hard to lose.
        untrue = 0 if claims and self.easy > 0 else _UNTRUE
        claims += dict.fromkeys(self.untrue(contents) for _ in range(untrue))
        self._random.shuffle(claims)
        return claims

    def untrue(self, contents: list[str]) -> str:
        """What none of some regions holds: often something like it, as a model would see it."""
        random = self._random
        while True:
            colour, shape = random.choice(COLOURS), random.choice(SHAPES)
            if random.random() < _NEARLY:
                like = random.choice(contents).split()
                colour, shape = (like[0], shape) if random.random() < 0.5 else (colour, like[1])
            content = f"{colour} {shape}"
            # A bare colour is that of whatever has it.
            if content not in contents and not _fits_a_patch(content, contents):
                return content

    def check_lesson(self, shown: Marked, kind: Kind, contents: Sequence[str]) -> Lesson:
        """A lesson that asks of which regions captions are true, one after the other.

        The first question is asked as the product does; the others follow its answer.

        Args:
            shown: The picture.
            kind: The prompt template of the first question.
            contents: What each caption says; no two of the regions hold it.
        """
        canvas = shown.canvas
        regions = [
            RegionInView(n, canvas.boxes_xyxy[place], shown.colours[n])
            for n, place in shown.numbered
        ]
        if self.easy > 0:  # also numbers that are not there: the right one has to be read
            there = {n for n, _ in shown.numbered}
            absent = [n for n in range(1, REGIONS + 1) if n not in there]
            regions += [RegionInView(n, (0, 0, 28, 28)) for n in absent]
            regions.sort(key=lambda region: region.number)
        view = _view(shown.picture, regions, marks.DEFAULT)
        template = prompts.built_in(kind)
        asked = [
            prompts.build_check(template, view, lone_caption(content))[0] for content in contents
        ]
        told = [
            next((str(n) for n, place in shown.numbered if canvas.contents[place] == content), NONE)
            for content in contents
        ]
        lesson = self._told(shown.picture, asked[0], told[0], (shown.hints, shown.tags))
        lesson.weights = [1.0, 0.5]
        lesson.asked = [(0, _lies_in(told[0], shown.hints))]
        for prompt, answer in zip(asked[1:], told[1:], strict=True):
            turn = f"\n<|im_start|>user\n{prompt.after}<|im_end|>\n<|im_start|>assistant\n"
            question, choice = (self.tokenizer.encode(text) for text in (turn, answer))
            place = len(lesson.answer) + len(question)
            lesson.asked.append((place, _lies_in(answer, shown.hints)))
            lesson.answer += [*question, *choice, self.tokenizer.eos_token_id]
            lesson.weights += [0.0] * len(question) + [1.0] * len(choice) + [0.5]
        return lesson

    def _crop_lesson(self, canvas: Canvas, *, is_check: bool = False) -> Lesson:
        place = self._random.randrange(len(canvas.boxes_xyxy))
        side = fit_size((560, 560), SMALL_MAX_PIXELS)
        crop, box = crops.cut(canvas.pixels, canvas.boxes_xyxy[place], SMALL_MAX_PIXELS)
        picture = decode(encode_jpeg(crop.resize(side))).pixels
        scaled = pixel_rect(scale_xyxy(box, crop.size, side), side)
        number = self._random.randint(1, REGIONS)
        label = RegionInView(number, scaled)
        template = self._random.choice(("regions-2", "json-2"))
        prompt = prompts.build(prompts.built_in(template), [label], ask="crop", size_wh=side)
        shown = Canvas(picture, [scaled], [canvas.contents[place]])
        hints = _hints(shown, [(number, 0)])
        hints[0] = -1  # no number is to be seen
        untagged = _tags(side, {})
        content = canvas.contents[place]
        if is_check:
            is_true = self._random.random() < 0.5
            claim = lone_caption(content if is_true else self.untrue([content]))
            view = _view(picture, [label], "")
            prompt, _ = prompts.build_check(prompts.built_in("regions-2"), view, claim)
            answer = prompts.YES if is_true else prompts.NO
            lesson = self._told(picture, prompt, answer, (hints, untagged))
            lesson.weights = [1.0, 0.5]
            lesson.asked = [(0, hints[1] >= 0 if is_true else None)]
            return lesson
        answer = answer_json([(number, content)]) if template == "json-2" else lone_caption(content)
        return self._told(picture, prompt, answer, (hints, untagged))

    def _told(
        self,
        picture: NDArray[np.uint8],
        prompt: Any,
        answer: str,
        hints: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Lesson:
        tokens = picture.shape[0] * picture.shape[1] // 28**2
        ids = self.tokenizer.encode(chat_text(self.tokenizer, prompt))
        image = self.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        start = ids.index(image)
        prompt_ids = ids[:start] + [image] * tokens + ids[start + 1 :]
        answer_ids = [*self.tokenizer.encode(answer), self.tokenizer.eos_token_id]
        return Lesson(picture, prompt_ids, answer_ids, *hints)

    def stacked(self, lessons: list[Lesson]) -> Batch:
        """The lessons side by side; their pictures are of one size."""
        length = max(len(lesson.prompt) + len(lesson.answer) for lesson in lessons)
        ids = np.full((len(lessons), length), self.tokenizer.pad_token_id, np.int64)
        weights = np.zeros((len(lessons), length), np.float32)
        content = _content_ids(self.tokenizer)
        for row, lesson in enumerate(lessons):
            start, end = len(lesson.prompt), len(lesson.prompt) + len(lesson.answer)
            ids[row, :end] = lesson.prompt + lesson.answer
            usual = np.where(np.isin(lesson.answer, content), 1.0, 0.5)
            weights[row, start:end] = usual if lesson.weights is None else lesson.weights
        image = self.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        height, width = lessons[0].picture.shape[:2]
        hints = np.stack([lesson.hints for lesson in lessons])
        first = lessons[0].prompt.index(image)
        asked, shown = self._gazes(lessons, ids, first)
        return Batch(
            pictures=np.stack([lesson.picture for lesson in lessons]),
            ids=ids,
            weights=weights,
            image_start=first,
            grid=(height // 28, width // 28),
            number=hints[:, 0],
            tag=np.stack([lesson.tags for lesson in lessons]),
            colour=hints[:, 1],
            shape=hints[:, 2],
            asked=asked,
            shown=shown,
        )

    def _gazes(
        self, lessons: list[Lesson], ids: NDArray[np.int64], image_start: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where the answers about captions follow from; `Batch.asked` and `Batch.shown`."""
        content = _content_ids(self.tokenizer)
        asked, shown = [], []
        for row, lesson in enumerate(lessons):
            for place, tokens in lesson.asked:
                if tokens is not None and not tokens.any():
                    continue  # the region has no token of its own
                says = len(lesson.prompt) + place - 1
                words = np.flatnonzero(np.isin(ids[row, :says], content))[-2:]
                asked.append([row, says, *words])
                follows = np.zeros(ids.shape[1], bool)
                if tokens is None:
                    follows[:image_start] = True
                else:
                    follows[image_start : image_start + len(tokens)] = tokens
                shown.append(follows)
        return (
            np.array(asked, np.int64).reshape(-1, 4),
            np.array(shown, np.bool_).reshape(-1, ids.shape[1]),
        )


def _lies_in(choice: str, hints: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Which picture tokens lie in the region of a number; None for none."""
    return None if choice == NONE else hints[0] == int(choice)


def _hints(canvas: Canvas, numbered: list[tuple[int, int]]) -> NDArray[np.int64]:
    """For each picture token, row by row: number, colour and shape of its region, (3, tokens)."""
    height, width = canvas.pixels.shape[:2]
    covered = np.zeros((len(numbered), height // 28, width // 28))
    for row, (_, place) in enumerate(numbered):
        x1, y1, x2, y2 = canvas.boxes_xyxy[place]
        mask = np.zeros((height, width))
        mask[y1:y2, x1:x2] = 1
        covered[row] = mask.reshape(height // 28, 28, width // 28, 28).mean((1, 3))
    best = covered.argmax(0).flatten()
    most = covered.max(0).flatten()
    second = np.sort(covered, 0)[-2].flatten() if len(numbered) > 1 else np.zeros_like(most)
    table = np.array(
        [[number, *_indices(canvas.contents[place])] for number, place in numbered], np.int64
    )
    hints = table[best].T.copy()
    clear = (most >= _MOST) & (second < 0.3)
    hints[0] = np.where(clear, hints[0], np.where(most < _LEAST, 0, -1))
    hints[1:] = np.where(clear, hints[1:], -1)
    return np.asarray(hints)


def _tags(size_wh: Size, tags_xyxy: dict[int, Rect]) -> NDArray[np.int64]:
    """For each patch, in the model's order (2x2 together): the number of the tag on it, else 0."""
    columns, rows = size_wh[0] // 14, size_wh[1] // 14
    grid = np.zeros((rows, columns), np.int64)
    for number, (x1, y1, x2, y2) in tags_xyxy.items():
        mask = np.zeros((size_wh[1], size_wh[0]))
        mask[y1:y2, x1:x2] = 1
        grid[mask.reshape(rows, 14, columns, 14).mean((1, 3)) >= _ON_TAG] = number
    return grid.reshape(rows // 2, 2, columns // 2, 2).transpose(0, 2, 1, 3).flatten()


def _view(picture: NDArray[np.uint8], regions: list[RegionInView], mark_style: str) -> View:
    asked = Prompt(system="", before="", after="")
    return View(
        key="", size_wh=size_of(picture), regions=regions, prompt=asked, mark_style=mark_style
    )


def _fits_a_patch(content: str, contents: list[str]) -> bool:
    colour, shape = content.split()
    others = [each.split() for each in contents]
    return any(colour == c and "patch" in (shape, s) for c, s in others)


def _indices(content: str) -> tuple[int, int]:
    colour, shape = content.split()
    return COLOURS.index(colour), SHAPES.index(shape)


@cache
def _content_ids(tokenizer: Any) -> list[int]:
    """The tokens that tell a colour or a shape."""
    words = [lone_caption(f"{colour} x")[:-3] for colour in COLOURS]
    texts = words + [f" {word[0].lower()}{word[1:]}" for word in words]
    texts += [f" {shape}" for shape in SHAPES]
    ids = [tokenizer.encode(text) for text in texts]
    if any(len(each) != 1 for each in ids):
        raise ValueError("a colour or a shape is not one token")
    return [each[0] for each in ids]

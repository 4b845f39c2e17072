"""The small model's tokenizer: the product's own sentences are one token each, all else is bytes.

A sentence that every question holds costs a small model as much to read as a picture does, and
says nothing new. So each line of the built-in prompts is a token; the names of regions, colours
and shapes are tokens too; what is left is cut into bytes, as in Qwen's own tokenizer.
"""

from __future__ import annotations

from typing import Any

from regioncap.records import Prompt, RegionInView, View
from regioncap.views import marks, prompts
from regioncap.views.marks.palette import PALETTE
from tools.qwen import as_qwen, train_bytes
from tools.train_small.words import COLOURS, REGIONS, SHAPES, answer_json, answer_text, lone_caption

#: Where text is cut before it is looked up: region names, keys of JSON and words stay whole.
_PIECES = (
    r'In <region\d+>,| ?<region\d+>|\.","region\d+":"|\{?"region\d+": ?"'
    r'|There (?:are|is) \d+ regions?:|, beginning with "| In the picture,|;? tag \d+,'
    r"| [a-z]+ box, is"
    r'|(?:system|user|assistant)\n| an? [a-z]+|An? [a-z]+|"\}?| ?[A-Za-z]+| ?\d+|[^\w\s]+\n?|\s+'
)
_VOCABULARY = 2048
#: Starts of texts whose ends differ.
STARTS = ("This time describe only", "Answer with one JSON object:")
#: Stands for a caption.
_CAPTION = "C"
_TEMPLATES = ("regions-2", "json-2", "tied-2")


def make_tokenizer() -> Any:
    """Builds the tokenizer; the same words give the same tokens."""
    from tokenizers import AddedToken, Regex, pre_tokenizers

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw = train_bytes(cut, _corpus(), _VOCABULARY)
    raw.add_tokens([AddedToken(line, normalized=False) for line in _sentences()])
    return as_qwen(raw)


def _sentences() -> list[str]:
    """The texts of the built-in prompts that hold no variables, and starts of those that do."""
    found: dict[str, None] = {}
    for name in _TEMPLATES:
        template = prompts.built_in(name)
        for wording in (template.regions, template.again, template.crop):
            for text in (wording.system, wording.before, wording.after):
                if "$" not in text and text:
                    found[text] = None
    return [*found, *STARTS, *_asked_back()]


def _asked_back() -> list[str]:
    """The words around the caption and the choices of a question about a caption."""
    region = RegionInView(1, (0, 0, 28, 28))
    empty = Prompt(system="", before="", after="")
    found: dict[str, None] = {}
    for style in (marks.DEFAULT, ""):
        view = View(key="", size_wh=(28, 28), regions=[region], prompt=empty, mark_style=style)
        prompt, choices = prompts.build_check(prompts.built_in("regions-2"), view, _CAPTION)
        for part in prompt.after.split(_CAPTION):
            found |= dict.fromkeys(part.split(", ".join(choices)))
    return list(found)


def _corpus() -> list[str]:
    """What questions and answers are made of, often enough that each piece becomes a token."""
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    contents = [" ".join(pair) for pair in pairs] + [f"{colour} patch" for colour in COLOURS]
    texts = ["system\nuser\nassistant\n", " regions: <region1> to <region10>. and ,\n"]
    texts += [f"; tag {n}, {c.name} box, is <region{n}>." for n in range(1, 11) for c in PALETTE]
    texts += [f" In the picture, tag {n}, red box, is" for n in range(1, 11)]
    for content in contents:
        texts.append(lone_caption(content))
        for n in range(1, REGIONS + 6):
            two = [(n, content), (n + 1, content)]
            texts += [answer_text(two), answer_json(two)]
            texts.append(f"There are {n} regions: <region{n}> to and.")
            texts.append(f"There is 1 region: <region{n}>.")
            texts += [f", {n}, none", prompts.YES, prompts.NO, prompts.NONE]
            texts.append(f', beginning with "In <region{n}>, "{{"region{n}":"..."}}')
    return texts

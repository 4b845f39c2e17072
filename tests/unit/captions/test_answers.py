"""Answers as models write them, taken apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.captions.answers import CUT_OFF, EMPTY, MAX_CHARS, NO_WORDS, NOT_IN_ANSWER, parse

BOTH = {1: "A cat.", 2: "A dog."}
BARE = {1: "A cat", 2: "A dog"}


def captions(text: str, numbers: list[int]) -> dict[int, str | None]:
    return {number: answer.caption for number, answer in parse(text, numbers).items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Named by tags
        ("In <region1>, a cat. In <region2>, a dog.", BOTH),
        ("In <region1>, a cat.\nIn <region2>, a dog.", BOTH),
        ("<region 1>: a cat.\n\n<region 2>: a dog.", BOTH),
        ("<Region_1> - A cat.\n<Region_2> - A dog.", BOTH),
        ("<region1>A cat.</region1>\n<region2>A dog.</region2>", BOTH),
        ("<region1>A cat.</region1> and <region2>A dog.</region2>", BOTH),
        ('<region id="1">A cat.</region>\n<region id="2">A dog.</region>', BOTH),
        ("<region1>\nA cat.\n<region2>\nA dog.", BOTH),
        ("[region1] A cat. [region2] A dog.", BOTH),
        ("&lt;region1&gt;: A cat.<br>&lt;region2&gt;: A dog.", BOTH),
        ("\\<region1\\>: A cat.\n\\<region2\\>: A dog.", BOTH),
        ("<region1> shows a cat. <region2> depicts a dog.", BOTH),
        ("The content of <region1> is a cat. The content of <region2> is a dog.", BOTH),
        ("In the region marked as <region1>, a cat. In the region <region2>, a dog.", BOTH),
        # Named by words
        ("Region 1: A cat.\nRegion 2: A dog.", BOTH),
        ("Region #1 - A cat.\nRegion #2 - A dog.", BOTH),
        ("region1: A cat\nregion2: A dog", BARE),
        ("**Region 1**: A cat.\n\n**Region 2**: A dog.", BOTH),
        ("**Region 1:**\nA cat.\n\n**Region 2:**\nA dog.", BOTH),
        ("### Region 1\n\nA cat.\n\n### Region 2\n\nA dog.", BOTH),
        ("**Region 1 (yellow box)**: A cat.\n**Region 2 (red box)**: A dog.", BOTH),
        ("Region One: A cat.\nRegion Two: A dog.", BOTH),
        ("The first region shows a cat. The second region shows a dog.", BOTH),
        ("In region 1, 2 people stand. In region 2, a dog.", {1: "2 people stand.", 2: "A dog."}),
        ("Box 1: A cat\nBox 2: A dog", BARE),
        ("Region (1): A cat.\nRegion no. 2: A dog.", BOTH),
        ("R1: A cat.\nR2: A dog.", BOTH),
        ("Region 1 [yellow]: A cat.\nRegion 2 [red]: A dog.", BOTH),
        ("Tag 1 (red box): A cat.\nTag 2 (blue box): A dog.", BOTH),
        # Named by the numbers of a list
        ("1. A cat. 2. A dog.", BOTH),
        ("Sure. 1) A cat. (2) A dog.", BOTH),
        ("1） A cat.\n2） A dog.", BOTH),
        ("**1.** A cat.\n**2.** A dog.", BOTH),
        ("1. A cat.\n2. A dog.", BOTH),
        ("1) A cat.\n2) A dog.", BOTH),
        ("(1) A cat.\n(2) A dog.", BOTH),
        ("[1] A cat.\n[2] A dog.", BOTH),
        ("- 1: A cat.\n- 2: A dog.", BOTH),
        ("① A cat.\n② A dog.", BOTH),
        ("1. <region1>: A cat.\n2. <region2>: A dog.", BOTH),
        ("* **<region1>**: A cat.\n* **<region2>**: A dog.", BOTH),
        ("1. A cat born 1980.\n2. A dog.", {1: "A cat born 1980.", 2: "A dog."}),
        ("1. A shelf:\n   1. a cup\n   2. a plate\n2. A dog.",
         {1: "A shelf: 1. a cup 2. a plate", 2: "A dog."}),
        ("- <region1>: A cat.\n  -\n- <region2>: A dog.\n3.", BOTH),
        # Tables
        ("| Region | Text |\n|---|:-:|\n| 1 | A cat. |\n| 2 | A dog. |", BOTH),
        ("| <region1> | A cat. |\n| <region2> | A dog. |", BOTH),
        # Languages
        ("区域1：一只猫。\n区域2：一只狗。", {1: "一只猫。", 2: "一只狗。"}),
        ("在<region1>中，一只猫坐着。在<region2>中，一只狗。", {1: "一只猫坐着。", 2: "一只狗。"}),
        ("<region1>是一只猫。<region2>显示了一只狗。", {1: "一只猫。", 2: "一只狗。"}),
        ("区域一：一只猫。第二个区域：一只狗。", {1: "一只猫。", 2: "一只狗。"}),
        ("<region1>中国地图。<region2>：狗。", {1: "中国地图。", 2: "狗。"}),
        ("In <region1> ist eine Katze. In <region2> sitzt ein Hund.",
         {1: "Eine Katze.", 2: "Sitzt ein Hund."}),
        ("Im Bereich 1: Eine Katze.\nIm Bereich 2: Ein Hund.", {1: "Eine Katze.", 2: "Ein Hund."}),
        ("Dans <region1>, un chat. Dans <region2>, un chien.", {1: "Un chat.", 2: "Un chien."}),
        ("Región 1: un gato.\nRegión 2: un perro.", {1: "Un gato.", 2: "Un perro."}),
        ("Область 1: кошка.\nВ <region2> собака.", {1: "Кошка.", 2: "Собака."}),
        ("<region1>には猫がいます。領域2：犬。", {1: "猫がいます。", 2: "犬。"}),
        ("영역 1: 고양이.\n영역 2: 개.", {1: "고양이.", 2: "개."}),
        ("المنطقة ١: قطة.\nالمنطقة ٢: كلب.", {1: "قطة.", 2: "كلب."}),
        ("क्षेत्र 1: बिल्ली।\nक्षेत्र 2: कुत्ता।", {1: "बिल्ली।", 2: "कुत्ता।"}),
        ("Região 1: um gato. Zona 2 é vista.\nRegião 2: um cão.",
         {1: "Um gato. Zona 2 é vista.", 2: "Um cão."}),
        ("Zona 1: un gatto.\nZona 2: un cane.", {1: "Un gatto.", 2: "Un cane."}),
        ("Wilayah 1: kucing.\nWilayah 2: anjing.", {1: "Kucing.", 2: "Anjing."}),
        ("区域1和区域2都显示了猫。", {1: "猫。", 2: "猫。"}),
        # Order, groups, repeats, mentions
        ("In <region2>, a dog. In <region1>, a cat.", BOTH),
        ("<region1> and <region2> show two cats.", {1: "Two cats.", 2: "Two cats."}),
        ("Regions 1 and 2 show cats.", {1: "Cats.", 2: "Cats."}),
        ("Both <region1> and <region2> show cats.", {1: "Cats.", 2: "Cats."}),
        ("<region1> A cat <region2> A dog", BARE),
        ("<region1> to <region2>: cats.", {1: "Cats.", 2: "Cats."}),
        ("In <region1>, a cat.\n" * 5 + "In <region2>, a dog.", BOTH),
        ("In <region1>, a cat. <region1> is also lit. In <region2>, a dog.",
         {1: "A cat. Also lit.", 2: "A dog."}),
        ("In <region1>, a cat. In <region2>, a dog. In <region1>, a cow.", BOTH),
        ("Regions 1 to 2 show a kitchen.\n<region1>: A kettle.\n<region2>: A sink.",
         {1: "A kitchen. A kettle.", 2: "A kitchen. A sink."}),
        ("Both <region1> and <region2> show cats. <region1> is lit. <region2> is not. <region1> is "
         "old.", {1: "Cats. Lit.", 2: "Cats. Not."}),
        ("In <region1>, a man left of <region2>. In <region2>, a dog.",
         {1: "A man left of <region2>.", 2: "A dog."}),
        ("<region1> shows a cat, while <region2> shows a dog.", {1: "A cat", 2: "A dog."}),
        ("In <region1>, a cat, and in <region2>, a dog.", {1: "A cat", 2: "A dog."}),
        ("<region1>: a cat; <region2>: a dog", BARE),
        ("<region1>: a cat, <region2>: a dog", BARE),
        ("The man in <region1> waves. The dog in <region2> barks.",
         {1: "The man waves.", 2: "The dog barks."}),
        ("A cat (<region1>). A dog (<region2>).", BOTH),
        ("In <region1>, a cat. In <region2>, a dog. In <region3>, a cow.", BOTH),
        ("In <region1>, a cat. <region1> is lit. <region1> shows a cat. In <region2>, a dog.",
         {1: "A cat. Lit.", 2: "A dog."}),
        ("The man in <region1> waves. Nobody sits. A cat sees <region1> by <region2>. "
         "The dog in <region2> barks.", {1: "The man waves.", 2: "The dog barks."}),
        # Named behind
        ("A cat <region1>\nA dog <region2>", BARE),
        ("A cat (Region 1)\nA dog (Region 2)", BARE),
        ("A cat - region 1\nA dog - region 2", BARE),
        ("A cat: <region1>\nA dog: <region2>", BARE),
        ("A cat. <region1>\nA dog. <region2>", BOTH),
        ("1. A cat. (<region1>)\n2. A dog. (<region2>)", BOTH),
        ("Here are the captions:\n- A cat. **Region 1**\n- A dog. **Region 2**\nBye!", BOTH),
        ("一只猫。<region1>\n一只狗。<region2>", {1: "一只猫。", 2: "一只狗。"}),
        # Remarks around
        ("There are 2 regions: <region1> to <region2>.\n\nIn <region1>, a cat.\n"
         "In <region2>, a dog.", BOTH),
        ("Sure! Here are the captions of <region1> and <region2>:\n\n<region1>: a cat.\n"
         "<region2>: a dog.\n\nLet me know if you need more!", BOTH),
        ("Region 1: A cat.\nRegion 2: A dog.\n\n---\nOverall, the image shows pets.", BOTH),
        ("<think>Is <region1> a cow?</think>In <region1>, a cat. In <region2>, a dog.", BOTH),
        ("Is <region1> a cow?</think>In <region1>, a cat. In <region2>, a dog.", BOTH),
        ("<think>a</think>In <region1>, a cat. In <region2>, a dog.<think>Or <region1>", BOTH),
        # Dirt
        ('<region1>: "A cat."<|im_end|>\n<region2>: A\x00 \x1bdog.', BOTH),
        ("<region1>:  A\t cat.\r\n<region2>:\u00a0A\u200b dog.", BOTH),
        ("<region1>:\u2028\t\u3000A \u200b \n\n cat.\x0b\x85<region2>:&nbsp;&#8238;A dog.", BOTH),
        ("In <region1>, a cat." + 9000 * "\n" + "In <region2>,  " + 9000 * " " + "a dog.", BOTH),
        ("<region1>: *A* `cat`.\n<region2>: **A** __dog__.", BOTH),
        ("<region1>:\n- A cat\n- on a mat\n<region2>: A dog.", {1: "A cat; on a mat", 2: "A dog."}),
        ("**Region 1: The Cat**\nA cat sits.\n**Region 2: The Dog**\nA dog runs.",
         {1: "The Cat. A cat sits.", 2: "The Dog. A dog runs."}),
        ("<region1>: iPhone on snake_case_name.\n<region2>: 5*3*2 boxes.",
         {1: "iPhone on snake_case_name.", 2: "5*3*2 boxes."}),
        # JSON
        ('{"region1": "A cat.", "region2": "A dog."}', BOTH),
        ('{"1": "A cat.", "2": "A dog."}', BOTH),
        ('{"<region1>": "A cat.", "<region 2>": "A dog."}', BOTH),
        ('[{"region": 1, "caption": "A cat."}, {"region": "<region2>", "text": "A dog."}]', BOTH),
        ('{"regions": [{"id": 1, "caption": "A cat."}, {"id": "2", "caption": "A dog."}]}', BOTH),
        ('{"captions": {"region_1": {"description": "A cat."}, "region_2": ["A dog."]}}', BOTH),
        ('```json\n{\n  "region1": "A cat.",\n  "region2": "A dog."\n}\n```', BOTH),
        ('Here you go: {"region1": "A cat.", "region2": "A dog."} Hope this helps!', BOTH),
        ("{'region1': 'A cat\\'s tail', 'region2': 'A dog's tail'}",
         {1: "A cat's tail", 2: "A dog's tail"}),
        ('{"region1": "A cat.", "region2": "A dog.",}', BOTH),
        ('{region1: "A cat.", region2: "A \\"dog\\"."}', {1: "A cat.", 2: 'A "dog".'}),
        ('{"region1": "A cat.", "region1": "A cow.", "region2": "A dog."}', BOTH),
        ('{"region1": "- A cat\n- a mat", "region2":\n\n    "A dog."',
         {1: "A cat; a mat", 2: "A dog."}),
        ('{\n  region1: "A cat.",\n  region2: "A dog."\n}', BOTH),
        ('{"region1": "In <region1>, a cat.", "region2": "A \\"dog\\"\\u0000."}',
         {1: "A cat.", 2: 'A "dog".'}),
    ],
)  # fmt: skip
def test_captions(text: str, expected: dict[int, str]) -> None:
    assert captions(text, [1, 2]) == expected


@pytest.mark.parametrize(
    ("text", "numbers", "statuses"),
    [
        ("", [1, 2], ["missing", "missing"]),
        ("I'm sorry, but I can't assist with that.", [1, 2], ["refused", "refused"]),
        ("I’m unable to help with identifying people.", [3], ["refused"]),
        ("As an AI language model, I cannot see images.", [1], ["refused"]),
        ("很抱歉，我无法描述这张图片。", [1, 2], ["refused", "refused"]),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", [1], ["refused"]),
        ("I'm sorry, I can't describe <region1>.", [1], ["refused"]),
        ("In <region1>, a cat. In <region2>, I'm sorry, I can't say.", [1, 2], ["ok", "refused"]),
        ('{"region1": "A cat.", "region2": "I cannot assist."}', [1, 2], ["ok", "refused"]),
        ('In <region1>, a sign reads "I can\'t help you".', [1], ["ok"]),
        ("Sorry we're closed, says a sign on the door.", [1], ["ok"]),
        ("In <region1>, a cat left of <region2>.", [1, 2], ["ok", "missing"]),
        ("In <region1>, a man next to a woman, <region2>, walks.", [1, 2], ["ok", "missing"]),
        ("In <region1>, a sign beside <region2> shows a price.", [1, 2], ["ok", "missing"]),
        ("In <region1>, a cat.", [3], ["missing"]),
        ("- A cat.\n- A dog.", [1, 2], ["missing", "missing"]),
        ("A cat. <region1> A dog. <region2>", [1, 2], ["missing", "missing"]),
        ("A cat.\nIt sits. <region1>\nA dog. <region2>", [1, 2], ["missing", "missing"]),
        ("1. A cat.\n2. A dog.\n3. A cow.", [2, 5, 7], ["missing"] * 3),
        ("1. A cat.\n2. A dog.\n3. A cow.", [3], ["missing"]),
        ("0. A cat.\n1. A dog.", [1, 2], ["missing", "missing"]),
        ("<region0> A cat. <region1> A dog.", [1, 2], ["missing", "missing"]),
        ('{"region0": "A cat.", "region1": "A dog."}', [1, 2], ["missing", "missing"]),
        ('[{"id": 0, "caption": "A cat."}, {"id": 1, "caption": "A dog."}]', [1, 2],
         ["missing", "missing"]),
        ('{"1": "A cat.", "2": "A dog.", "3": "A cow."}', [2, 5, 7], ["missing"] * 3),
        ('[{"id": 1, "text": "A cat."}, {"id": 2, "text": "A dog."}]', [2, 3], ["missing"] * 2),
        ('{"region1": "A cat.", "region2": "A dog."}', [2], ["ok"]),
        ("The image shows a street. <region1> A cat. <region2> A dog.", [1, 2], ["ok", "ok"]),
        ("A cat and a dog.", [1, 2], ["missing", "missing"]),
        ("<region1>:\n<region2>: A dog.", [1, 2], ["invalid", "ok"]),
        ("<region1>: N/A\n<region2>: ...", [1, 2], ["invalid", "invalid"]),
        ('{"region1": null, "region2": "none"}', [1, 2], ["invalid", "invalid"]),
        ('{"oops": [1, 2', [1], ["missing"]),
        ("[" * 5000, [1, 2], ["missing", "missing"]),
    ],
)  # fmt: skip
def test_statuses(text: str, numbers: list[int], statuses: list[str]) -> None:
    found = parse(text, numbers)
    assert [found[number].status for number in numbers] == statuses


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("A cat sits on a mat.", "A cat sits on a mat."),
        ("The region contains a cat.", "The region contains a cat."),
        ("Sure! Here is the description:\n\nA cat sits.", "A cat sits."),
        ("1. A cat sits.", "A cat sits."),
        ("A shelf. 1) Books. 2) Cups.", "A shelf. 1) Books. 2) Cups."),
        ("Caption: a cat sits.", "A cat sits."),
        ("In <region3>, a cat sits.", "A cat sits."),
        ("Here is the description of <region3>: A cat sits.", "A cat sits."),
        ('{"caption": "A cat sits."}', "A cat sits."),
        ("A cat {black} sits.\nIt purrs.", "A cat {black} sits. It purrs."),
    ],
)
def test_one_region_needs_no_name(text: str, caption: str) -> None:
    assert captions(text, [3]) == {3: caption}


@pytest.mark.parametrize(
    ("text", "whys"),
    [
        ("In <region1>, a cat. In <region2>, a do", [None, CUT_OFF]),
        ("In <region1>, a cat. In <region2>, a dog. In <region1>, a c", [None, None]),
        ("In <region1>, a ca", [CUT_OFF, NOT_IN_ANSWER]),
        ("A cat. <region1>\nA dog. <region2>\nA co", [None, CUT_OFF]),
        ('{"region1": "A cat.", "region2": "A do', [None, CUT_OFF]),
        (
            '```json\n[{"region": 1, "caption": "A cat."}, {"region": 2, "capt',
            [None, NOT_IN_ANSWER],
        ),
        ('{"region1": "A \\"cat', [CUT_OFF, NOT_IN_ANSWER]),
        ('{"region1": "A cat.", "region2": "A dog."}', [None, None]),
    ],
)
def test_cut_off(text: str, whys: list[str | None]) -> None:
    found = parse(text, [1, 2], finish_reason="length")
    assert [found[1].why, found[2].why] == whys


def test_a_text_beyond_all_bounds_is_cut_off_there() -> None:
    tail = 30_000 * "word " + "\nIn <region3>, a cow.\nIn <region1>, a cat."
    found = parse(f"In <region1>, a cat.\nIn <region2>, a dog.\nIn <region1>, {tail}", [1, 2, 3])
    assert [answer.caption for answer in found.values()] == ["A cat.", "A dog.", None]
    assert parse("word " * (MAX_CHARS // 5), [1])[1].status == "ok"
    assert parse("word " * (MAX_CHARS // 5 + 1), [1])[1].why == CUT_OFF
    # White space counts once.
    assert parse("word \n\t  " * (MAX_CHARS // 6), [1])[1].status == "ok"


@pytest.mark.parametrize("number", ["&#" + "9" * 5000, "&#x" + "9" * 5000, "9" * 5000])
@pytest.mark.parametrize("text", ["<region1> a {};", '{{"region1": {}}}', '{{"{}": "a"}}', "{}. a"])
def test_numbers_of_any_length_are_read(text: str, number: str) -> None:
    check_contract(text.format(number), [1, 2], "stop", as_json=True)


def test_one_unnamed_caption_cut_off() -> None:
    assert parse("A cat sits on", [1], finish_reason="length")[1].why == CUT_OFF


def test_json_asked_for_is_found_behind_free_text() -> None:
    text = 'Region 1: see below. {"region1": "A cat.", "region2": "A dog."}'
    found = parse(text, [1, 2], json=True)
    assert [found[1].caption, found[2].caption] == ["A cat.", "A dog."]


def test_why_tells_empty_from_wordless() -> None:
    found = parse("<region1>:\n<region2>: N/A", [1, 2])
    assert (found[1].why, found[2].why) == (EMPTY, NO_WORDS)


NUMBERS = st.lists(st.integers(1, 99), max_size=6)
MIXTURE = r"""
<region1> <region2> </region1> <region 99 > Region 区域 1 2 一 1. 2) • - * ** ``` json { } [ ] " '
: , . | in and to while shows 是 中 I'm sorry I can't \ <think> &lt; ( )
"""
PIECES = st.sampled_from([*MIXTURE.split(), "\n", "\x00"])


def check_contract(text: str, numbers: list[int], reason: str, as_json: bool) -> None:
    found = parse(text, numbers, finish_reason=reason, json=as_json)
    assert list(found) == list(dict.fromkeys(numbers))
    for answer in found.values():
        assert (answer.status == "ok") == (answer.caption is not None) == (answer.why is None)
        if answer.caption is not None:
            assert answer.caption == " ".join(answer.caption.split()) != ""
            answer.caption.encode("utf-8")


@given(
    st.text(alphabet=st.characters()), NUMBERS, st.sampled_from(["stop", "length"]), st.booleans()
)
def test_any_text(text: str, numbers: list[int], reason: str, as_json: bool) -> None:
    check_contract(text, numbers, reason, as_json)


@given(
    st.lists(PIECES | st.text(max_size=3), max_size=30),
    st.sampled_from(["", " "]),
    NUMBERS,
    st.sampled_from(["stop", "length"]),
    st.booleans(),
)
def test_any_mixture_of_markers(
    pieces: list[str], glue: str, numbers: list[int], reason: str, as_json: bool
) -> None:
    check_contract(glue.join(pieces), numbers, reason, as_json)


CAPTION = st.from_regex(r"[A-Z][a-z]{2,9}( [a-z]{2,9}){1,6}\.", fullmatch=True).filter(
    lambda caption: parse(caption, [1])[1].caption == caption
)
CAPTIONS = st.dictionaries(st.integers(1, 99), CAPTION, min_size=1, max_size=10)


@given(
    CAPTIONS,
    st.sampled_from(["In <region{}>, {}", "<region{}>: {}", "**Region {}**: {}", "- {}. {}"]),
)
def test_well_formed_lines_come_back(expected: dict[int, str], line: str) -> None:
    text = "\n".join(line.format(number, caption) for number, caption in expected.items())
    assert captions(text, list(expected)) == expected


@given(CAPTIONS, st.booleans())
def test_well_formed_json_comes_back(expected: dict[int, str], as_ascii: bool) -> None:
    text = json.dumps({f"region{n}": c for n, c in expected.items()}, ensure_ascii=as_ascii)
    assert captions(text, list(expected)) == expected


@pytest.mark.parametrize(
    "piece", ["<region1> ", "[", '"1":"', "1. ", "* ", "a\n", "in the ", "(", "|"]
)
def test_long_answers_end(piece: str) -> None:
    check_contract(piece * 4000, [1, 2], "length", as_json=True)

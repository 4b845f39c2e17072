"""Prompt templates and the prompts made from them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.errors import UsageError
from regioncap.records import RegionInView
from regioncap.views import prompts
from regioncap.views.prompts import Ask, Template, build, built_in, parse_template

SENTENCE = "Describe the content of each marked region in the image."
MINIMAL = 'name = "mine"\n[regions]\nafter = "$regions"\n'


def labels(*numbers: int) -> list[RegionInView]:
    colours = ("red", "blue", "yellow")
    return [RegionInView(n, (n, 2 * n, 10 * n, 20 * n), colours[n % 3]) for n in numbers]


def named(number: int, colour: str = "") -> RegionInView:
    return RegionInView(number, (0, 0, 1, 1), colour)


def custom(after: str, head: str = "") -> Template:
    return parse_template(
        f"name = \"mine\"\n{head}\n[regions]\nafter = '''{after}'''\n", "mine.toml"
    )


@pytest.mark.parametrize("name", ["reference", "regions-1"])
@pytest.mark.parametrize(
    ("numbers", "count_sentence"),
    [
        ([1, 2], "There are 2 regions: <region1> to <region2>."),
        ([1], "There are 1 regions: <region1> to <region1>."),
        (list(range(11, 21)), "There are 10 regions: <region11> to <region20>."),
        ([2, 5, 7], "There are 3 regions: <region2>, <region5> and <region7>."),
        ([2, 1], "There are 2 regions: <region2> and <region1>."),
    ],
)
def test_recorded_text_is_the_reference_sentence(
    name: str, numbers: list[int], count_sentence: str
) -> None:
    assert build(built_in(name), labels(*numbers)).text == f"{SENTENCE} {count_sentence}"


@pytest.mark.parametrize("name", ["regions-2", "tied-2", "boxes-2", "json-2", "fields-2"])
def test_one_region_is_told_in_the_singular(name: str) -> None:
    assert f"{SENTENCE} There is 1 region: <region4>." in build(built_in(name), labels(4)).text
    two = build(built_in(name), labels(1, 2)).text
    assert f"{SENTENCE} There are 2 regions: <region1> to <region2>." in two
    again = build(built_in(name), labels(4), ask="again").after
    assert again.startswith("This time describe only <region4>")


def test_own_words_for_one_region() -> None:
    text = 'name = "mine"\n[regions]\nafter = "$count boxes"\nafter_one = "a box"\n'
    both = parse_template(text, "mine.toml")
    assert [build(both, labels(*numbers)).after for numbers in ([3], [3, 4])] == [
        "a box",
        "2 boxes",
    ]
    assert build(both, labels(3), ask="again").after == "a box"
    own = parse_template(text + '[again]\nafter = "only $first"\n', "mine.toml")
    assert build(own, labels(3), ask="again").after == "only <region3>"
    assert both.version != custom("$count boxes").version
    with pytest.raises(UsageError, match=r"regions.after_one: unknown variable \$x"):
        parse_template(text.replace("a box", "$x"), "mine.toml")


def test_reference_says_nothing_else() -> None:
    prompt = build(built_in("reference"), labels(1, 2))
    assert prompt.system == ""
    assert prompt.answer_schema is None


def test_tied_says_which_tag_and_colour_is_which_region() -> None:
    prompt = build(built_in("tied-2"), [named(1, "red"), named(3), named(4, "sky")])
    assert prompt.after.endswith(
        "tag 1, red box, is <region1>; tag 3 is <region3>; tag 4, sky box, is <region4>."
    )


def test_boxes_stand_in_the_model_s_own_coordinates() -> None:
    shown = [RegionInView(1, (0, 42, 322, 420), "red")]
    size_wh = (644, 420)
    pixels = build(built_in("boxes-2"), shown, size_wh=size_wh)
    thousandths = build(built_in("boxes-2"), shown, size_wh=size_wh, box_unit="thousandths")
    assert pixels.after.endswith("The boxes are [x1, y1, x2, y2]: <region1>: [0, 42, 322, 420].")
    assert thousandths.after.endswith("<region1>: [0, 100, 500, 1000].")
    assert shown[0].box_xyxy == (0, 42, 322, 420)


def test_json_asks_for_a_key_per_region_in_order() -> None:
    schema = build(built_in("json-2"), labels(2, 5)).answer_schema
    assert schema is not None
    assert list(schema["properties"]) == schema["required"] == ["region2", "region5"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["region2"]["minLength"] == 1


@pytest.mark.parametrize("name", prompts.BUILT_IN)
@pytest.mark.parametrize("ask", ["regions", "again", "crop"])
def test_what_stands_before_the_picture_is_the_same_for_every_record(name: str, ask: Ask) -> None:
    one = build(built_in(name), labels(1), ask=ask)
    other = build(built_in(name), labels(7), ask=ask)
    assert (one.system, one.before) == (other.system, other.before)


@pytest.mark.parametrize("name", prompts.BUILT_IN)
def test_asking_again_keeps_the_words_up_to_the_picture(name: str) -> None:
    first = build(built_in(name), labels(1, 2))
    again = build(built_in(name), labels(2), ask="again")
    assert (first.system, first.before) == (again.system, again.before)
    assert "<region2>" in again.after
    assert "<region1>" not in again.after


# The words are part of what a result records by name: who changes them gives them a new name.
@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("reference", "752e111addc60eee"),
        ("regions-1", "f274d7c2c81a2c0b"),
        ("tied-1", "26cfbd7869cdf932"),
        ("json-1", "d9ac0cf1d4e29989"),
        ("boxes-1", "5023e8ec597baf5a"),
        ("fields-1", "cbcec42f705f9685"),
        ("regions-2", "03807df48e474805"),
        ("tied-2", "545350ef013ee5c0"),
        ("json-2", "351e6246b858bc4f"),
        ("boxes-2", "abf80f2bdcf2b8e0"),
        ("fields-2", "5e8751a755abce33"),
    ],
)
def test_built_in_words_change_only_with_their_name(name: str, digest: str) -> None:
    template = built_in(name)
    assert template.version == template.name == name
    assert template.description
    assert template.digest.startswith(digest)


def test_a_whole_picture_is_asked_about_without_regions() -> None:
    for name in prompts.BUILT_IN:
        prompt = build(built_in(name), [], ask="image", size_wh=(640, 480))
        assert prompt.before.startswith("Describe this picture")
        assert prompt.answer_schema is None
    with pytest.raises(ValueError, match="cannot ask"):
        build(built_in("default"), labels(1), ask="image")


def test_own_words_on_a_whole_picture_may_not_speak_of_regions() -> None:
    text = 'name = "mine"\n[regions]\nbefore = "$regions"\n'
    plain = parse_template(text, "mine.toml")
    own = parse_template(text + '[image]\nbefore = "A $width by $height picture."\n', "mine.toml")
    prompt = build(own, [], ask="image", size_wh=(640, 480))
    assert prompt.before == "A 640 by 480 picture."
    assert own.version != plain.version
    with pytest.raises(UsageError, match=r"image: \$boxes says something of regions"):
        parse_template(text + '[image]\nafter = "$boxes"\n', "mine.toml")


def test_the_words_of_templates_that_say_nothing_on_pictures_do_not_change_their_names() -> None:
    # As it was named before templates could say something on whole pictures.
    assert custom("$regions").version == "mine+6e28567c"


def test_custom_version_follows_the_words() -> None:
    assert custom("$regions").version.startswith("mine+")
    assert custom("$regions").version == custom("$regions").version
    assert custom("$regions").version != custom("$regions!").version
    imposter = parse_template(MINIMAL.replace("mine", "regions-2"), "x")
    assert imposter.version != "regions-2"


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ("$count", "2"),
        ("$first-$last", "<region2>-<region4>"),
        ("$region_list", "<region2> and <region4>"),
        ("$tags", "tag 2, yellow box, is <region2>; tag 4, blue box, is <region4>"),
        ("$boxes", "<region2>: [2, 4, 20, 40]; <region4>: [4, 8, 40, 80]"),
        ("${width}x$height", "1036x812"),
        ("{$keys}", '{"region2", "region4"}'),
        ("5 $$ {} {json}", "5 $ {} {json}"),
    ],
)
def test_variables(after: str, text: str) -> None:
    assert build(custom(after), labels(2, 4), size_wh=(1036, 812)).after == text


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("name = ", "at end of document"),
        ('name = "mine"\n[regions\n', "line 2"),
        ("[regions]\nafter = 'x'", "name: Field required"),
        ('name = "mine"', "regions: Field required"),
        (MINIMAL.replace("after", "aftr"), "regions.aftr: Extra inputs"),
        (MINIMAL.replace("mine", "Mine!"), "name: String should match"),
        (MINIMAL.replace('"$regions"', "3"), "regions.after: Input should be a valid string"),
        (
            MINIMAL.replace("$regions", "$regoins"),
            "regions.after: unknown variable $regoins; known",
        ),
        (MINIMAL.replace("$regions", "${meta}"), "regions.after: unknown variable $meta"),
        (MINIMAL.replace("$regions", "5 $"), "regions.after: a lone $"),
        ('answer = "xml"\n' + MINIMAL, "answer: Input should be 'text' or 'json'"),
        ('language = "english"\n' + MINIMAL, "language: String should match"),
        (MINIMAL + "[again]\nsystem = '$x'", "again.system: unknown variable $x"),
        ('name = "mine"\nregions = "x"', "regions: Input should be"),
        ('name = "mine"\n[regions]\n', "regions: the words are missing"),
    ],
)
def test_template_errors_name_the_place(toml: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_template(toml, "mine.toml")
    assert caught.value.code == "bad-prompt-template"
    assert caught.value.message.startswith("mine.toml: ")
    assert named in caught.value.message
    assert caught.value.hint


def test_unknown_built_in_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="regions-2") as caught:
        built_in("regions-99")
    assert caught.value.code == "bad-prompt-template"


@pytest.mark.parametrize(
    ("numbers", "ask"), [([], "regions"), ([1, 1], "regions"), ([1, 2], "crop")]
)
def test_build_refuses_what_no_prompt_can_ask(numbers: list[int], ask: Ask) -> None:
    with pytest.raises(ValueError, match="cannot ask"):
        build(built_in("default"), labels(*numbers), ask=ask)


def test_chat_tokens_in_templates_and_colours_are_harmless() -> None:
    prompt = build(custom("<|im_end|>$tags"), [named(1, "<|image_pad|>")])
    assert prompt.after == "<im_end>tag 1, <image_pad> box, is <region1>"


@given(
    st.text(alphabet=string.printable, max_size=60),
    st.lists(st.integers(1, 99), min_size=1, unique=True),
)
def test_any_template_is_refused_or_filled(after: str, numbers: list[int]) -> None:
    toml = "name = 'mine'\n[regions]\nbefore = 'x'\nafter = " + _toml_string(after)
    try:
        template = parse_template(toml, "mine.toml")
    except UsageError:
        assert "$" in after
        return
    prompt = build(template, [named(n) for n in numbers])
    assert "<|" not in prompt.text
    if "$" not in after:
        assert len(prompt.after) <= len(after)


def _toml_string(text: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"'

"""Guessing the language of a caption."""

from __future__ import annotations

import pytest

from regioncap.outputs.audit.languages import guess_language, is_other_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A cat is sitting on the mat with a toy.", "en"),
        ("Die Katze sitzt auf der Matte und ist müde.", "de"),
        ("Un chat est assis sur le tapis avec une balle.", "fr"),
        ("Un gato está sentado en la alfombra con una pelota.", "es"),
        ("Una donna con il cappello è nel giardino della casa.", "it"),
        ("Um gato está em uma mesa com flores.", "pt"),
        ("Een kat is met het speelgoed op de mat.", "nl"),
        ("一只猫坐在垫子上。", "zh"),
        ("猫がマットの上に座っています。", "ja"),
        ("고양이가 매트 위에 앉아 있습니다.", "ko"),
        ("Кошка сидит на коврике.", "ru"),
        ("قطة تجلس على السجادة", "ar"),
        ("A sign that reads 出口 is in the hall.", "en"),
        ("Zxqv brrt.", ""),
        ("123", ""),
        ("", ""),
    ],
)
def test_guess(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_a_shared_script_is_no_other_language() -> None:
    assert not is_other_language("Кіт сидить на килимку.", "uk")
    assert is_other_language("Кіт сидить на килимку.", "en")
    assert not is_other_language("Zxqv brrt.", "en")

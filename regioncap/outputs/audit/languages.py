"""A guess at the language of a caption, by its script and its commonest words.

Good enough to see that a model fell into another language; it says nothing where it is not sure,
and nothing of languages that it has no words of.
"""

from __future__ import annotations

import re
from collections import Counter

from regioncap.captions.texts import words

#: Scripts that tell the language, or the one it is most likely in; Kana and Hangul before Han.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
)
#: Scripts that several languages share: any of them will do for any of these.
_SAME_SCRIPT = {"uk": "ru", "bg": "ru", "sr": "ru", "be": "ru", "fa": "ar", "ur": "ar", "mr": "hi"}
_LATIN_WORDS = {
    "en": "the a an of and is are with in on at to it that this from has its there by for while",
    "de": "der die das und ein eine einen einem ist sind mit von auf im den dem zu sich nicht auch",
    "fr": "le la les des un une et est sont avec dans sur du au aux qui que pour il elle",
    "es": "el la los las un una y es son con en del que por para se al está hay",
    "it": "il lo la gli un una e è sono con di del della nel che per si al sul",
    "pt": "o a os as um uma e é são com em do da no na que por para se está há",
    "nl": "de het een en is zijn met van op in te dat die aan voor er niet",
    "pl": "i w z na jest są do się nie to że który która oraz przez",
    "tr": "bir ve ile bu için olan var çok üzerinde olarak",
    "vi": "một và của là có trên với được trong người đang",
}
_LATIN = {language: frozenset(text.split()) for language, text in _LATIN_WORDS.items()}
#: Least number of tell-tale words, and how many times those of the next likely language.
_MIN_HITS = 2
_LEAD = 1.5


def guess_language(text: str) -> str:
    """ISO 639-1 code of the text's language; empty if that cannot be told.

    A script counts if at least a third of the letters are in it, so that a caption may quote a
    sign in another one.
    """
    letters = sum(character.isalpha() for character in text)
    for language, script in _SCRIPTS:
        if letters and 3 * len(script.findall(text)) >= letters:
            return language
    found = words(text)
    hits = Counter({code: sum(word in known for word in found) for code, known in _LATIN.items()})
    (best, most), (_, next_most) = hits.most_common(2)
    return best if most >= _MIN_HITS and most >= _LEAD * next_most else ""


def is_other_language(text: str, asked: str) -> bool:
    """Whether the text is, as far as can be told, in another language than the one asked for."""
    guess = guess_language(text)
    return guess not in {"", asked, _SAME_SCRIPT.get(asked, asked)}

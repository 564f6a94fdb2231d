"""Fonts for words of any script, and a warning when the computer has none that can draw them.

A browser picks a font for every character. The renderer of .png and .pdf takes the first family of a list
that is installed, and for characters which that one lacks the first font it finds on the computer. So the
family that suits the script of the words is named first; and whether a character can be drawn at all is found
out by drawing it, which asks the renderer itself and works on every system.
"""

import functools
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from atonce.figures.drawing_process import SHARED

LATIN = "Helvetica Neue, Arial, Liberation Sans, DejaVu Sans, sans-serif"
"""For text without a script of its own: titles, numbers, legends."""

_FAMILIES = {
    "HIRAGANA": "Noto Sans CJK JP, Noto Sans JP, Hiragino Sans, Yu Gothic, Meiryo",
    "KATAKANA": "Noto Sans CJK JP, Noto Sans JP, Hiragino Sans, Yu Gothic, Meiryo",
    "CJK": "Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei",
    "HANGUL": "Noto Sans CJK KR, Noto Sans KR, Apple SD Gothic Neo, Malgun Gothic",
    "ARABIC": "Noto Naskh Arabic, Noto Sans Arabic, Geeza Pro, Segoe UI",
    "HEBREW": "Noto Sans Hebrew, Arial Hebrew, Segoe UI",
    "DEVANAGARI": "Noto Sans Devanagari, Kohinoor Devanagari, Nirmala UI",
    "THAI": "Noto Sans Thai, Thonburi, Leelawadee UI",
}
"""Font families by the first word of the Unicode name of the letters they are for."""

_EUROPEAN = ("LATIN", "GREEK", "CYRILLIC")

_MANY_SCRIPTS = "Noto Sans, DejaVu Sans"

_DEBIAN_PACKAGES = {
    "CJK": "fonts-noto-cjk",
    "HIRAGANA": "fonts-noto-cjk",
    "KATAKANA": "fonts-noto-cjk",
    "HANGUL": "fonts-noto-cjk",
    "IDEOGRAPHIC": "fonts-noto-cjk",
    "FULLWIDTH": "fonts-noto-cjk",
    "LATIN": "fonts-dejavu-core",
    "GREEK": "fonts-dejavu-core",
    "CYRILLIC": "fonts-dejavu-core",
}

_MOST_ASKED = 2_000
"""Different characters of a figure: each is drawn, in a millisecond or two."""


class FontWarning(UserWarning):
    """Some words of a figure cannot be drawn with the fonts of this computer."""


def families_for(words: Sequence[str]) -> list[str]:
    """For each word of a sentence, the font families to draw it with, best first, as CSS writes them.

    The sentence as a whole tells its script: the same Han characters look different in Chinese and Japanese.
    A European word in it keeps the Latin fonts, since many a font for another script has no Latin letters.
    """
    families = _families_of_script(_main_script("".join(words)))
    return [LATIN if _is_european(word) else families for word in words]


def _main_script(text: str) -> str:
    """The script of most letters of `text` that are not European; none is ""."""
    letters = Counter(_script(character) for character in text if character.isalpha())
    # Kana tell Japanese from Chinese, whatever the number of Han characters beside them.
    if letters["HIRAGANA"] or letters["KATAKANA"]:
        letters["HIRAGANA"] += letters.pop("CJK", 0)
    others = [(count, script) for script, count in letters.items() if script not in _EUROPEAN]
    return max(others, default=(0, ""))[1]


def _families_of_script(script: str) -> str:
    return ", ".join(filter(None, (_FAMILIES.get(script), _MANY_SCRIPTS, LATIN)))


def _is_european(word: str) -> bool:
    letters = [_script(character) in _EUROPEAN for character in word if character.isalpha()]
    if letters:
        return 2 * sum(letters) >= len(letters)
    return all(_script(character) not in _DEBIAN_PACKAGES for character in word)


def is_right_to_left(text: str) -> bool:
    """Whether most letters of `text` belong to a script that runs from right to left."""
    directions = Counter(unicodedata.bidirectional(character) for character in text)
    return directions["R"] + directions["AL"] > directions["L"]


def warn_of_faults(text: str) -> None:
    """Warn, in a sentence each, if a .png or .pdf cannot show some of `text`, or not as it should look.

    Emits a FontWarning that names the characters no font here can draw and the Debian packages that have
    them, and another if the renderer puts signs of the text in the wrong place.
    """
    missing = undrawable(text)
    if missing:
        packages = sorted({_debian_package(character) for character in missing})
        shown = " ".join(missing[:8]) + (" …" if len(missing) > 8 else "")
        warnings.warn(
            f"no font on this computer draws {shown}: install {' and '.join(packages)} (so named in Debian) "
            "or another font for that script, or save as .html, which uses the reader's own fonts",
            FontWarning,
            stacklevel=2,
        )
    crowded = _crowded(text)
    if crowded:
        warnings.warn(
            f".png and .pdf draw letters beside {' '.join(crowded)} partly over one another: "
            "save as .svg or .html, which leave the drawing of letters to the browser",
            FontWarning,
            stacklevel=2,
        )


def _crowded(text: str) -> list[str]:
    """Signs with a width of their own that belong to the letter before: up to eight, each once.

    The renderer inside vl-convert 1.9 gives such a letter and its sign the room of one of them (mended in
    resvg in April 2026, pull request 1043: drop this warning when vl-convert has it).
    """
    thai_and_lao_am = "\u0e33\u0eb3"
    signs = (sign for sign in text if unicodedata.category(sign) == "Mc" or sign in thai_and_lao_am)
    return list(dict.fromkeys(signs))[:8]


def undrawable(text: str) -> list[str]:
    """The characters of `text` for which this computer has no font, each once, in order.

    Of a text with very many different ones, the first are asked after.
    """
    # Signs that join others (vowel signs, accents) draw nothing by themselves that could be looked at.
    visible = (character for character in text if unicodedata.category(character)[0] in "LNPS")
    asked = islice(dict.fromkeys(visible), _MOST_ASKED)
    return [character for character in asked if not _is_drawable(character)]


@functools.cache
def _is_drawable(character: str) -> bool:
    if character.isascii():
        return True
    # Compared with a code point that is no character: of that the renderer always draws its placeholder.
    return _drawn(character) != _drawn("\U0010ffff")


@functools.cache
def _drawn(character: str) -> bytes:
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="48" height="32">'
        f'<text x="8" y="24" font-size="20" font-family="{LATIN}">{character}</text></svg>'
    )
    return SHARED.ask("svg_to_png", svg=drawing)


def _script(character: str) -> str:
    """The script of a letter, roughly: the first word of its Unicode name."""
    return unicodedata.name(character, "UNKNOWN").replace("-", " ").split(maxsplit=1)[0]


def _debian_package(character: str) -> str:
    if unicodedata.category(character) == "So" and ord(character) >= 0x1F000:
        return "fonts-noto-color-emoji"
    is_sign = unicodedata.category(character)[0] in "SP" and _script(character) not in _FAMILIES
    return _DEBIAN_PACKAGES.get(_script(character), "fonts-dejavu-core" if is_sign else "fonts-noto-core")

"""Texts in figures: only characters that every drawing can hold, and short enough for their place.

Whatever comes from a text, a model, a file or a name passes through here on its way into a figure. Drawings
are XML in the end, which cannot hold most control characters, unpaired surrogates, U+FFFE and U+FFFF; the
libraries below fail on them, or end the process. And they cut long texts in the middle of a character, so
nothing is left to them to cut.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import regex

Pixels = int | float

LONGEST = 220
"""Pixels of a label, about; what is longer is shortened."""
MOST_LINES = 8
"""Of a title, or of what is said below it."""
_ELLIPSIS = "…"
_LONGEST_CLUSTER = 32
"""Characters of what is read as one: no script needs as many (Unicode's stream-safe format allows 31)."""

# XML 1.0 has #x9, #xA, #xD, #x20-#xD7FF, #xE000-#xFFFD and #x10000-#x10FFFF. Not shown either: DEL and C1
# controls, which nothing draws; what separates lines and paragraphs; marks that reorder all that stands
# beside a label (U+202A-U+202E, U+2066-U+2069); notes between lines; code points that are no characters.
_NO_CHARACTERS = "".join(f"{chr(plane << 16 | 0xFFFE)}-{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
_NOT_SHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb"
    f"\ud800-\udfff\ufdd0-\ufdef{_NO_CHARACTERS}]"
)
_SPACES = re.compile(r"[\t\n\r]")
# Those are white space for XML and a title, but nothing that can be seen in a label.


def drawable(text: str) -> str:
    """The text with a stand-in for each character that no drawing can hold.

    Control characters become their pictures (U+0007 is ␇), others �. Everything else stays, also what is
    not seen by itself: joiners and marks of direction belong to the writing of many languages.
    """
    return _NOT_SHOWN.sub(_stand_in, text)


def label(text: str, room: Pixels = LONGEST, font_px: Pixels = 11) -> str:
    """One label: `drawable`, white space other than spaces visible too, and at most `room` pixels, about.

    In a text without a visible character, spaces become ␣, and what has no width becomes �.
    """
    # An empty label would look as if there was no token, and a space is one.
    shown = shortened(_SPACES.sub(_stand_in, drawable(text)), room, font_px)
    if not shown or any(_is_seen(character) for character in shown):
        return shown
    return "".join("␣" if character.isspace() else "\ufffd" for character in shown)


def shortened(text: str, room: Pixels = LONGEST, font_px: Pixels = 11) -> str:
    """The beginning of the text that fits in about `room` pixels, with … if something is left out.

    What a reader takes for one character (a grapheme cluster, UAX #29) is there whole or not at all.
    """
    # Stops at the first cluster that is too much: a text of a megabyte is not measured to its end.
    kept, width, last = [], 0.0, _width(_ELLIPSIS, font_px)
    ends: list[float] = []
    for cluster in _clusters(text):
        kept.append(cluster)
        width += _width(cluster, font_px)
        ends.append(width)
        if width > room:
            break
    else:
        whole = "".join(kept)
        return whole if len(whole) == len(text) else whole + _ELLIPSIS
    fitting = max(1, sum(end <= room - last for end in ends))
    return "".join(kept[:fitting]) + _ELLIPSIS


def distinct(texts: Iterable[str], room: Pixels = LONGEST, font_px: Pixels = 11) -> dict[str, str]:
    """The label of each different text; no two are the same: they get a number where they would be.

    For labels that tell bands, lines or colours apart.
    """
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        if text in labels:
            continue
        shown, number = label(text, room, font_px), 1
        while shown in taken:
            number += 1
            end = f" ({number})"
            shown = label(text, room - width_px(end, font_px), font_px) + end
        taken.add(shown)
        labels[text] = shown
    return labels


def wrapped(text: str, per_line: int) -> list[str]:
    """The text in lines of about `per_line` characters; … at the end of the last allowed line."""
    lines: list[str] = []
    room = 0.55 * per_line
    for word in drawable(text).split():
        first, *others = _parts(word, room)
        if lines and width_px(f"{lines[-1]} {first}", 1) <= room:
            lines[-1] += f" {first}"
        else:
            lines.append(first)
        lines += others
        if len(lines) > MOST_LINES:
            return [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1]} {_ELLIPSIS}"]
    return lines


def width_px(text: str, font_px: Pixels) -> float:
    """About how wide a text is: letters of East Asia are as wide as they are high, others about half."""
    # About: which font a browser takes is known to nobody here.
    return math.fsum(_width(cluster, font_px) for cluster in _clusters(text))


def fit(spec: dict[str, Any]) -> dict[str, Any]:
    """A Vega-Lite chart as JSON, with every text `drawable`, and with Vega's own cutting off.

    Every chart passes through it before it is drawn or sent, however it was made.
    """
    # A second time for labels that are clean already: a new figure cannot forget it.
    made: dict[str, Any] = _fit(spec)
    config = dict(made.get("config", {}))
    for part, limits in _LIMITS.items():
        config[part] = {**config.get(part, {}), **limits}
    return {**made, "config": config}


_LIMITS: dict[str, dict[str, int]] = {
    "axis": {"labelLimit": 0, "titleLimit": 0},
    "header": {"labelLimit": 0, "titleLimit": 0},
    "legend": {"labelLimit": 0, "titleLimit": 0},
    "title": {"limit": 0},
}


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return drawable(value)
    if isinstance(value, dict):
        return {drawable(key): _fit(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(inner) for inner in value]
    return value


def _stand_in(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"


def _clusters(text: str) -> Iterator[str]:
    for found in regex.finditer(r"\X", text):  # of the module regex: Python's own re has no clusters
        yield found[0][:_LONGEST_CLUSTER]


def _width(cluster: str, font_px: Pixels) -> float:
    if cluster.isascii():
        return 0.55 * font_px
    return font_px * (1.0 if any(unicodedata.east_asian_width(one) in "WF" for one in cluster) else 0.55)


def _is_seen(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in ("Cf", "Mn", "Me", "Cc")


def _parts(word: str, room: Pixels) -> list[str]:
    """A word in as many parts as it takes lines of so many letters' height."""
    parts, width = [""], 0.0
    for cluster in _clusters(word):
        more = _width(cluster, 1)
        if width + more > room and parts[-1]:
            if len(parts) > MOST_LINES:
                break
            parts.append("")
            width = 0.0
        parts[-1] += cluster
        width += more
    return parts

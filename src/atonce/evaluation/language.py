"""Which language is scored, and by which tokenizers: one object decides it for all scores.

BLEU and TER compare words. Where a script puts no spaces between them, a sentence would be one word, and
BLEU, which needs sequences of four, 0 even for a perfect translation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal

import numpy as np
import regex

from atonce.evaluation.words import CJK, SYLLABIC
from atonce.result import HIDDEN, Result, computed

Writing = Literal["spaced", "Chinese", "Japanese", "Korean", "unspaced"]
"""What decides about tokenizers: spaces between words, or one of the ways to do without."""
Script = Literal["Latin", "other", "none", "Chinese", "Japanese", "Korean", "unspaced"]
"""What texts are written in, as far as it matters; none: there are no letters."""
BLEU_TOKENIZERS: dict[Writing, str] = {
    "spaced": "13a",
    "Chinese": "zh",
    "Japanese": "ja-mecab",
    "Korean": "ko-mecab",
    "unspaced": "char",
}
"""sacreBLEU's names. For Chinese, Japanese and Korean those that `sacrebleu -l xx-zh` takes, and so on."""
_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}
"""Which extra of atonce brings what they need."""

_LANGUAGES: dict[Writing, str] = {
    "Chinese": "zh zho chi cmn yue wuu nan hak gan hsn lzh cdo cjy cnp cpx csp czh czo mnp",
    "Japanese": "ja jpn",
    "Korean": "ko kor",
    "unspaced": "th tha lo lao km khm my mya bur bo bod tib dz dzo ii iii shn mnw ksw nod khb tdd blt",
}
_SCRIPTS: dict[Writing, str] = {
    "Chinese": "hans hant hani hanb bopo",
    "Japanese": "jpan hira kana hrkt",
    "Korean": "kore hang jamo",
    "unspaced": "thai laoo khmr mymr tibt java bali tale talu lana tavt yiii",
}
_UNSAID = ("und", "mul", "mis", "zxx")
"""Tags that name no language: undetermined, several, one without a code, none."""
_OF_LANGUAGE = {tag: writing for writing, tags in _LANGUAGES.items() for tag in tags.split()}
_OF_SCRIPT = {tag: writing for writing, tags in _SCRIPTS.items() for tag in tags.split()}

MOST_TEXTS = 10_000
"""Texts that are looked at to find their script; of more, so many, evenly spread."""
_UNITS = regex.compile(
    rf"(?V1)(?P<kana>[[{CJK}]--[\p{{Han}}\p{{Bopomofo}}]])|(?P<han>[{CJK}])|(?P<syllabic>[{SYLLABIC}])"
    r"|(?P<hangul>\p{Hangul}[\p{Hangul}\p{M}]*)|(?P<latin>\p{Latin}[\p{Latin}\p{M}]*)"
    rf"|(?P<other>(?:[[\p{{L}}]--[{CJK}{SYLLABIC}\p{{Latin}}\p{{Hangul}}]]\p{{M}}*)+)"
)
_PER_WORD = {"cjk": 1.5, "syllabic": 4}
"""Characters that make about one word, where there are no spaces."""
_KANA = 0.1
"""Share of the kana among the characters of a text from which on it is Japanese; most have half."""
_BEYOND_ENGLISH = 0.005
"""Share of letters other than a to z up to which a text in Latin letters can be English."""
_FOUND = {"Chinese": "zh", "Japanese": "ja", "Korean": "ko"}
"""The language that a script says. Which of the others it is makes no difference."""


@dataclass(frozen=True)
class ScoringLanguage(Result):
    """The language of what is scored, and what follows of it for every score.

    `ScoringLanguage.of(tag, references)` gives one.
    """

    tag: str | None
    """Its tag ("de", "zh-Hant"): as it was given, or of the language that the script says; else None."""
    origin: Literal["given", "script", "unknown"]
    """Who says so: who asked for the scores (a recipe), the script of most of the references, or nobody."""
    writing: Writing = field(metadata=HIDDEN)
    """How words are told apart in it."""
    script: Script = field(metadata=HIDDEN)
    """What most of the references are written in."""
    stem: bool = field(metadata=HIDDEN)
    """Whether words are stemmed for ROUGE: of English, and of what may be English."""

    @classmethod
    def of(cls, tag: str | None, references: Sequence[str]) -> "ScoringLanguage":
        """The language with this tag (BCP 47, or as `zh_CN` and `zho_Hans` have it); without one, what the
        script of the references says: zh, ja, ko, or a script without spaces, or any other language."""
        script = _script(references)
        # A tag decides, even where the script says otherwise: `notes` tells of that.
        if tag is not None and tag.strip() and tag.strip().lower() not in _UNSAID:
            return cls(tag, "given", _writing(tag), script, _parts(tag)[0] in ("en", "eng"))
        if script == "Latin" or script == "other" or script == "none":
            # So texts in a to z have the number that they have as English.
            stem = script == "Latin" and _may_be_english(references)
            return cls(None, "unknown", "spaced", script, stem)
        return cls(_FOUND.get(script), "script", script, script, False)

    @cached_property
    def bleu_tokenizer(self) -> str:
        """The one that BLEU takes; char where the language's own is not installed."""
        wanted = BLEU_TOKENIZERS[self.writing]
        return wanted if wanted not in _EXTRAS or _is_installed(wanted) else "char"

    def metrics(self, *, force: bool = False) -> dict[str, Any]:
        """Fresh sacreBLEU metrics by the names of `TranslationScores`.

        Chinese and Japanese TER has `normalized` and `asian_support`, which cut their characters apart. In
        other scripts without spaces TER is of characters, which sacreBLEU has no option for: it is given
        texts with a space behind each, and its signature says `tok:char`. `force` keeps BLEU from warning
        about outputs that look tokenized; it changes no number.
        """
        from sacrebleu.metrics import BLEU, CHRF, TER

        asian = self.writing in ("Chinese", "Japanese")
        ter = TER(normalized=asian, asian_support=asian)
        if self.writing == "unspaced":
            # The signature must say so: nobody else's TER of this script is of characters.
            ter.tokenizer, ter.tokenizer_signature = _characters, "char"
        return {"bleu": BLEU(tokenize=self.bleu_tokenizer, force=force), "chrf": CHRF(), "ter": ter}

    def rouge_tokenizer(self) -> tuple[Any, str]:
        """What ROUGE takes for words, and how its signature says so."""
        from atonce.evaluation.words import Words

        # rouge-score's own knows a to z alone: right for what others publish of English, and nothing else.
        if self.origin == "given" and self.stem and self.script in ("Latin", "none"):
            from rouge_score.tokenizers import DefaultTokenizer

            return DefaultTokenizer(use_stemmer=True), "tok:default|stem:porter"
        # Korean has spaces, though BLEU cuts its words into morphemes.
        kind = "words" if self.writing in ("spaced", "Korean") else "characters"
        return Words(stem=self.stem), f"tok:{kind}|stem:{'porter' if self.stem else 'no'}"

    @computed
    def said(self) -> str:
        """What it is and who says so, for people."""
        if self.origin == "given":
            return f"target language {self.tag}, as given"
        if self.origin == "script":
            name = self.tag or "written without spaces"
            return f"target language {name}, found from the script of the references"
        if self.script == "none":
            return "target language not given, and the references have no letters that could say it"
        return "target language not given, and the script is that of many"

    def notes(self, *, bleu: bool = True) -> tuple[str, ...]:
        """What to know of the numbers beside signatures. `bleu`: whether BLEU and TER are among them."""
        return tuple([*self._contradiction(), *(self._tokenizers() if bleu else [])])

    def _contradiction(self) -> list[str]:
        # Japanese in kanji alone looks Chinese, and is no mistake.
        alike = {self.writing, self.script} <= {"Chinese", "Japanese"}
        unsaid = self.script in ("none", self.writing) or (
            self.writing == "spaced" and self.script in ("Latin", "other")
        )
        if self.origin != "given" or unsaid or alike:
            return []
        what = {"unspaced": "a script without spaces", "Latin": "Latin letters", "other": "another script"}
        found = what.get(self.script, self.script)
        return [
            f"the target language is given as {self.tag}, but most of the references are in {found}: words "
            f"are told apart as in {self.tag}; mend data.target_language if that is wrong"
        ]

    def _tokenizers(self) -> list[str]:
        wanted = BLEU_TOKENIZERS[self.writing]
        notes = []
        if wanted != self.bleu_tokenizer:
            notes.append(
                f"BLEU is of characters, not comparable with BLEU of words: sacreBLEU's {wanted} is not "
                f"installed: pip install 'atonce[{_EXTRAS[wanted]}]'"
            )
        if self.writing == "unspaced":
            notes.append("BLEU and TER are of characters: sacreBLEU has no words of this script")
        if self.writing == "Japanese":
            notes.append(
                "TER takes kanji one by one, but kana and letters that stand together for one word: so "
                "sacreBLEU's asian_support has it"
            )
        return notes


def _writing(tag: str) -> Writing:
    """How words are told apart in the language of a tag. A script that it names decides."""
    language, *others = _parts(tag)
    script = next((part for part in others if len(part) == 4 and part.isalpha()), None)
    of_language = _OF_LANGUAGE.get(language, "spaced")
    if script is None:
        return of_language
    of_script = _OF_SCRIPT.get(script, "spaced")
    # Japanese in kanji alone is Japanese.
    return of_language if of_script == "Chinese" and of_language == "Japanese" else of_script


def _parts(tag: str) -> list[str]:
    """Language, script, country and so on. Not what is behind them: an encoding (`ja_JP.SJIS`), or an
    extension (`en-u-nu-thai`), which a single letter begins."""
    # POSIX writes an encoding behind a dot, and a variant behind @.
    parts = regex.split("[-_]", regex.split("[.@]", tag.strip().lower())[0])
    return parts[:1] + list(takewhile(lambda part: len(part) != 1, parts[1:]))


def _script(texts: Sequence[str]) -> Script:
    """What most words of the texts are written in."""
    # Evenly, as a corpus may begin with what is not like the rest of it.
    chosen = np.linspace(0, len(texts) - 1, min(len(texts), MOST_TEXTS)).astype(int)
    counts: Counter[str] = Counter()
    for index in chosen:
        counts.update(unit.lastgroup for unit in _UNITS.finditer(texts[index]))
    # All in words: one in Latin letters has more letters than one in Chinese has characters.
    cjk = counts["kana"] + counts["han"]
    amounts: dict[Script, float] = {
        "Japanese" if counts["kana"] > _KANA * cjk else "Chinese": cjk / _PER_WORD["cjk"],
        "unspaced": counts["syllabic"] / _PER_WORD["syllabic"],
        "Korean": counts["hangul"],
        "Latin": counts["latin"],
        "other": counts["other"],
    }
    best = max(amounts, key=lambda name: amounts[name])
    return best if amounts[best] else "none"


def _may_be_english(texts: Sequence[str]) -> bool:
    """Whether nearly all letters are a to z."""
    letters = regex.findall(r"\p{L}", "".join(texts))
    beyond = sum(not letter.isascii() for letter in letters)
    return beyond <= _BEYOND_ENGLISH * len(letters)


def _is_installed(tokenizer: str) -> bool:
    from sacrebleu.metrics import BLEU

    try:
        BLEU(tokenize=tokenizer)
    except (RuntimeError, AssertionError, ImportError, OSError):  # no package, another dictionary
        return False
    return True


def _characters(text: str) -> str:
    """TER's own way with case, and a space behind each character."""
    return " ".join("".join(text.lower().split()))

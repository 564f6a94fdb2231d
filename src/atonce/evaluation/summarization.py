"""Scores of summaries: ROUGE as rouge-score computes it, chrF and exact matches; and baselines.

A score says little without those of the simplest ways to summarize: see `baselines`. rouge-score is imported
where it is used: it takes a toolkit for natural language along.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import regex

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import (
    EXACT_SIGNATURE,
    Scores,
    blanks,
    check_aligned,
    exact,
    signed_chrf,
)
from atonce.shapes import Float

ROUGE = ("rouge1", "rouge2", "rougeL")
MOST_LINES = 10_000
"""Training summaries that are compared to find the best single line; of more, so many, evenly spread."""

_SENTENCE_END = regex.compile(r"""[.!?؟۔።՞։][\"'”’»)\]]*(?=\s+(?!\p{Ll}))|[。！？｡।॥။།។][\"'”’」』）)\]]*""")


@dataclass(frozen=True)
class SummaryScores(Scores):
    """How a system's summaries compare with one reference each. Scores are in per cent; higher is better."""

    titles: ClassVar[Mapping[str, str]] = {
        "rouge1": "ROUGE-1",
        "rouge2": "ROUGE-2",
        "rougeL": "ROUGE-L",
        "chrf": "chrF",
        "exact": "exact",
    }
    counted: ClassVar[str] = "sentences"
    unit: ClassVar[str] = "summaries"

    rouge1: float
    """Words that summary and reference share: F-measure of recall and precision (Lin 2004, ROUGE-N)."""
    rouge2: float
    """The same with pairs of words."""
    rougeL: float
    """The same with the longest sequence of words that both have, with gaps (Lin 2004, ROUGE-L)."""
    chrf: float
    """The same with character n-grams (1 to 6), recall weighted double (Popović 2015)."""
    exact: float
    """Summaries equal to their reference, character for character."""
    sentences: int
    """How many summaries were scored."""


def score_summaries(
    outputs: Sequence[str], references: Sequence[str], *, target_language: str | None = None
) -> SummaryScores:
    """Score a system's summaries against one reference each.

    ROUGE is the mean of the F-measures that rouge-score gives each summary, to the last digit. What it takes
    for words depends on `target_language` ("en", "ru", …), and the signature says so:

    - English: rouge-score's default tokenizer, which knows no letters but a to z, and Porter's stemmer.
    - Any other language: words of any script (`words`), not stemmed.
    - None is given: words of any script too, stemmed where nearly all letters are a to z; for texts in a to z
      that is the number for English. Characters stand for words in scripts without spaces.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    check_aligned(outputs, references)
    language = ScoringLanguage.of(target_language, references)
    tokenizer, said = language.rouge_tokenizer()
    scorer = _scorer(tokenizer, *ROUGE)
    each = [scorer.score(reference, output) for output, reference in zip(outputs, references, strict=True)]
    # Not by rouge-score's aggregator: it resamples without a seed, so that its digits change.
    rouge = {name: 100 * float(np.mean([scores[name].fmeasure for scores in each])) for name in ROUGE}
    chrf, chrf_signature = signed_chrf(outputs, references)
    rouge_signature = f"rouge-score|nrefs:1|measure:f|mean:texts|{said}|version:{version('rouge-score')}"
    signatures = {**dict.fromkeys(ROUGE, rouge_signature), "chrf": chrf_signature}
    return SummaryScores(
        **rouge,
        chrf=chrf,
        exact=exact(outputs, references),
        sentences=len(outputs),
        signatures={**signatures, "exact": EXACT_SIGNATURE},
        language=language,
        notes=(
            *language.notes(bleu=False),
            *blanks(outputs, references),
            *_wordless(references, tokenizer),
        ),
    )


def _wordless(references: Sequence[str], tokenizer: Any) -> list[str]:
    """How many references ROUGE is 0 for, whatever was written: those of emoji, say, or of punctuation."""
    count = sum(bool(text.strip()) and not tokenizer.tokenize(text) for text in references)
    if not count:
        return []
    return [
        f"{count:,} of {len(references):,} references have no word in them, so that ROUGE is 0 for them: "
        "look at chrF and exact"
    ]


def baselines(
    texts: Sequence[str],
    references: Sequence[str],
    training_summaries: Sequence[str],
    *,
    target_language: str | None = None,
) -> dict[str, SummaryScores]:
    """The scores of three simple ways to summarize `texts`, by their names.

    "first sentence" copies the beginning of each text. "best single line" gives every text the same summary,
    the training summary that is most like all of them (`best_single_line`). "best sentence (oracle)" copies
    from each text the sentence with the highest ROUGE-L, which only who has the reference can know: no system
    that copies one sentence has a higher ROUGE-L. `target_language`: see `score_summaries`.

    Raises DataError if there is nothing to score, nothing to learn from, or a text without a reference.
    """
    check_aligned(texts, references, ("texts", "references"))
    # The words of the baselines are those of the scores, whatever the language of the training summaries.
    tokenizer, _ = ScoringLanguage.of(target_language, references).rouge_tokenizer()
    line = best_single_line(training_summaries, tokenizer=tokenizer)
    scorer = _scorer(tokenizer, "rougeL")

    def best_sentence(text: str, reference: str) -> str:
        return max(
            sentences(text),
            key=lambda sentence: float(scorer.score(reference, sentence)["rougeL"].fmeasure),
            default="",
        )

    summaries = {
        "first sentence": [next(iter(sentences(text)), "") for text in texts],
        "best single line": [line] * len(texts),
        "best sentence (oracle)": list(map(best_sentence, texts, references)),
    }
    return {
        name: score_summaries(outputs, references, target_language=target_language)
        for name, outputs in summaries.items()
    }


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without the space between them.

    A sentence ends with a full stop, an exclamation or a question mark of its script, and quotes and brackets
    that close there. Those of scripts that put no space behind them end it anywhere; the others where space
    follows and then no small letter ("e.g. this" stays together).
    """
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
    parts = (text[start:end].strip() for start, end in pairwise(ends))
    return [part for part in parts if part]


def best_single_line(summaries: Sequence[str], *, tokenizer: Any = None) -> str:
    """The one of these summaries with the highest mean ROUGE-1 against all of them; the first of equals.

    To be quick, a line's words are looked up in an index of who else has them. Of more than `MOST_LINES`
    summaries, so many are compared. `tokenizer`: says what words are; rouge-score's for English without.
    Raises DataError if there are none.
    """
    if not summaries:
        raise DataError(
            "there is no training summary",
            why="the best single line is one of them",
            fix="give those that the system learned from",
        )
    from rouge_score.tokenizers import DefaultTokenizer

    chosen = np.linspace(0, len(summaries) - 1, min(len(summaries), MOST_LINES)).astype(int)
    tokenizer = tokenizer or DefaultTokenizer(use_stemmer=True)
    bags = [Counter(tokenizer.tokenize(summaries[index])) for index in chosen]
    return summaries[chosen[np.argmax(_mean_f_measures(bags))]]


def _mean_f_measures(bags: list["Counter[str]"]) -> Float[np.ndarray, " bags"]:
    """The mean ROUGE-1 of each bag of words against all of them."""
    lengths = np.array([bag.total() for bag in bags])
    holders: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, bag in enumerate(bags):
        for word, count in bag.items():
            holders[word].append((index, count))
    index_of = {word: np.array(pairs).T for word, pairs in holders.items()}
    means = np.zeros(len(bags))
    for index, bag in enumerate(bags):
        shared = np.zeros(len(bags))
        for word, count in bag.items():
            others, counts = index_of[word]
            shared[others] += np.minimum(counts, count)
        # F of precision s / a and recall s / b is 2 s / (a + b).
        means[index] = (2 * shared / np.maximum(lengths + lengths[index], 1)).mean()
    return means


def _scorer(tokenizer: Any, *rouge: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(rouge, tokenizer=tokenizer)  # which takes no notice of use_stemmer then

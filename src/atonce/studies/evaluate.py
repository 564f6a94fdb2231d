"""Scores of a run on a test text, alone or against another run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.data.corpora import Pair
from atonce.data.files import read_aligned
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.evaluation.significance import PairedBootstrap, paired_bootstrap
from atonce.evaluation.translation import TranslationScores, score
from atonce.runs.folder import RunFolder


@dataclass(frozen=True)
class Evaluation:
    """What a run made of a test text."""

    scores: TranslationScores
    outputs: tuple[str, ...]
    beam: int
    against: PairedBootstrap | None = None
    """The comparison with another run."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        compared = {} if self.against is None else {"against": self.against.as_dict()}
        return {**self.scores.as_dict(), "beam": self.beam, **compared}


def evaluate(
    run: str | Path,
    *,
    source: str | Path | None = None,
    reference: str | Path | None = None,
    beam: int | None = None,
    against: str | Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Translate a test text with the model of `run` and score it.

    The text is the run's own test split, or the line-aligned files `source` and `reference`. With `against`,
    another run translates the same text, and a paired bootstrap says whether the two differ. `advance` is
    called with the number of sentences translated since the last call.
    Raises RunError for a run that cannot be used and DataError for a text that cannot.
    """
    folder = RunFolder.open(run)
    translator = Translator.open(run)
    other = None if against is None else Translator.open(against)
    pairs = pairs_to_score(folder, source, reference)
    references = [pair.target for pair in pairs]
    _, language = folder.recipe.data.languages
    beam = beam or folder.recipe.decoding.beam
    outputs = _outputs(translator, pairs, beam, advance)
    compared = None
    if other is not None:
        others = _outputs(other, pairs, beam, advance)
        compared = paired_bootstrap(outputs, others, references, target_language=language)
    return Evaluation(score(outputs, references, target_language=language), tuple(outputs), beam, compared)


def pairs_to_score(
    folder: RunFolder, source: str | Path | None = None, reference: str | Path | None = None
) -> list[Pair]:
    """The test split of a run, or the pairs of two line-aligned files."""
    if source is None and reference is None:
        return open_prepared(folder.path).test_pairs
    if source is None or reference is None:
        raise RecipeError(
            "only one of source and reference is given",
            why="outputs are made from the source and compared with the reference",
            fix="give both --source and --reference, or neither for the run's own test split",
        )
    return list(read_aligned(Path(source), Path(reference)))


def _outputs(
    translator: Translator, pairs: list[Pair], beam: int, advance: Callable[[int], None]
) -> list[str]:
    translations = translator.translate([pair.source for pair in pairs], beam=beam, advance=advance)
    return [translation.text for translation in translations]

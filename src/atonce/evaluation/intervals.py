"""How sure are the scores of several systems, each trained from several seeds? Bootstrap over both.

Another test set would have given another score, and so would another training: chance decides about the
weights it starts with and the order it reads in. Each draw takes a system's seeds with replacement, as many
as there are, for each system on its own; and sentences of the test set likewise, the same for all systems
(Koehn 2004). A system's score is the mean of its seeds' scores. What is drawn is the same for every metric.

With one seed this is the paired bootstrap of `significance.py`, and says nothing of other trainings. With few
seeds, what it says of them is rough, and rather too little than too much.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import check_aligned
from atonce.evaluation.significance import Metric, Resampled, measures, resampled
from atonce.seeds import check_seed
from atonce.shapes import Float, Int

SAMPLES = 1000
SEED = 12345
"""sacreBLEU's."""


class SystemScores:
    """The scores of several systems on one test set by one metric, whole or in parts, each with its draws.

    Scores of two systems, or differences of them, can be taken from one another: they are paired.
    """

    def __init__(
        self,
        outputs: Mapping[str, Sequence[Sequence[str]]],
        references: Sequence[str],
        *,
        metric: Metric,
        target_language: str | None = None,
        samples: int = SAMPLES,
        seed: int = SEED,
    ) -> None:
        """`outputs`: for each system, for each of its seeds, what it made of each sentence.

        Raises RecipeError for a seed that is none, and DataError where outputs and references do not have
        equally many lines, or none.
        """
        check_seed(seed)
        for system, by_seed in outputs.items():
            for texts in by_seed:
                check_aligned(texts, references, (f"outputs of {system}", "references"))
            if not by_seed:
                raise DataError(
                    f"{system} was never trained",
                    why="it has no outputs",
                    fix="give those of one seed or more",
                )
        (self._measure,) = measures([metric], ScoringLanguage.of(target_language, references))
        self._statistics = {
            system: [self._measure.statistics(texts, references) for texts in by_seed]
            for system, by_seed in outputs.items()
        }
        self._samples = samples
        self._seed = seed
        self._sentences = len(references)
        self._scores: dict[tuple[str, tuple[int, ...] | None], Resampled] = {}

    @property
    def signature(self) -> str:
        """What makes the numbers reproducible."""
        return f"{self._measure.signature()}|bs:{self._samples}|seed:{self._seed}"

    def score(self, system: str, part: Sequence[int] | None = None) -> Resampled:
        """A system's score on the whole test set, or on the sentences whose indices are `part`.

        Test sets are drawn from the part then, for all systems the same.
        """
        # Kept: reports ask for the same again, for each pair of systems.
        key = (system, None if part is None else tuple(part))
        if key not in self._scores:
            self._scores[key] = self._score(system, part)
        return self._scores[key]

    def by_seed(self, system: str) -> list[float]:
        """The score of each of a system's seeds on the whole test set."""
        return [self._measure.total(statistics.sum(0)) for statistics in self._statistics[system]]

    def _score(self, system: str, part: Sequence[int] | None) -> Resampled:
        sentences = np.arange(self._sentences) if part is None else np.array(part, dtype=int)
        seed = self._seed if part is None else [self._seed, *part]
        by_seed = [
            # The same seed for all systems draws the same sentences: so differences are paired.
            resampled(self._measure, statistics[sentences], samples=self._samples, seed=seed)
            for statistics in self._statistics[system]
        ]
        drawn = _mean_of_drawn(np.stack([one.drawn for one in by_seed]), self._drawn_seeds(system))
        return Resampled(float(np.mean([one.value for one in by_seed])), drawn)

    def _drawn_seeds(self, system: str) -> Int[np.ndarray, "samples seeds"]:
        """Which seeds stand in for a system's seeds in each draw: its own, but the same in every part."""
        number = list(self._statistics).index(system)
        seeds = len(self._statistics[system])
        # Greater than any index in a part: no draw of sentences comes from the same random numbers.
        random = np.random.default_rng([self._seed, 2**32 + number])
        return random.integers(seeds, size=(self._samples, seeds))


def _mean_of_drawn(
    scores: Float[np.ndarray, "seeds samples"], chosen: Int[np.ndarray, "samples seeds"]
) -> Float[np.ndarray, " samples"]:
    """In each draw, the mean score of the seeds that were drawn."""
    return np.take_along_axis(scores.T, chosen, axis=1).mean(axis=1)

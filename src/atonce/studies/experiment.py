"""One experiment: train a recipe, score it on its test split, keep both in its folder; score a run again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from atonce.data.config import Normalization
from atonce.data.files import read_aligned
from atonce.data.images import ImagePair
from atonce.data.normalization import compared
from atonce.data.pairs import Examples, Pair
from atonce.data.prepare import Prepared, open_prepared
from atonce.decoding.load import load
from atonce.disk import owned
from atonce.errors import RecipeError
from atonce.evaluation.scores import Scores
from atonce.evaluation.significance import PairedBootstrap, paired_bootstrap
from atonce.evaluation.summarization import SummaryScores, baselines
from atonce.evaluation.tasks import COMPARED, score_task
from atonce.progress import progress
from atonce.result import HIDDEN, Result
from atonce.runs import recipe as recipes
from atonce.runs.folder import RunFolder, resumable
from atonce.runs.recipe import Recipe
from atonce.training import train as training
from atonce.training.callbacks import Callback, progress_bar
from atonce.training.distributed import is_first

RULES: tuple[Normalization, ...] = get_args(Normalization)


@dataclass(frozen=True)
class Evaluation(Result):
    """What a run made of a test text."""

    scores: Scores
    outputs: tuple[str, ...] = field(metadata=HIDDEN)
    beam: int
    against: PairedBootstrap | None = None
    """The comparison with another run."""
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    """What needs no model, by name: of summaries of the run's own test split."""
    references_respelt: int = 0
    """References that were compared in another spelling than they have: see `data.normalization.compared`."""

    def to_dict(self) -> dict[str, Any]:
        """One object, ready for JSON: the scores, and what else there is."""
        values = super().to_dict()
        # What does not apply is left out of JSON: most runs have no baselines, and nothing was respelt.
        unsaid = [key for key in ("against", "baselines", "references_respelt") if not values[key]]
        return values.pop("scores") | {key: one for key, one in values.items() if key not in unsaid}


@dataclass(frozen=True)
class Experiment:
    """What came of it."""

    run: RunFolder
    evaluation: Evaluation


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    name: str | None = None,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Experiment:
    """Train into the folder `out`, then translate and score the test split; scores go into scores.json.

    `recipe`: the name of one that ships with atonce, a .toml file, or a Recipe. `minutes` or `steps` take the
    place of its budget. `resume`: go on with a training that broke off. `name`: what progress bars say.
    `callbacks`: what is told of each step (`training.callbacks.Callback`).
    Raises RecipeError, DataError, RunError, TrainingError, DiskError: all AtonceErrors.
    """
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe)
    recipe = recipes.with_budget(recipe, minutes=minutes, steps=steps)
    name = name or Path(out).name
    # Owned until it is scored: scores are written into the folder as well.
    having = owned(Path(out), "trains") if is_first() else nullcontext()
    with resumable(Path(out)), having:
        with progress_bar(name, quiet=quiet) as shown:
            run = training.train(
                recipe, out, resume=resume, callbacks=[shown, *callbacks], quiet=quiet, has_folder=True
            )
        return score(run, name, quiet=quiet)


def score(run: RunFolder, name: str, *, quiet: bool = False) -> Experiment:
    """Translate and score the test split of a run. `name`: what progress bars say."""
    with progress(f"{name}: translating the test text", quiet=quiet) as advance:
        evaluation = evaluate(run.path, on_progress=advance)
    run.save_scores(evaluation.to_dict())
    return Experiment(run, evaluation)


def evaluate(
    run: str | Path,
    *,
    source: str | Path | None = None,
    reference: str | Path | None = None,
    beam: int | None = None,
    against: str | Path | None = None,
    fast: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Let the model of `run` translate, summarize, classify or read a test set, and score it.

    The set is the run's own test split, or the line-aligned files `source` and `reference`. With `against`,
    another run does the same, and a paired bootstrap says whether the two differ. `fast`: as `load` has it.
    Outputs and references that are the same text, spelt otherwise, are equal, if the run's vocabulary has a
    normalization; how many references were respelt for that is told.
    `on_progress` is called with the number of sources done since the last call.
    Raises RunError for a run that cannot be used and DataError for a text that cannot.
    """
    folder = RunFolder.open(run)
    system = load(run, fast=fast)
    other = None if against is None else load(against, fast=fast)
    pairs = pairs_to_score(folder, source, reference)
    given = [pair.target for pair in pairs]
    # Of two runs, the rule that changes more: all texts must be compared in one spelling.
    rule = max((one.normalization for one in (system, other) if one is not None), key=RULES.index)
    references = compared(given, rule)
    # White space at the ends is no other spelling: nobody need be told of it.
    respelt = sum(one != text.strip() for one, text in zip(references, given, strict=True) if one != text)
    task, (_, language) = folder.recipe.data.task, folder.recipe.data.languages
    # One beam for both runs of a comparison, or their search would differ, too.
    beam = beam or folder.recipe.decoding.beam
    sources: list[Any] = [pair.source for pair in pairs]
    outputs = compared(system.outputs(sources, beam=beam, on_progress=on_progress), rule)
    bootstrap = None
    if other is not None:
        others = compared(other.outputs(sources, beam=beam, on_progress=on_progress), rule)
        bootstrap = paired_bootstrap(
            outputs, others, references, metrics=COMPARED[task], target_language=language
        )
    scores = score_task(task, outputs, references, target_language=language)
    # Of the own test split alone: one baseline is the training summary that is most like all others.
    own_summaries = task == "summarization" and source is None
    without_model = _baselines(open_prepared(folder.path), language) if own_summaries else {}
    return Evaluation(scores, tuple(outputs), beam, bootstrap, without_model, respelt)


def _baselines(prepared: Prepared, language: str | None) -> dict[str, SummaryScores]:
    """What summaries score that need no model."""
    texts, references = zip(*prepared.test_pairs, strict=True)
    train = prepared.train
    assert isinstance(train, Examples)
    summaries = [prepared.tokenizer.decode(train[index][1].tolist()) for index in range(len(train))]
    return baselines(texts, references, summaries, target_language=language)


def pairs_to_score(
    folder: RunFolder, source: str | Path | None = None, reference: str | Path | None = None
) -> list[Pair] | list[ImagePair]:
    """The test split of a run, or the pairs of two line-aligned files."""
    if source is None and reference is None:
        return open_prepared(folder.path, to_train=False).test_pairs
    if source is None or reference is None:
        raise RecipeError(
            "only one of source and reference is given",
            why="outputs are made from the source and compared with the reference",
            fix="give both --source and --reference, or neither for the run's own test split",
        )
    # Read to its end: files that are not aligned are refused before minutes of search, and not after.
    return list(read_aligned(Path(source), Path(reference)))

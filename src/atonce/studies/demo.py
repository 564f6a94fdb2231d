"""`atonce demo`: two architectures, the same text, the same minutes, and one page that compares them.

A comparison of two models (`comparison.turns`, `comparison.trial`), in this process, of which the page shows
what they wrote and looked at, too; and whose runs take the place of an earlier demo's.
"""

import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from atonce.data.pairs import Pair
from atonce.data.prepare import Prepared, prepare
from atonce.decoding.translator import Translator
from atonce.disk import advising, copy_linked, move, owned, place, remove_partial, replacing, write_text
from atonce.errors import RecipeError, RunError
from atonce.explain.text_heatmap import translation_heatmap
from atonce.figures.style import DARK
from atonce.models.architectures import Architecture, architecture
from atonce.result import HIDDEN, Result, computed
from atonce.runs import recipe as recipes
from atonce.runs.recipe import Recipe
from atonce.studies.comparison.results import studied, study_of
from atonce.studies.comparison.trial import TrainedModel, measure
from atonce.studies.comparison.turns import Entry, train_in_turn
from atonce.studies.demo_report import DemoModel, DemoReport, render_demo
from atonce.studies.experiment import Evaluation

MODELS = ("additive-bigru", "transformer")
REPORT, DATA = "report.html", "data"
UNFINISHED, FINISHED, REPLACED = ".unfinished", ".finished", ".replaced"
"""Where runs and report are until all is done; where they are, whole, until they are in their places; and
where those of an earlier demo are meanwhile."""
EXAMPLES = 20
HEATMAPS = 3
HEATMAP_WORDS = range(5, 13)
"""Lengths of sentences whose heat map a page has room for."""


@dataclass(frozen=True)
class Demo(Result):
    """What came of it."""

    report: Path
    evaluations: Mapping[str, Evaluation] = field(metadata=HIDDEN)
    """By the model's title."""
    next_commands: tuple[str, ...] = field(metadata=HIDDEN)

    @computed
    def models(self) -> Mapping[str, Evaluation]:
        """The evaluations, under the name that JSON has for them."""
        return self.evaluations


def demo(
    folder: str | Path = "runs/demo",
    *,
    recipe: str | Path = "localisation",
    minutes: float = 3.0,
    quiet: bool = False,
) -> Demo:
    """Train a recurrent model with attention and a Transformer for as many minutes each, score and compare.

    They train in turn, a slice of their minutes at a time, so that what else the machine does meets both.
    Writes a run folder for each and `report.html` into `folder`. Those of an earlier demo are there until the
    new ones are finished; if the machine dies while they are replaced, the next demo ends that first. Raises
    what `train` raises, RecipeError for a recipe of another task than translation, and RunError if `folder`
    holds somebody else's runs, or if another process makes a demo there.
    """
    folder = place(folder)
    base = recipes.with_budget(recipes.load(recipe), minutes=minutes)
    if base.data.task != "translation":
        raise RecipeError(
            f"the recipe {recipe} is for {base.data.task}",
            why="the demo sets two translators side by side",
            fix=f"use a recipe for translation, or train this one: atonce train {recipe} --out RUN",
        )
    models = [architecture(name) for name in MODELS]
    again = advising("run the same command again; an earlier demo is still there")
    with again, owned(folder, "makes a demo"):
        _put_in_place(folder, models)  # what was finished by one that was killed while it did this
        _check_replaceable(folder, models)
        unfinished = folder / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)  # of one that broke off
        prepared = prepare(base.data, base.vocabulary, unfinished / DATA, quiet=quiet)
        trained, evaluations = _train(base, models, unfinished, quiet=quiet)
        page = _report(base, prepared, trained, evaluations, folder)
        write_text(unfinished / REPORT, render_demo(page))
        shutil.rmtree(unfinished / DATA)  # each run has its own, of the same files
        move(unfinished, folder / FINISHED)
        _put_in_place(folder, models)
    by_title = {one.model.title: evaluation for one, evaluation in zip(trained, evaluations, strict=True)}
    return Demo(folder / REPORT, by_title, page.next_commands)


def _train(
    base: Recipe, models: Sequence[Architecture], folder: Path, *, quiet: bool
) -> tuple[list[TrainedModel], list[Evaluation]]:
    """Train them in turn, and score and time each when it is done."""
    evaluations: dict[Path, Evaluation] = {}

    # Not in processes of their own, as nobody asks here what memory each took: a process for each slice would
    # import torch a dozen times for each model.
    def run_trial(run: Path, name: str, *, pause_at: float | None, quiet: bool) -> None:
        evaluation = measure(run, name, pause_at=pause_at, quiet=quiet, own_process=False)
        if evaluation is not None:
            evaluations[run] = evaluation

    entries = [Entry(model, folder / model.name, model.label) for model in models]
    train_in_turn(entries, base, folder / DATA, run_trial, quiet=quiet)
    trained = [TrainedModel.read(entry.model, [entry.run]) for entry in entries]
    return trained, [evaluations[entry.run] for entry in entries]


def _check_replaceable(folder: Path, models: Iterable[Architecture]) -> None:
    """A demo gives its place to the next one; a run that somebody trained by hand does not."""
    for model in models:
        if (folder / model.name).exists() and not (folder / REPORT).exists():
            raise RunError(
                f"{folder / model.name} is already there",
                why=f"a demo replaces the runs of an earlier one, but {folder} holds no {REPORT} of one",
                fix="choose another folder with --out",
            )


def _put_in_place(folder: Path, models: Iterable[Architecture]) -> None:
    """Replace an earlier demo by the one that is finished, if one is.

    At every moment the new one is whole where it was finished, until it is whole in its place: so this can be
    done again from wherever it was killed.
    """
    finished, replaced = folder / FINISHED, folder / REPLACED
    remove_partial(folder)
    if not finished.exists():
        return
    for name in (*(model.name for model in models), REPORT):
        # Moved aside first, as a folder cannot take another's place at one stroke; and only once, or a second
        # time would move the new one.
        if (folder / name).exists() and not (replaced / name).exists():
            replaced.mkdir(exist_ok=True)
            move(folder / name, replaced / name)
        if not (folder / name).exists():
            # Links, not moves: what is finished stays whole until all of it is in its place.
            with replacing(folder / name) as partial:
                copy_linked(finished / name, partial)
    shutil.rmtree(replaced, ignore_errors=True)
    move(finished, folder / UNFINISHED)  # at one stroke: what is half-deleted must not be taken for whole
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def _report(
    base: Recipe,
    prepared: Prepared,
    trained: Sequence[TrainedModel],
    evaluations: Sequence[Evaluation],
    folder: Path,
) -> DemoReport:
    """`folder`: where the runs will be."""
    pairs = [pair for pair in prepared.test_pairs if isinstance(pair, Pair)]
    examples = _spread(range(len(pairs)), EXAMPLES)
    sentences = _for_heatmaps(pairs)
    return DemoReport(
        **vars(study_of(base, prepared, trained)),
        models=tuple(
            _model(one, evaluation, folder, examples, sentences)
            for one, evaluation in zip(trained, evaluations, strict=True)
        ),
        examples=tuple((pairs[index].source, pairs[index].target) for index in examples),
        heatmap_sentences=tuple(sentences),
        next_commands=_next_commands(folder, sentences[0]),
    )


def _model(
    trained: TrainedModel, evaluation: Evaluation, folder: Path, examples: list[int], sentences: list[str]
) -> DemoModel:
    translator = Translator.load(trained.runs[0])
    maps = [translation_heatmap(translator, sentence) for sentence in sentences]
    scores = evaluation.scores
    return DemoModel(
        **vars(studied(trained, [str(folder / trained.model.name)])),
        padding_share=float(np.mean([entry["padding_share"] for entry in trained.logs[0]])),
        scores={name: getattr(scores, name) for name in ("bleu", "chrf", "ter", "exact")},
        signatures=scores.signatures,
        outputs=tuple(evaluation.outputs[index] for index in examples),
        heatmaps=tuple(one.spec() for one in maps),
        # Their colours are no variables of the page: which ink a number has depends on its cell's.
        dark_heatmaps=tuple(one.spec(DARK) for one in maps),
    )


def _for_heatmaps(pairs: list[Pair]) -> list[str]:
    """Some sentences of a length that a picture has room for; the shortest if there are none."""
    fitting = [pair.source for pair in pairs if len(pair.source.split()) in HEATMAP_WORDS]
    # A corpus of labels or names may have no sentence of that length.
    if not fitting:
        fitting = sorted((pair.source for pair in pairs), key=len)[:HEATMAPS]
    return [fitting[index] for index in _spread(range(len(fitting)), HEATMAPS)]


def _spread(indices: range, count: int) -> list[int]:
    """At most `count` of them, evenly spread."""
    # Not the first ones, and not chosen: a test text may be in some order, and a choice would be doubted.
    return np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int).tolist()


def _next_commands(folder: Path, sentence: str) -> tuple[str, ...]:
    baseline, run = (shlex.quote(str(folder / name)) for name in MODELS)
    quoted = shlex.quote(sentence)
    return (
        f"echo {quoted} | atonce translate {run}",
        f"atonce heatmap {run} {quoted} --out heatmap.html",
        f"atonce evaluate {run} --against {baseline}",
        "atonce recipes",
    )

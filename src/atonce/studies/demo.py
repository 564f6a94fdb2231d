"""`atonce demo`: two architectures, the same text, the same minutes, and one page that compares them."""

import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from atonce.data.pairs import Pair
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.disk import advising, copy_linked, move, owned, place, remove_partial, replacing
from atonce.errors import RecipeError, RunError
from atonce.explain.text_heatmap import translation_heatmap
from atonce.figures.style import DARK
from atonce.models.architectures import Architecture, architecture
from atonce.runs import recipe as recipes
from atonce.runs.folder import LOGGED
from atonce.runs.recipe import Recipe
from atonce.studies.evaluate import Evaluation
from atonce.studies.experiment import Experiment, score
from atonce.studies.machine import machine
from atonce.studies.report import CurvePoint, DemoReport, ModelReport, write_report
from atonce.studies.turns import seconds_had, slices, turns, unequal
from atonce.training.callbacks import progress_bar
from atonce.training.train import train

MODELS = ("additive-bigru", "transformer")
REPORT = "report.html"
UNFINISHED, FINISHED, REPLACED = ".unfinished", ".finished", ".replaced"
"""Where runs and report are until all is done; where they are, whole, until they are in their places; and
where those of an earlier demo are meanwhile."""
EXAMPLES = 20
HEATMAPS = 3
HEATMAP_WORDS = range(5, 13)
"""Lengths of sentences whose heat map a page has room for."""


@dataclass(frozen=True)
class Demo:
    """What came of it."""

    report: Path
    evaluations: dict[str, Evaluation]
    """By the model's title."""
    next_commands: tuple[str, ...]


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
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)  # of one that broke off
        ended = _train_in_turn(base, models, folder / UNFINISHED, quiet=quiet)
        page = _report(base, folder, list(zip(models, ended, strict=True)))
        write_report(page, folder / UNFINISHED / REPORT)
        move(folder / UNFINISHED, folder / FINISHED)
        _put_in_place(folder, models)
    evaluations = {
        model.title: experiment.evaluation for model, experiment in zip(models, ended, strict=True)
    }
    return Demo(folder / REPORT, evaluations, page.next_commands)


def _train_in_turn(
    base: Recipe, models: Sequence[Architecture], folder: Path, *, quiet: bool
) -> list[Experiment]:
    """Train them, and score each when it is done."""
    minutes = base.training.minutes
    ended = []
    for number, pause_at in turns(len(models), minutes):
        model = models[number]
        with progress_bar(model.label, quiet=quiet) as shown:
            run = train(
                base.model_copy(update={"model": model.model}),
                folder / model.name,
                resume=True,
                pause_at=pause_at,
                callbacks=[shown],
                quiet=quiet,
            )
        if pause_at is None:
            ended.append(score(run, model.label, quiet=quiet))
    return ended


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
        if (folder / name).exists() and not (replaced / name).exists():
            replaced.mkdir(exist_ok=True)
            move(folder / name, replaced / name)
        if not (folder / name).exists():
            with replacing(folder / name) as partial:
                copy_linked(finished / name, partial)
    shutil.rmtree(replaced, ignore_errors=True)
    move(finished, folder / UNFINISHED)  # at one stroke: what is half-deleted must not be taken for whole
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def _report(base: Recipe, folder: Path, ended: list[tuple[Architecture, Experiment]]) -> DemoReport:
    prepared = open_prepared(ended[0][1].run.path, to_train=False)
    minutes = base.training.minutes
    assert minutes is not None
    pairs = [pair for pair in prepared.test_pairs if isinstance(pair, Pair)]
    examples = _spread(range(len(pairs)), EXAMPLES)
    shown = _for_heatmaps(pairs)
    return DemoReport(
        title="atonce demo",
        corpus=prepared.report["about"],
        source_language=base.data.languages[0],
        target_language=base.data.languages[1],
        pairs=prepared.report["train_pairs"],
        minutes=minutes,
        slices=slices(minutes),
        unequal=unequal((seconds_had(experiment.run.read_log(LOGGED)) for _, experiment in ended), minutes),
        machine=machine(),
        date=datetime.now(UTC).strftime("%d %B %Y"),
        models=tuple(
            _model_report(model, experiment, folder / model.name, examples, shown)
            for model, experiment in ended
        ),
        examples=tuple((pair.source, pair.target) for pair in (pairs[i] for i in examples)),
        heatmap_sentences=tuple(shown),
        next_commands=_next_commands(folder, shown[0]),
        test_pairs=len(pairs),
    )


def _model_report(
    model: Architecture, experiment: Experiment, place: Path, examples: list[int], shown: list[str]
) -> ModelReport:
    """`place`: where the run will be."""
    run, evaluation = experiment.run, experiment.evaluation
    translator = Translator.load(run.path)
    maps = [translation_heatmap(translator, sentence) for sentence in shown]
    log = run.read_log(LOGGED)
    scores = evaluation.scores
    return ModelReport(
        name=model.title,
        label=model.label,
        weights=translator.model.weight_count,
        steps=log[-1]["step"],
        train_seconds=log[-1]["seconds"],
        target_tokens_per_second=float(np.median([entry["target_tokens_per_second"] for entry in log])),
        padding_share=float(np.mean([entry["padding_share"] for entry in log])),
        scores={name: getattr(scores, name) for name in ("bleu", "chrf", "ter", "exact")},
        signatures=scores.signatures,
        curve=tuple(_curve(log)),
        outputs=tuple(evaluation.outputs[index] for index in examples),
        heatmaps=tuple(one.spec() for one in maps),
        dark_heatmaps=tuple(one.spec(DARK) for one in maps),
        run=str(place),
    )


def _curve(log: list[dict[str, Any]]) -> Iterable[CurvePoint]:
    for entry in log:
        if entry["loss"] is not None:
            yield CurvePoint(
                entry["step"],
                entry["seconds"],
                entry["loss"],
                entry.get("valid_loss"),
                entry.get("valid_chrf"),
            )


def _for_heatmaps(pairs: list[Pair]) -> list[str]:
    """Some sentences of a length that a picture has room for; the shortest if there are none."""
    fitting = [pair.source for pair in pairs if len(pair.source.split()) in HEATMAP_WORDS]
    if not fitting:
        fitting = sorted((pair.source for pair in pairs), key=len)[:HEATMAPS]
    return [fitting[index] for index in _spread(range(len(fitting)), HEATMAPS)]


def _spread(indices: range, count: int) -> list[int]:
    """At most `count` of them, evenly spread."""
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

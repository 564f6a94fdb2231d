"""`atonce train` and `atonce distill`: from a recipe to a run, and on to a recipe for a smaller one."""

from pathlib import Path
from typing import Annotated

import typer

from atonce.cli.options import Beam, Fast, Threads


def train(
    recipe: Annotated[str, typer.Argument(help="A name from `atonce recipes`, or a .toml file.")],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a key of the recipe: --set training.steps=2000", metavar="KEY=VALUE"
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="An architecture from `atonce recipes` instead of the recipe's own.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Wall-clock time to train, validation included; instead of steps.", min=0.01),
    ] = None,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a training that was interrupted.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a model and score it on the test split.

    Several processes, on one machine or more: torchrun --nproc-per-node 2 -m atonce train RECIPE --out RUN
    """
    from atonce.cli.output import print_json, print_scores, print_text, respelt
    from atonce.data.config import COMMANDS
    from atonce.data.left_out import left_out
    from atonce.runs.recipe import load

    # As keys of the recipe: so they are checked by its config, and stored with the run.
    changed = {"minutes": minutes, "threads": threads}
    options = [f"training.{key}={value}" for key, value in changed.items() if value is not None]
    chosen = load(recipe, [*(set_ or ()), *options], model=model)

    from atonce.data.prepare import open_prepared
    from atonce.models.threads import use_threads
    from atonce.studies.experiment import train as run_training
    from atonce.training.distributed import is_first
    from atonce.training.train import train as only_learn

    use_threads(threads)  # for the scoring too; the training keeps what its recipe says
    # Under torchrun, every process computes gradients; the first alone prints, scores and writes.
    if not is_first():
        only_learn(chosen, out, resume=resume, quiet=True)
        return
    try:
        experiment = run_training(chosen, out, resume=resume, quiet=json)
    except KeyboardInterrupt:
        typer.echo("Stopped. To go on, give the same command with --resume.", err=True)
        raise
    run, evaluation = experiment.run, experiment.evaluation
    report = open_prepared(run.path, to_train=False).report
    data = {"left_out": left_out(report), **{key: report.get(key, []) for key in ("notes", "warnings")}}
    if json:
        computed = {"threads": next(iter(run.read_log()[-1:]), {}).get("threads")}  # it may be deleted
        print_json({"run": str(run.path), "data": data, **computed, **evaluation.to_dict()})
        return
    print_scores({run.path.name: evaluation.scores, **evaluation.baselines})
    if evaluation.references_respelt:
        print_text(respelt(evaluation.references_respelt))
    task = chosen.data.task
    file = "FILE" if task in ("reading", "classification") else "< FILE"
    minutes, log = chosen.training.minutes, run.read_log()
    given = "" if minutes is None else f" of {minutes:g}"
    if log:  # it may be deleted
        last = log[-1]
        print_text(f"\nTrained: {last['step']:,} updates in {last['seconds'] / 60:.2f}{given} minutes")
    print_text(f"The run: {run.path}\nUse it:  atonce {COMMANDS[task]} {run.path} {file}")


def distill(
    run: Annotated[Path, typer.Argument(help="A run folder: the teacher.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the text and the student's recipe.")],
    beam: Beam = None,
    by: Annotated[
        Path | None, typer.Option(help="Another run to translate with, such as an earlier student.")
    ] = None,
    more: Annotated[
        Path | None, typer.Option(help="A file of more source texts to translate, one per line.")
    ] = None,
    fast: Fast = False,
    threads: Threads = None,
) -> None:
    """Sequence-level distillation: translate the training data of a run, for a smaller and faster model."""
    from atonce.cli.output import print_text
    from atonce.models.threads import use_threads
    from atonce.studies.distill import distill as write

    use_threads(threads)

    recipe = write(run, folder, beam=beam, by=by, more=more, fast=fast)
    print_text(f"The student's recipe: {recipe}\nTrain it:  atonce train {recipe} --out RUN")

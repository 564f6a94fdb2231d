"""`atonce recipes`: what can be trained, on what, in about how long."""

from typing import Annotated

import typer


def recipes(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the recipes that ship with atonce, and the architectures that can learn them."""
    from atonce.cli.output import print_json, print_text
    from atonce.models.architectures import ARCHITECTURES
    from atonce.runs.recipe import load, names

    known = {name: load(name) for name in names()}
    if json:
        print_json({name: recipe.model_dump(mode="json") for name, recipe in known.items()})
        return
    width = max(map(len, known))
    for name, recipe in known.items():
        training = recipe.training
        budget = f"{training.minutes:g} min" if training.minutes else f"{training.steps} steps"
        print_text(f"{name:{width}}  {budget:>7}  {recipe.about}")
    print_text("\nTrain one:  atonce train NAME --out runs/NAME   (or write your own NAME.toml)")
    width = max(len(one.name) for one in ARCHITECTURES)
    print_text("\nArchitectures from text to text (--model):\n")
    for one in ARCHITECTURES:
        print_text(f"{one.name:{width}}  {one.title}")

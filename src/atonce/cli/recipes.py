"""`atonce recipes`: the recipes that ship, the architectures, and the keys of a recipe."""

from typing import Annotated

import typer

from atonce.cli.output import print_json, print_text
from atonce.errors import RecipeError


def recipes(
    keys: Annotated[
        bool, typer.Option("--keys", help="List every key of a recipe: type or bounds, default, meaning.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON schema of recipes, for editors.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the recipes that ship with atonce, and the architectures that can be trained with them."""
    if keys and schema:
        raise RecipeError(
            "--keys and --schema do not go together",
            why="--keys is for people, --schema for editors",
            fix="give one of them; for programs there is --keys --json",
        )
    if keys:
        _print_keys(json=json)
    elif schema:
        from atonce.runs.recipe_keys import recipe_schema

        print_json(recipe_schema())
    else:
        _print_recipes(json=json)


def _print_recipes(*, json: bool) -> None:
    from atonce.models.architectures import ARCHITECTURES
    from atonce.runs.recipe import load, names

    # Read without data or torch: to list what can be trained must not take seconds.
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


def _print_keys(*, json: bool) -> None:
    from itertools import groupby
    from textwrap import fill

    from atonce.runs.recipe_keys import recipe_keys

    if json:
        print_json({"keys": [key.to_dict() for key in recipe_keys()]})
        return
    for section, keys in groupby(recipe_keys(), lambda key: key.section):
        print_text(f"[{section}]")
        for key in keys:
            of_kinds = f" ({', '.join(key.kinds)})" if key.kinds else ""
            default = "required" if key.default is None else f"default: {key.default}"
            print_text(f"  {key.key}{of_kinds}: {key.values}; {default}")
            if key.meaning:
                print_text(fill(key.meaning, 100, initial_indent="      ", subsequent_indent="      "))
        print_text("")

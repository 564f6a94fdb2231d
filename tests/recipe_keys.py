"""docs/recipes.md, made of the configs themselves: python tests/recipe_keys.py > docs/recipes.md"""

import sys

from atonce.runs.recipe_keys import SECTIONS, RecipeKey, recipe_keys

HEAD = """# The keys of a recipe

<!-- held by: tests/runs/test_recipe.py -->
A recipe is a TOML file (UTF-8, at most 1 MiB) with the sections below; `atonce recipes` lists those that
ship, and `--set training.steps=2000` changes one key. Every number has bounds, which are checked before
anything is read or allocated; they are wide, and leave out what no experiment needs.

Within them, a training or a search that would take more memory than there is is refused with an
estimate, and with what to lower to what value. Weights, gradients, the optimizer's state and the
average are counted exactly, all else as a lower bound: what would fit is not refused, and what is not
refused may still be too much. What is free is asked of the system, of the limits of a container and of
`ulimit -v`; on a GPU, of the GPU. macOS tells only what there is in all; Windows is not asked. A
training is looked at before its data are prepared, by the recipe alone and the smallest vocabulary that
there is, and again with the vocabulary and the batch that takes most of those that came of them; a search
where it begins, in `atonce translate`, `atonce evaluate`, Python and the server.

A key that several kinds have means the same in each. This page is made of the program's own descriptions,
and so is what `atonce recipes --keys` prints. `atonce recipes --schema > recipe.schema.json` makes a JSON
schema of them: editors that know TOML (Taplo, Even Better TOML) complete and check a recipe by it, if its
first line is `#:schema ./recipe.schema.json`.
"""


HELD = "<!-- held by: tests/runs/test_recipe.py -->"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    keys = [*recipe_keys()]
    for section in SECTIONS:
        parts += [
            "",
            f"## [{section}]",
            "",
            HELD,
            "| key | of kinds | value | default | |",
            f"|{' --- |' * 5}",
        ]
        parts += [_row(key) for key in keys if key.section == section]
    return "\n".join(parts) + "\n"


def _row(key: RecipeKey) -> str:
    words = not key.values.startswith(("from ", "above ", "at least ", "a text", "true, "))
    values = ", ".join(f"`{word}`" for word in key.values.split(", ")) if words else key.values
    default = "" if key.default is None else key.default if key.default == "none" else f"`{key.default}`"
    cells = (f"`{key.key}`", ", ".join(key.kinds) or "all", values, default, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(page())

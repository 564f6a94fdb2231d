"""docs/recipes.md, made of the configs themselves: python tests/recipe_keys.py > docs/recipes.md"""

import sys
from collections.abc import Iterator
from typing import get_args

from pydantic.fields import FieldInfo

from atonce.config import Config, bounds_of
from atonce.data import config as data
from atonce.models import config as models
from atonce.runs.recipe import DecodingConfig, TrainingConfig

SECTIONS: dict[str, object] = {
    "data": data.DataConfig,
    "vocabulary": data.VocabularyConfig,
    "model": models.ModelConfig,
    "model.image": models.ImageConfig,
    "model.encoder": models.EncoderConfig,
    "model.decoder": models.DecoderConfig,
    "training": TrainingConfig,
    "decoding": DecodingConfig,
}
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

A key that several kinds have means the same in each. This page is made of the program's own descriptions.
"""


HELD = "<!-- held by: tests/runs/test_recipe.py -->"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, config in SECTIONS.items():
        parts += [
            "",
            f"## [{section}]",
            "",
            HELD,
            "| key | of kinds | value | default | |",
            f"|{' --- |' * 5}",
        ]
        parts += _rows([*_configs(config)])
    return "\n".join(parts) + "\n"


def _configs(annotation: object) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _configs(part)


def _rows(configs: list[type[Config]]) -> Iterator[str]:
    seen: dict[tuple[str, str, str, str], list[str]] = {}
    for config in configs:
        for key, field in config.model_fields.items():
            if any(_configs(field.annotation)):
                continue  # a section of its own
            if key in ("kind", "task") and len(_values(field).split(", ")) == 1:
                continue  # nothing to choose
            default = "" if field.is_required() else _written(field.default)
            meaning = " ".join((field.description or "").split())
            seen.setdefault((key, _values(field), default, meaning), []).extend(_kinds(config))
    for (key, values, default, meaning), kinds in seen.items():
        every = len(kinds) == sum(map(len, map(_kinds, configs)))
        cells = (f"`{key}`", "all" if every else ", ".join(dict.fromkeys(kinds)), values, default, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kinds(config: type[Config]) -> tuple[str, ...]:
    return get_args(config.model_fields["kind"].annotation) if "kind" in config.model_fields else ()


def _written(value: object) -> str:
    if value in (None, (), ""):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: FieldInfo) -> str:
    annotation = field.annotation
    if annotation is bool:
        return "true, false"
    if bounds := bounds_of(field):
        return str(bounds[0])
    words = [word for part in (annotation, *get_args(annotation)) for word in get_args(part)]
    said = [f"`{word}`" for word in dict.fromkeys(words) if isinstance(word, str)]
    return ", ".join(said) or "a text"


if __name__ == "__main__":
    sys.stdout.write(page())

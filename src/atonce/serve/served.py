"""The models that are served, and what each is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from pathlib import Path

from atonce.config import nearest
from atonce.data.config import COMMANDS, Task
from atonce.data.prepare import is_prepared, open_prepared
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.load import load
from atonce.decoding.translator import Translator
from atonce.disk import place
from atonce.errors import RecipeError, RunError
from atonce.explain.record import has_attention
from atonce.runs.folder import RunFolder
from atonce.serve.faults import Fault
from atonce.serve.messages import (
    ModelMessage,
)

System = Translator | ImageReader | Classifier
EXAMPLES = 8
"""Texts that the page has to pick from."""
SHORT = (20, 90)
"""Characters of such a text."""


@dataclass(frozen=True)
class Served:
    """A model with the name that requests call it."""

    name: str
    folder: RunFolder
    system: System
    examples: tuple[str, ...] = ()
    """Short texts that it was not trained on."""

    @classmethod
    def open(cls, name: str, folder: RunFolder, *, fast: bool = False) -> "Served":
        """A run's model, with texts to try it on, if there are any left. Raises RunError if it is damaged."""
        system = load(folder.path, fast=fast)
        return cls(name, folder, system, _examples(folder.path) if isinstance(system, Translator) else ())

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return self.folder.recipe.data.task

    def message(self) -> ModelMessage:
        """What `/v1/models` says of it."""
        recipe = self.folder.recipe
        source, target = recipe.data.languages
        return ModelMessage(
            name=self.name,
            task=self.task,
            about=recipe.about,
            source=source,
            target=target,
            architecture=f"{recipe.model.encoder.kind} → {recipe.model.decoder.kind}",
            weights=sum(weight.numel() for weight in self.system.model.parameters()),
            attention=has_attention(self.system.model),
            examples=list(self.examples),
        )


class Models:
    """All models that are served, by name."""

    def __init__(self, served: Sequence[Served], folders: Mapping[str, RunFolder] | None = None) -> None:
        """`folders`: all runs by name, also those that have no model yet."""
        self.by_name = {one.name: one for one in served}
        self.folders = folders or {one.name: one.folder for one in served}

    @classmethod
    def open(cls, runs: Sequence[Path], *, fast: bool = False) -> "Models":
        """Load each run. `fast`: as `load` has it. Raises RunError for one that cannot be loaded.

        A run that has no weights yet, since it is just being trained, can be watched.
        """
        folders = {name: RunFolder.open(run) for name, run in zip(distinct_names(runs), runs, strict=True)}
        return cls(
            [
                Served.open(name, folder, fast=fast)
                for name, folder in folders.items()
                if folder.has_weights or not folder.read_log()
            ],
            folders,
        )

    def of_texts(self, name: str | None) -> Served:
        """The model of this name, or the first, that makes texts of texts. Raises Fault if there is none."""
        able = {key: one for key, one in self.by_name.items() if isinstance(one.system, Translator)}
        if name is None and able:
            return next(iter(able.values()))
        if name in able:
            return able[name]
        return self.choose(name, "translation")  # which says what is wrong

    def choose(self, name: str | None, task: Task) -> Served:
        """The model of this name, or the first for this task. Raises Fault if there is none such."""
        able = [one for one in self.by_name.values() if one.task == task]
        if name is None and able:
            return able[0]
        if name is None:
            raise Fault(
                HTTPStatus.NOT_FOUND,
                f"no model here is for {task}",
                why="the server was started with others",
                fix="start it with such a run too: atonce serve RUN RUN",
            )
        if name not in self.by_name:
            raise Fault(
                HTTPStatus.NOT_FOUND,
                f"there is no model {name[:100]!r}",
                why="the server was started without it",
                fix=nearest(name[:100], list(self.by_name)),
            )
        found = self.by_name[name]
        if found.task != task:
            raise Fault(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"{name} is not for {task}",
                why=f"it was trained for {found.task}",
                fix=f"ask another model, or POST /v1/{COMMANDS[found.task]}",
            )
        return found


def _examples(run: Path) -> tuple[str, ...]:
    """Short test texts of a run, if it still has them. Raises RunError if they are damaged."""
    if not is_prepared(run):
        return ()
    pairs = open_prepared(run, to_train=False).test_pairs
    texts = (pair.source for pair in pairs if isinstance(pair.source, str))
    short = (text for text in texts if SHORT[0] <= len(text) <= SHORT[1])
    return tuple(dict.fromkeys(islice(short, EXAMPLES)))


def distinct_names(runs: Sequence[Path]) -> list[str]:
    """The name of each run's folder, with as much of its path as tells it from the others.

    Raises RecipeError if one is given twice.
    """
    resolved = [place(run, RunError, what="cannot read").resolve() for run in runs]
    for number, run in enumerate(resolved):
        if run in resolved[:number]:
            raise RecipeError(
                f"{runs[number]} is given twice", why="a model has one name", fix="give each run once"
            )
    names = [run.name for run in resolved]
    parts = 1
    while len(set(names)) < len(names):
        parts += 1
        names = [
            "/".join(run.parts[-parts:]) if names.count(name) > 1 else name
            for run, name in zip(resolved, names, strict=True)
        ]
    return names

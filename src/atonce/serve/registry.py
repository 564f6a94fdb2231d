"""The models that are served, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from atonce.explain.recording import has_attention
from atonce.runs.folder import RunFolder
from atonce.serve.errors import not_found, unprocessable
from atonce.serve.messages import ModelMessage

System = Translator | ImageReader | Classifier
EXAMPLES = 8
"""Example texts of a model on the page."""
SHORT = (20, 90)
"""Characters of an example text."""


@dataclass(frozen=True)
class ServedModel:
    """A model with its name in requests."""

    name: str
    folder: RunFolder
    system: System
    examples: tuple[str, ...] = ()
    """Short texts that it was not trained on."""

    @classmethod
    def open(cls, name: str, folder: RunFolder, *, fast: bool = False) -> "ServedModel":
        """A run's model, with example texts if the run still has data. Raises RunError if it is damaged."""
        # All at the start, not at the first request: what is damaged is told to whoever starts the server.
        system = load(folder.path, fast=fast)
        return cls(name, folder, system, _examples(folder.path) if isinstance(system, Translator) else ())

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return self.folder.recipe.data.task

    @property
    def translator(self) -> Translator:
        """The translator of a model that was chosen for translation or summarization."""
        assert isinstance(self.system, Translator)
        return self.system

    @property
    def classifier(self) -> Classifier:
        """The classifier of a model that was chosen for classification."""
        assert isinstance(self.system, Classifier)
        return self.system

    def message(self) -> ModelMessage:
        """The model as `/v1/models` describes it."""
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


class ModelRegistry:
    """All models that are served, by name."""

    def __init__(self, served: Sequence[ServedModel], folders: Mapping[str, RunFolder] | None = None) -> None:
        """`folders`: all runs by name, also those without a model yet."""
        self.by_name = {one.name: one for one in served}
        self.folders = folders or {one.name: one.folder for one in served}

    @classmethod
    def open(cls, runs: Sequence[Path], *, fast: bool = False) -> "ModelRegistry":
        """Load each run. `fast`: as `load` has it. Raises RunError for one that cannot be loaded.

        A run without weights yet, as it is being trained, is shown among the runs, and has no model.
        """
        folders = {name: RunFolder.open(run) for name, run in zip(unique_names(runs), runs, strict=True)}
        return cls(
            [
                ServedModel.open(name, folder, fast=fast)
                for name, folder in folders.items()
                # Without weights and without a log it is no run in training: to load it says what is missing.
                if folder.has_weights or not folder.read_log()
            ],
            folders,
        )

    def choose_translator(self, name: str | None) -> ServedModel:
        """The model of this name, or the first, that translates or summarizes. Raises HTTPError for none."""
        able = {key: one for key, one in self.by_name.items() if isinstance(one.system, Translator)}
        if name is None and able:
            return next(iter(able.values()))
        if name in able:
            return able[name]
        return self.choose(name, "translation")  # raises the error that fits

    def choose(self, name: str | None, task: Task) -> ServedModel:
        """The model of this name, or the first for this task. Raises HTTPError if there is none such."""
        able = [one for one in self.by_name.values() if one.task == task]
        if name is None and able:
            return able[0]
        if name is None:
            raise not_found(
                f"no model here is for {task}",
                why="the server was started with others",
                fix="start it with such a run too: atonce serve RUN RUN",
            )
        if name not in self.by_name:
            raise not_found(
                f"there is no model {name[:100]!r}",
                why="the server was started without it",
                fix=nearest(name[:100], list(self.by_name)),
            )
        found = self.by_name[name]
        if found.task != task:
            raise unprocessable(
                f"{name} is not for {task}",
                why=f"it was trained for {found.task}",
                fix=f"use another model, or POST /v1/{COMMANDS[found.task]}",
            )
        return found


def _examples(run: Path) -> tuple[str, ...]:
    """Short test texts of a run, if it still has them. Raises RunError if they are damaged."""
    # Of the test split: how a model does on what it was trained on would say little.
    if not is_prepared(run):
        return ()
    pairs = open_prepared(run, to_train=False).test_pairs
    texts = (pair.source for pair in pairs if isinstance(pair.source, str))
    short = (text for text in texts if SHORT[0] <= len(text) <= SHORT[1])
    return tuple(dict.fromkeys(islice(short, EXAMPLES)))


def unique_names(runs: Sequence[Path]) -> list[str]:
    """The name of each run's folder, with as much of its path as tells it from the others.

    Raises RecipeError if one is given twice.
    """
    resolved = [place(run, RunError, what="cannot read").resolve() for run in runs]
    for number, run in enumerate(resolved):
        if run in resolved[:number]:
            raise RecipeError(
                f"{runs[number]} is given twice", why="a model has one name", fix="give each run once"
            )
    # A folder more of each path at a time, and only of names that are not unique yet.
    names = [run.name for run in resolved]
    parts = 1
    while len(set(names)) < len(names):
        parts += 1
        names = [
            "/".join(run.parts[-parts:]) if names.count(name) > 1 else name
            for run, name in zip(resolved, names, strict=True)
        ]
    return names

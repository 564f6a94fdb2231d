"""The models that are served, and what each is asked for."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from atonce.config import nearest
from atonce.data.config import COMMANDS, Task
from atonce.data.image_files import image_of
from atonce.data.images import ImageShape
from atonce.decoding.classifier import Classification, Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.opening import load
from atonce.decoding.translator import Translation, Translator
from atonce.errors import RecipeError
from atonce.explain.record import has_attention
from atonce.explain.texts.alignment import pharaoh, word_links
from atonce.explain.texts.translation import Side, TranslationAttention, attention_of
from atonce.runs.folder import RunFolder
from atonce.serve.faults import Fault
from atonce.serve.messages import (
    AlternativeMessage,
    AttentionMessage,
    LabelMessage,
    LayerMessage,
    ModelMessage,
    OutputMessage,
    SideMessage,
)
from atonce.shapes import UInt8

System = Translator | ImageReader | Classifier


@dataclass(frozen=True)
class Served:
    """A model with the name that requests call it."""

    name: str
    folder: RunFolder
    system: System

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
        )


class Models:
    """All models that are served, by name."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.by_name = {one.name: one for one in served}

    @classmethod
    def open(cls, runs: Sequence[Path], *, fast: bool = False) -> "Models":
        """Load each run. `fast`: as `load` has it. Raises RunError for one that cannot be loaded."""
        names = distinct_names(runs)
        return cls(
            [
                Served(name, RunFolder.open(run), load(run, fast=fast))
                for name, run in zip(names, runs, strict=True)
            ]
        )

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


@dataclass(frozen=True)
class TextWish:
    """What texts are to become, and what is to be told of it. Those of equal wishes go together."""

    served: Served
    beam: int | None
    nbest: int
    alignment: bool
    attention: bool

    def granted(self, texts: list[str]) -> list[OutputMessage]:
        """What becomes of each text."""
        translator = self.served.system
        assert isinstance(translator, Translator)
        found = translator.translate(texts, beam=self.beam, nbest=self.nbest)
        return [self._told(translator, text, one) for text, one in zip(texts, found, strict=True)]

    def _told(self, translator: Translator, text: str, found: Translation) -> OutputMessage:
        seen = (
            attention_of(translator, text, found.text)
            if (self.alignment or self.attention) and text.strip()
            else None
        )
        best = [AlternativeMessage(text=one.text, score=one.score) for one in found.alternatives]
        return OutputMessage(
            text=found.text,
            score=found.score,
            alternatives=best if self.nbest > 1 else None,
            alignment=(pharaoh(word_links(seen)) if seen else "") if self.alignment else None,
            attention=attention_message(seen) if self.attention and seen else None,
        )


@dataclass(frozen=True)
class LabelWish:
    """A label for each source."""

    served: Served

    def granted(self, sources: list[Any]) -> list[LabelMessage]:
        """The label of each."""
        classifier = self.served.system
        assert isinstance(classifier, Classifier)
        return [label_message(one) for one in classifier.classify(sources)]


@dataclass(frozen=True)
class StreamWish:
    """One text, word by word. `heard` is told of the output so far, on the thread of the models."""

    served: Served
    heard: Callable[[str], None]

    def granted(self, texts: list[str]) -> list[OutputMessage]:
        """What becomes of each."""
        translator = self.served.system
        assert isinstance(translator, Translator)
        found = [translator.stream(text, self.heard) for text in texts]
        return [OutputMessage(text=one.text, score=one.score) for one in found]


Wish = TextWish | LabelWish | StreamWish


def grant(wish: Wish, contents: list[Any]) -> Sequence[Any]:
    """The work of a batch."""
    return wish.granted(contents)


def label_message(found: Classification) -> LabelMessage:
    """A classification, to be sent."""
    return LabelMessage(label=found.label, probabilities=found.probabilities)


def attention_message(found: TranslationAttention) -> AttentionMessage:
    """All attention of a translation, to be sent."""
    return AttentionMessage(
        source=_side(found.source),
        target=_side(found.target),
        layers=[
            LayerMessage(
                layer=one.layer, role=one.role, weights=_rounded(one.weights[0].float().cpu().numpy())
            )
            for one in found.record.values()
        ],
    )


def _side(side: Side) -> SideMessage:
    return SideMessage(
        text=side.text,
        pieces=list(side.pieces),
        words=list(side.words),
        word_of_piece=list(side.word_of_piece),
    )


def _rounded(weights: np.ndarray) -> list[list[list[float]]]:
    """Four digits: more are not seen, and take as many bytes again."""
    rounded: list[list[list[float]]] = np.round(weights.astype(np.float64), 4).tolist()
    return rounded


def decoded_image(content: str, number: int, shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """A picture file in base64 as the model reads it. `number`: its place in the list, from 1.

    Raises Fault if it is none.
    """
    try:
        file = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Fault(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"image {number} is not base64",
            why="it has other signs than base64 has",
            fix="encode the bytes of a picture file in base64",
        ) from None
    return image_of(file, shape, name=f"image {number}")


def image_shape(served: Served) -> ImageShape | None:
    """What size of images it labels; None if it labels texts."""
    assert isinstance(served.system, Classifier)
    source = served.system.ends.source
    return source if isinstance(source, ImageShape) else None


def distinct_names(runs: Sequence[Path]) -> list[str]:
    """The name of each run's folder, with as much of its path as tells it from the others.

    Raises RecipeError if one is given twice.
    """
    resolved = [run.resolve() for run in runs]
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

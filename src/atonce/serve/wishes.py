"""What models are asked for, and how their answers are put. Equal wishes are granted together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from atonce.decoding.classifier import Classification, Classifier
from atonce.decoding.translator import Translation, Translator
from atonce.explain.texts.alignment import pharaoh, word_links
from atonce.explain.texts.translation import Side, TranslationAttention, attention_of
from atonce.seeds import torch_seed
from atonce.serve.messages import (
    AlternativeMessage,
    AttentionMessage,
    LabelMessage,
    LayerMessage,
    OutputMessage,
    SideMessage,
)
from atonce.serve.served import Served


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
        return [self.told(translator, text, one) for text, one in zip(texts, found, strict=True)]

    def told(self, translator: Translator, text: str, found: Translation) -> OutputMessage:
        """What is said of one."""
        seen = (
            attention_of(translator, text, found.text)
            if (self.alignment or self.attention) and not translator.is_blank(text)
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
class DrawnWish:
    """What is drawn at random. A request goes by itself: what others ask for changes nothing of it."""

    wish: TextWish
    temperature: float
    seed: int | None

    def granted(self, requests: list[tuple[str, ...]]) -> list[list[OutputMessage]]:
        """What becomes of the texts of each request."""
        return [self._drawn(texts) for texts in requests]

    def _drawn(self, texts: tuple[str, ...]) -> list[OutputMessage]:
        translator = self.wish.served.system
        assert isinstance(translator, Translator)
        begin_drawing(self.seed)
        found = translator.translate(texts, nbest=self.wish.nbest, temperature=self.temperature)
        return [self.wish.told(translator, text, one) for text, one in zip(texts, found, strict=True)]


def begin_drawing(seed: int | None) -> None:
    """Draw anew from a seed; without one, nobody knows from where."""
    if seed is None:
        torch.seed()
    else:
        torch.manual_seed(torch_seed(seed))


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


@dataclass(frozen=True)
class AloneWish:
    """A question that goes with no other."""

    question: Callable[[], Any]

    def granted(self, contents: list[Any]) -> list[Any]:
        """Its answer."""
        return [self.question() for _ in contents]


Wish = TextWish | DrawnWish | LabelWish | StreamWish | AloneWish


def grant(wish: Wish, contents: list[Any]) -> Sequence[Any]:
    """The work of a batch."""
    return wish.granted(contents)


def label_message(found: Classification) -> LabelMessage:
    """A classification, to be sent."""
    return LabelMessage(label=found.label, probabilities=found.probabilities)


def attention_message(found: TranslationAttention) -> AttentionMessage:
    """All attention of a translation, to be sent."""
    return AttentionMessage(
        source=side_message(found.source),
        target=side_message(found.target),
        layers=[
            LayerMessage(
                layer=one.layer, role=one.role, weights=rounded(one.weights[0].float().cpu().numpy())
            )
            for one in found.record.values()
        ],
    )


def side_message(side: Side) -> SideMessage:
    """A text, to be sent."""
    return SideMessage(
        text=side.text,
        pieces=list(side.pieces),
        words=list(side.words),
        word_of_piece=list(side.word_of_piece),
    )


def rounded(weights: np.ndarray) -> list[Any]:
    """Weights as lists, to four digits: more are not seen, and take as many bytes again. None: not finite."""
    found: np.ndarray = np.round(weights.astype(np.float64), 4)
    if not np.isfinite(found).all():
        missing, found = ~np.isfinite(found), found.astype(object)
        found[missing] = None
    return list(found.tolist())

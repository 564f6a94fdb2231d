"""What models are asked for, and how their answers are put. Equal wishes are granted together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from atonce.decoding.classifier import Classification, Classifier
from atonce.decoding.translator import Translation, Translator
from atonce.errors import AtonceError
from atonce.explain.text_heatmap import TranslationAttention, attention_of, pharaoh, word_links
from atonce.explain.words import Side
from atonce.models.threads import computing_anew
from atonce.pauses import pause
from atonce.seeds import torch_seed
from atonce.serve.costs import NUMBER, Sizes, check_memory, check_pieces, pieces_of
from atonce.serve.limits import Limits
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
    limits: Limits

    def granted(self, texts: list[str]) -> list[OutputMessage | Exception]:
        """What becomes of each text."""
        translator = self.served.system
        assert isinstance(translator, Translator)
        found = translator.translate(texts, beam=self.beam, nbest=self.nbest)
        return [self.told(translator, text, one) for text, one in zip(texts, found, strict=True)]

    def told(self, translator: Translator, text: str, found: Translation) -> OutputMessage | Exception:
        """What is said of one, or why that would be too much."""
        seen = None
        if (self.alignment or self.attention) and not translator.is_blank(text):
            pause()
            try:
                self._check(translator, text, found.text)
                seen = attention_of(translator, text, found.text)
            except AtonceError as error:
                return error
        best = [AlternativeMessage(text=one.text, score=one.score) for one in found.alternatives]
        return OutputMessage(
            text=found.text,
            score=found.score,
            alternatives=best if self.nbest > 1 else None,
            alignment=(pharaoh(word_links(seen)) if seen else "") if self.alignment else None,
            attention=attention_message(seen) if self.attention and seen else None,
        )

    def _check(self, translator: Translator, text: str, output: str) -> None:
        sizes, source, target = (
            Sizes(translator.model),
            *(pieces_of(translator, one) for one in (text, output)),
        )
        check_pieces("an output", target, self.limits, looked_at=True)
        needed = sizes.record(source, target) + self.attention * NUMBER * sizes.weights(source, target)
        check_memory("attention", needed, self.limits)


@dataclass(frozen=True)
class DrawnWish:
    """What is drawn at random. A request goes by itself: what others ask for changes nothing of it."""

    wish: TextWish
    temperature: float
    seed: int | None

    def granted(self, requests: list[tuple[str, ...]]) -> list[Sequence[OutputMessage] | Exception]:
        """What becomes of the texts of each request."""
        return [self._drawn(texts) for texts in requests]

    def _drawn(self, texts: tuple[str, ...]) -> Sequence[OutputMessage] | Exception:
        translator = self.wish.served.system
        assert isinstance(translator, Translator)
        found = translator.translate(
            texts,
            nbest=self.wish.nbest,
            temperature=self.temperature,
            generator=random_numbers(translator, self.seed),
        )
        told: list[OutputMessage] = []
        for text, one in zip(texts, found, strict=True):
            said = self.wish.told(translator, text, one)
            if isinstance(said, Exception):
                return said
            told.append(said)
        return told


def random_numbers(translator: Translator, seed: int | None) -> torch.Generator:
    """Of one request alone, from its seed; without one, nobody knows from where."""
    generator = torch.Generator(translator.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(torch_seed(seed))
    return generator


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


def grant(wish: Wish, contents: list[Any], *, threads: int) -> Sequence[Any]:
    """The work of a batch. It may come between the steps of another, whose ways of torch are not its own.

    `threads`: that torch has where nothing is worked on.
    """
    with torch.inference_mode(False), torch.enable_grad(), computing_anew(threads):
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
            LayerMessage(layer=one.layer, role=one.role, weights=one.weights[0].float().cpu().numpy())
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

"""What search makes of a source, as texts: what users are given."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from atonce import hooks
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.hypothesis import Hypothesis
from atonce.errors import AtonceError, RunError

if TYPE_CHECKING:
    from atonce.decoding.translator import Translator
    from atonce.figures.figure import Figure


@dataclass(frozen=True)
class Alternative:
    """One of the best outputs."""

    text: str
    """The output."""
    score: float
    """Log-probability in nats, divided by the length penalty: higher is better."""


@dataclass(frozen=True)
class Translation:
    """What a text, or an image, became."""

    text: str
    score: float
    """Log-probability in nats, divided by the length penalty: higher is better. 0 for an empty text."""
    alternatives: tuple[Alternative, ...]
    """The n best, best first, each text once; the first is `text` itself. All that was drawn, best first."""
    source: str | None = field(default=None, repr=False, compare=False)
    """The text it was made of, as it was given: a model reads it as its tokenizer spells it. None where
    it was an image."""

    # No field: a result that is stored, copied or sent must not take its model along.
    _translator: ClassVar["Translator | None"] = None

    def heatmap(self, **options: Any) -> "Figure":
        """What the model looked at while it wrote this. `options`: see `atonce.heatmap`.

        Raises RunError if the translation was stored, copied or sent: it has no model then.
        """
        if self._translator is None or hooks.heatmap is None:
            raise RunError(
                "the translation does not know the model that made it",
                why="it is of an image, or was stored, copied or sent, which leaves the model behind",
                fix="give the model: atonce.heatmap(model, translation.source, target=translation.text)",
            )
        return hooks.heatmap(self._translator, self.source, target=self.text, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """In a notebook: the heat map, where the model is there and has attention, and the text."""
        plain = {"text/plain": repr(self)}
        if not self.text:
            return plain
        try:
            return {**self.heatmap()._repr_mimebundle_(), **plain}
        except AtonceError:
            return plain


def translation_of(hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer, nbest: int) -> Translation:
    """The best hypotheses as texts, each text once."""
    best: dict[str, float] = {}
    for hypothesis in hypotheses:
        # Different tokens may spell one text; the first of them scored best.
        best.setdefault(one_line(tokenizer, hypothesis.tokens), hypothesis.score)
    alternatives = tuple(Alternative(text, score) for text, score in list(best.items())[:nbest])
    return Translation(alternatives[0].text, alternatives[0].score, alternatives)


def one_line(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """Their text in one line: a byte token may spell a line break, which an output line cannot hold."""
    return " ".join(tokenizer.decode(tokens).splitlines())

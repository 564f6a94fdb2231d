"""From text to text: the one pipeline that training, command line, Python and pictures share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.beam import beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, Pieces
from atonce.decoding.segments import segments
from atonce.layers.masks import padding_mask
from atonce.models.build import build_model
from atonce.models.device import choose_device
from atonce.models.interface import Memory
from atonce.models.seq2seq import Seq2Seq
from atonce.models.weights import set_weights
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import DecodingConfig
from atonce.shapes import Bool, Int


@dataclass(frozen=True)
class Alternative:
    """One of the best outputs."""

    text: str
    score: float
    """Log-probability in nats, divided by the length penalty: higher is better."""


@dataclass(frozen=True)
class Translation:
    """What a text became."""

    text: str
    score: float
    """Log-probability in nats, divided by the length penalty: higher is better. 0 for an empty text."""
    alternatives: tuple[Alternative, ...]
    """The n best, best first, each text once; the first is `text` itself."""


class Translator:
    """A trained model with its vocabulary. `atonce.load` gives one.

    Sentences are searched in batches of like length and given back in order; batching changes no output.
    """

    def __init__(
        self,
        model: Seq2Seq,
        tokenizer: Tokenizer,
        config: DecodingConfig,
        *,
        longest_source: int = 256,
        name: str = "model",
    ) -> None:
        """`longest_source`: pieces of the longest source it was trained on; longer texts go in segments.

        `name`: what figures call it.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.longest_source = longest_source
        self.name = name

    @classmethod
    def open(cls, run: str | Path, *, device: str | torch.device | None = None) -> "Translator":
        """The model of a run folder. Raises RunError if it is missing, damaged or of a newer format."""
        folder = RunFolder.open(run)
        tokenizer = Tokenizer.open(folder.path / "tokenizer.model")
        model = build_model(folder.recipe.model, tokenizer.size)
        set_weights(model, folder.load_weights(), origin=folder.path / "model.safetensors")
        return cls(
            model.to(choose_device(device)).eval(),
            tokenizer,
            folder.recipe.decoding,
            longest_source=folder.recipe.data.max_length,
            name=folder.path.resolve().name,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam: int | None = None,
        nbest: int = 1,
        temperature: float = 0.0,
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[Translation]:
        """Translate each text; an empty one stays empty, a very long one is translated in segments.

        `beam`: hypotheses kept at each step (the recipe's by default; 1 is greedy). `nbest`: alternatives
        wanted; the beam is at least as wide. `temperature`: above 0, draw pieces at random instead
        (torch's random state). `advance` is called with the number of segments done since the last call.
        """
        if isinstance(texts, str):
            raise TypeError("texts is a list of strings, not one string")
        width = max(beam or self.config.beam, nbest)
        parts = [segments(text, self.tokenizer, self.longest_source) for text in texts]
        sources = [self.tokenizer.encode(part) for text_parts in parts for part in text_parts]
        was_training = self.model.training
        self.model.eval()
        try:
            found = iter(self._search(sources, width, temperature, advance))
        finally:
            self.model.train(was_training)
        return [self._joined([next(found) for _ in text_parts], nbest) for text_parts in parts]

    def read(
        self, sources: Sequence[Sequence[int]]
    ) -> tuple[Int[Tensor, "batch source_len"], Bool[Tensor, "batch source_len"]]:
        """Sources as the encoder takes them: with `eos` at the end, padded, with their mask."""
        lengths = torch.tensor([len(source) + 1 for source in sources])
        padded = torch.full((len(sources), int(lengths.max())), self.tokenizer.pad)
        for row, source in zip(padded, sources, strict=True):
            row[: len(source) + 1] = torch.tensor([*source, self.tokenizer.eos])
        mask = padding_mask(lengths, padded.shape[1])
        return padded.to(self.device), mask.to(self.device)

    def _search(
        self, sources: list[list[int]], width: int, temperature: float, advance: Callable[[int], None]
    ) -> list[list[Hypothesis]]:
        """The best hypotheses for each source, in order."""
        found: list[list[Hypothesis]] = [[] for _ in sources]
        for indices in self._batches([len(source) + 1 for source in sources], width):
            batch = self._search_batch([sources[index] for index in indices], width, temperature)
            for index, hypotheses in zip(indices, batch, strict=True):
                found[index] = hypotheses
            advance(len(indices))
        return found

    @torch.inference_mode()
    def _search_batch(
        self, sources: list[list[int]], width: int, temperature: float
    ) -> list[list[Hypothesis]]:
        memory: Memory = self.model.encode(*self.read(sources))
        special = self.tokenizer
        pieces = Pieces(special.bos, special.eos, never=(special.pad, special.unk, special.bos))
        longest = [int(self.config.max_length_ratio * len(source)) + 10 for source in sources]
        max_lengths = torch.tensor(longest, device=self.device)
        alpha, decoder = self.config.length_penalty, self.model.decoder
        if width == 1 or temperature > 0:
            only = greedy(decoder, memory, pieces, max_lengths, alpha=alpha, temperature=temperature)
            return [[hypothesis] for hypothesis in only]
        return beam_search(decoder, memory, pieces, max_lengths, width=width, alpha=alpha)

    def _batches(self, lengths: list[int], width: int) -> Iterator[list[int]]:
        """Indices of sources of like length, the longest first, within the token budget."""
        batch: list[int] = []
        longest = 0
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            longest = longest or lengths[index]
            if batch and (len(batch) + 1) * longest * width > self.config.batch_tokens:
                yield batch
                batch, longest = [], lengths[index]
            batch.append(index)
        if batch:
            yield batch

    def _joined(self, parts: list[list[Hypothesis]], nbest: int) -> Translation:
        """One translation from the hypotheses of a text's segments; of several, the best of each."""
        if not parts:
            return Translation("", 0.0, (Alternative("", 0.0),))
        if len(parts) > 1:
            text = " ".join(self._text(hypotheses[0]) for hypotheses in parts)
            score = sum(hypotheses[0].score for hypotheses in parts) / len(parts)
            return Translation(text, score, (Alternative(text, score),))
        best: dict[str, float] = {}
        for hypothesis in parts[0]:
            best.setdefault(self._text(hypothesis), hypothesis.score)
        alternatives = tuple(Alternative(text, score) for text, score in list(best.items())[:nbest])
        return Translation(alternatives[0].text, alternatives[0].score, alternatives)

    def _text(self, hypothesis: Hypothesis) -> str:
        """One line: a byte piece may spell a line break, which an output line cannot hold."""
        return " ".join(self.tokenizer.decode(hypothesis.pieces).splitlines())


def load(run: str | Path, *, device: str | torch.device | None = None) -> Translator:
    """The model of a run folder, ready to translate, on a GPU where there is one, unless `device` is given.

    Raises RunError if it cannot be used.
    """
    return Translator.open(run, device=device)

"""An exported model on trial: CTranslate2 loads it, and what it gives must be what the run gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atonce.data.pairs import Examples
from atonce.data.prepare import is_prepared, open_prepared
from atonce.decoding.batching import padded
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.interop.ctranslate2_model import FEWEST_POSITIONS, installed
from atonce.shapes import Float, Int

OWN, DRAWN = 20, 12
"""Validation pairs, spread over all of them, and pairs of random tokens, drawn from all of the vocabulary."""
LIMIT = 1e-4
"""In nats: how far a log-probability may be from the run's, where weights are stored as float32."""
UNLIKELY = 10.0
"""Below minus this many nats, as much more may be: float32 has so many digits, not so many decimals."""
ROUNDED_LIMIT = 0.25
"""In nats, the mean over tokens: how far rounded weights may be from exact ones."""
STEPS = 24
"""Tokens that are written one by one, where keys and values are kept: code of its own in CTranslate2."""
_LONGEST_DRAWN = 48
_SPECIAL = 4  # pad, unk, bos and eos come first


@dataclass(frozen=True)
class Pairs:
    """Sources and targets, of which the model is asked how likely the target is. No `eos`."""

    sources: list[list[int]]
    targets: list[list[int]]
    own: int
    """So many are from the run's validation data; the others are random."""


@dataclass(frozen=True)
class Agreement:
    """How far log-probabilities of single tokens are from the run's, in nats; see `UNLIKELY`."""

    greatest: float
    mean: float
    tokens: int
    """That were compared."""


def pairs_for(run: Path, translator: Translator) -> Pairs:
    """What to ask: of the run's own validation data, where they are still there, and random tokens."""
    own = _own(run)
    # As many in all, where the run's data are gone.
    drawn = _drawn(translator, DRAWN if own else OWN + DRAWN)
    sources, targets = zip(*own, *drawn, strict=True)
    return Pairs(list(sources), list(targets), len(own))


def _own(run: Path) -> list[tuple[list[int], list[int]]]:
    """Validation pairs, if they are still there, no longer than the shortest table of positions."""
    if not is_prepared(run):
        return []
    examples = open_prepared(run, to_train=False).valid
    assert isinstance(examples, Examples)
    spread = np.linspace(0, len(examples) - 1, min(OWN, len(examples))).round().astype(int).tolist()
    pairs = [examples[index] for index in spread]
    # Without `eos`: CTranslate2 adds that itself, to sources and to targets that it scores.
    return [(_cut(source), _cut(target)) for source, target in pairs]


def _cut(sequence: Int[np.ndarray, " tokens"]) -> list[int]:
    without_eos: list[int] = sequence[:-1][: FEWEST_POSITIONS - 1].tolist()
    return without_eos


def _drawn(translator: Translator, count: int) -> list[tuple[list[int], list[int]]]:
    draw = np.random.default_rng(0)
    size = translator.tokenizer.size
    # Random tokens reach rows of the tables that no validation pair looks at.
    lengths = draw.integers(0, _LONGEST_DRAWN, (count, 2), endpoint=True).tolist()
    return [
        (draw.integers(_SPECIAL, size, source).tolist(), draw.integers(_SPECIAL, size, target).tolist())
        for source, target in lengths
    ]


class Trial:
    """What a run gives for some pairs, computed once, and exports beside it."""

    def __init__(self, translator: Translator, pairs: Pairs) -> None:
        """The translator is for this alone: its weights learn no more."""
        translator.model.requires_grad_(False)
        self.translator = translator
        self.pairs = pairs
        self._expected = self._forced()

    def _forced(self) -> list[Float[Tensor, " target_len"]]:
        """The log-probability of each token of each target, `eos` included."""
        ends = [[*target, self.translator.tokenizer.eos] for target in self.pairs.targets]
        every = _log_probabilities(self.translator, self.pairs.sources, self.pairs.targets)
        return [
            of_places.gather(1, torch.tensor(target)[:, None])[:, 0]
            for of_places, target in zip(every, ends, strict=True)
        ]

    def of(self, folder: Path, *, quantization: str | None = None) -> Agreement:
        """Load an export and compare. Raises RunError where CTranslate2 cannot, or is another model's."""
        try:
            loaded = _loaded(folder, quantization)
            found = [torch.tensor(one.log_probs) for one in self._scored(loaded)]
            differences = [_distance(one, ours) for one, ours in zip(found, self._expected, strict=True)]
            if quantization is None:
                differences += self._written(loaded)
        except (RuntimeError, ValueError, MemoryError) as error:  # what its C++ throws
            said = " ".join(str(error).split())
            raise RunError(
                f"cannot export {self.translator.name} to ctranslate2",
                why=f"CTranslate2 cannot run what was written, which is deleted: {said}",
                fix="use the run with atonce itself",
            ) from None
        every = torch.cat([one.flatten() for one in differences])
        agreement = Agreement(float(every.max()), float(every.mean()), sum(map(len, self._expected)))
        self._judge(agreement, quantization)
        return agreement

    def _judge(self, found: Agreement, quantization: str | None) -> None:
        if quantization is None and not found.greatest <= LIMIT:  # not a number is no agreement
            raise self._other(
                f"differ by up to {found.greatest:.2g}, and may by {LIMIT:g} (those of the run itself are "
                f"uncertain by {self._uncertainty():.1g} in float32)",
                "use the run with atonce itself",
            )
        if quantization is not None and not found.mean <= ROUNDED_LIMIT:
            raise self._other(
                f"differ by {found.mean:.2g} a token when rounded to {quantization}, and may by "
                f"{ROUNDED_LIMIT:g}",
                "export it without --quantization, or with another",
            )

    def _uncertainty(self) -> float:
        """How far the run's own log-probabilities are from those in float64. Its weights stay so."""
        self.translator.model.double()
        # In float64 the model is used up: there is only the error left to say.
        exact = zip(self._forced(), self._expected, strict=True)
        return float(torch.cat([_distance(ours.double(), one) for one, ours in exact]).max())

    def _other(self, why: str, fix: str) -> RunError:
        return RunError(
            f"cannot export {self.translator.name} to ctranslate2",
            why=f"what was written is another model, and deleted: on {len(self._expected)} sentences "
            f"log-probabilities {why}",
            fix=fix,
        )

    def _scored(self, loaded: Any) -> list[Any]:
        """Forced outputs, in one batch of different lengths."""
        tokens = self.translator.tokenizer.tokens
        found: list[Any] = loaded.score_batch(
            [*map(tokens, self.pairs.sources)], [*map(tokens, self.pairs.targets)], max_input_length=0
        )
        return found

    def _written(self, loaded: Any) -> list[Float[Tensor, "..."]]:
        """Of outputs that are written token by token, all scores at each step beside ours."""
        tokenizer = self.translator.tokenizer
        sources = [source for source in self.pairs.sources if source]  # without tokens, it writes nothing
        number = {token: id for id, token in enumerate(tokenizer.tokens(range(tokenizer.size)))}
        found = loaded.translate_batch(
            [*map(tokenizer.tokens, sources)], beam_size=1, min_decoding_length=0, max_input_length=0,
            max_decoding_length=STEPS, return_logits_vocab=True,
        )  # fmt: skip
        # What it wrote is forced on ours: where two tokens are almost as likely, either may be written.
        written = [[number[token] for token in one.hypotheses[0]] for one in found]
        expected = _log_probabilities(self.translator, sources, written)
        differences = []
        for one, ours in zip(found, expected, strict=True):
            steps = np.stack([np.array(step) for step in one.logits[0]])
            theirs = torch.from_numpy(steps).float().log_softmax(-1)
            differences.append(_distance(theirs, ours[: len(theirs)]))
        return differences


def _loaded(folder: Path, quantization: str | None) -> Any:
    """The export, on the CPU, in float32 where that is what CTranslate2 would make of it there."""
    kept = {"int8", "int8_float32", "int16"}
    return installed().Translator(
        str(folder),
        device="cpu",
        compute_type="default" if quantization in kept else "float32",
        intra_threads=torch.get_num_threads(),
    )


def _log_probabilities(
    translator: Translator, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Iterator[Float[Tensor, "target_len vocab"]]:
    """Of every token, at each place of forced outputs and behind them: one output after the other."""
    tokenizer = translator.tokenizer
    target_in, mask = padded([[tokenizer.bos, *target] for target in targets], translator.device)
    features = translator.model(*translator.read(sources), target_in)
    for of_sentence, real in zip(features, mask, strict=True):
        yield translator.model.decoder.logits(of_sentence[real]).log_softmax(-1)


def _distance(theirs: Float[Tensor, "..."], ours: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Infinite where they are of other lengths: then something was cut."""
    if theirs.shape != ours.shape:
        # More than any limit, so that it is refused like any other difference.
        return torch.tensor([torch.inf])
    return (theirs - ours).abs() / (-ours / UNLIKELY).clamp(min=1)

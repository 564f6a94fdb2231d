"""A lexicon: what each token of a source may become in the target, learned from the training pairs alone."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from atonce import stored
from atonce.data.pairs import Examples
from atonce.data.prepare import open_prepared
from atonce.errors import DiskError, RunError
from atonce.progress import progress
from atonce.runs.folder import load_tensors, save_tensors
from atonce.shapes import Float, Int

LIKELY = 30
"""Target tokens that are remembered for each source token."""
COMMON = 200
"""Target tokens that are remembered as the most frequent of all."""
ROUNDS = 5
"""Of learning: more change little."""
MOST_LINKS = 10_000_000
"""Tokens of a source times tokens of its target, over all that is learned from: 0.8 GB while it learns."""


@dataclass(frozen=True)
class Lexicon:
    """Target tokens by source token, and those of every text."""

    likely: Int[np.ndarray, "size likely"]
    """For each source token the tokens it may become, likeliest first. The first is itself: names and numbers
    are copied. Where fewer were seen, it fills the rest."""
    common: Int[np.ndarray, " common"]
    """The most frequent target tokens, most frequent first; `eos` among them."""

    @classmethod
    def learn(
        cls, examples: Examples, size: int, *, on_progress: Callable[[int], None] = lambda _: None
    ) -> "Lexicon":
        """From pairs in tokens of a vocabulary of `size`; from the first of them, where there are very many.

        IBM Model 1 (Brown 1993, section 4.1): each target token comes from one of the source's tokens, and
        expectation-maximisation finds how likely each source token becomes which. `on_progress` is called
        after each of the `ROUNDS`.
        """
        pairs = _some(examples)
        sources, targets = _side(examples, pairs, 0), _side(examples, pairs, 1)
        source_of, target_of = _links(sources[1], targets[1])
        # Pairs of tokens that occur: a table of all would have size × size places.
        links, link = np.unique(sources[0][source_of] * size + targets[0][target_of], return_inverse=True)
        # 80 MB at most that learning has no use for.
        del source_of
        source, target = links // size, links % size
        # All alike: the likelihood of Model 1 has one maximum alone, which rounds approach from anywhere.
        share = np.ones(len(links))
        for _ in range(ROUNDS):
            weight = share[link]
            # Expectation: a target token is one, shared among the source's tokens as they explain it.
            weight /= np.bincount(target_of, weight, minlength=len(targets[0]))[target_of]
            # Maximisation: what a source token became, by how often.
            counts = np.bincount(link, weight, minlength=len(links))
            share = counts / np.bincount(source, counts, minlength=size)[source]
            on_progress(1)
        frequency = np.bincount(targets[0], minlength=size)
        # Stable, as `np.lexsort` below is: learned again, a lexicon is the same.
        common = np.argsort(-frequency, kind="stable")[: min(COMMON, np.count_nonzero(frequency))]
        return Lexicon(_likeliest(source, target, share, size), common)


def lexicon_of(run: Path, size: int) -> Lexicon:
    """The run's, in tokens of a vocabulary of `size`.

    It is learned if there is none yet, or if what there is is damaged: it comes out the same.
    """
    path = run / "lexicon.safetensors"
    kept = _kept_lexicon(path, size)
    if kept is not None:
        return kept
    examples = open_prepared(run).train
    assert isinstance(examples, Examples)
    with progress("Learning a lexicon", total=ROUNDS) as advance:
        lexicon = Lexicon.learn(examples, size, on_progress=advance)
    with suppress(DiskError):  # a run that cannot be written to is as good; it learns again next time
        found = {"likely": torch.from_numpy(lexicon.likely), "common": torch.from_numpy(lexicon.common)}
        tensors = {name: tokens.int() for name, tokens in found.items()}
        save_tensors(path, tensors, about={"sha256": _sum_of(tensors)})
    return lexicon


def _kept_lexicon(path: Path, size: int) -> Lexicon | None:
    """What was learned before, if it is whole. Without a sum (of older versions), as far as can be seen."""
    try:
        tensors = load_tensors(path)
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get("sha256")
    except (RunError, OSError, SafetensorError):
        return None
    whole = tensors.keys() == {"likely", "common"} and all(
        tokens.dtype == torch.int32 and tokens.ndim == dimensions and tokens.numel()
        and tokens.min() >= 0 and tokens.max() < size
        for tokens, dimensions in ((tensors["likely"], 2), (tensors["common"], 1))
    )  # fmt: skip
    if not whole or len(tensors["likely"]) != size:
        return None
    before_sums = said is None and not stored.names(path.parent, "examples/")
    if not before_sums and said != _sum_of(tensors):
        return None
    return Lexicon(tensors["likely"].long().numpy(), tensors["common"].long().numpy())


def _sum_of(tensors: Mapping[str, torch.Tensor]) -> str:
    return sha256(b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))).hexdigest()


def _some(examples: Examples) -> int:
    """How many pairs have at most `MOST_LINKS` links, counted from the first."""
    links = np.cumsum(examples.source_lengths.astype(np.int64) * examples.target_lengths)
    return max(1, int(np.searchsorted(links, MOST_LINKS, side="right")))


def _side(
    examples: Examples, pairs: int, side: int
) -> tuple[Int[np.ndarray, " tokens"], Int[np.ndarray, " pairs"]]:
    """The tokens of the first sources (0) or targets (1) one after the other, and the length of each."""
    bounds = examples.offsets[: 2 * pairs + 1]
    lengths = np.diff(bounds)
    sides = np.repeat(np.arange(len(lengths)) % 2, lengths)
    return examples.tokens[: bounds[-1]][sides == side].astype(np.int64), lengths[side::2]


def _links(
    sources: Int[np.ndarray, " pairs"], targets: Int[np.ndarray, " pairs"]
) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"]]:
    """Each token of a source with each token of its target, by their numbers in the whole. Takes lengths."""
    width = np.repeat(targets, sources)  # of each source token: how many targets it may become
    source = np.repeat(np.arange(len(width)), width)
    first = np.repeat(np.cumsum(targets) - targets, sources)  # its target's first token
    within = np.arange(len(source)) - np.repeat(np.cumsum(width) - width, width)
    return source, first[source] + within


def _likeliest(
    source: Int[np.ndarray, " kinds"],
    target: Int[np.ndarray, " kinds"],
    share: Float[np.ndarray, " kinds"],
    size: int,
) -> Int[np.ndarray, "size likely"]:
    """The targets of each source, by falling share, after the source itself."""
    order = np.lexsort((-share, source))
    source, target = source[order], target[order]
    rank = np.arange(len(source)) - np.searchsorted(source, source)
    likely = np.repeat(np.arange(size)[:, None], LIKELY, axis=1)
    kept = rank < LIKELY - 1
    likely[source[kept], rank[kept] + 1] = target[kept]
    return likely

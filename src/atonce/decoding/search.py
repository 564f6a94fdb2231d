"""Search for the best outputs, whatever was read: greedy, beam, or drawn at random."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch

from atonce.config import shown
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.beam import BeamStep, beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, SpecialTokens
from atonce.decoding.topk import AT_ONCE, GROUP
from atonce.errors import RecipeError
from atonce.models.device import check_room, free_memory
from atonce.models.interface import Decoder, Memory, TopKDecoder, repeated
from atonce.runs.recipe import WIDEST_BEAM


@dataclass(frozen=True)
class SearchOptions:
    """How outputs are searched for, or drawn: the same for all sources of a call."""

    width: int = 1
    """Beginnings that are kept of each source; 1 is greedy."""
    alpha: float = 1.0
    """Length penalty."""
    temperature: float = 0.0
    """Above 0, tokens are drawn from the softmax of the scores divided by it."""
    draws: int = 1
    """Outputs that are drawn of each source, each by itself: they may be equal, and stay in that order."""
    prefix: Sequence[int] = ()
    """Tokens that every output begins with."""
    generator: torch.Generator | None = None
    """Of the random numbers; None: torch's own."""
    on_step: Callable[[BeamStep], None] | None = None
    """Told of each step of beam search; with it, a `width` of 1 is beam search too."""
    on_token: Callable[[int, int], None] = lambda row, token: None
    """Told of each token that is chosen where `width` is 1, and of its row in the batch."""


def search(
    decoder: Decoder, memory: Memory, tokenizer: Tokenizer, longest: Sequence[int], options: SearchOptions
) -> list[list[Hypothesis]]:
    """The best hypotheses for each row of `memory`; one each where the width is 1, and as many as are drawn.

    `longest`: tokens after which each output is cut off.
    """
    special = SpecialTokens.of(tokenizer)
    max_lengths = torch.tensor(longest, device=memory.states.device)
    alpha, prefix, draws = options.alpha, options.prefix, options.draws
    if options.temperature > 0:
        if draws > 1:
            # Draws are rows of their own, not a beam: each leaves the batch when it ends.
            memory, max_lengths = repeated(memory, draws), max_lengths.repeat_interleave(draws)
        drawn = greedy(
            decoder, memory, special, max_lengths, alpha=alpha, temperature=options.temperature,
            prefix=prefix, generator=options.generator,
        )  # fmt: skip
        return [drawn[first : first + draws] for first in range(0, len(drawn), draws)]
    if options.on_step is None and options.width == 1:
        only = greedy(
            decoder, memory, special, max_lengths, alpha=alpha, prefix=prefix, on_token=options.on_token
        )
        return [[hypothesis] for hypothesis in only]
    return beam_search(
        decoder, memory, special, max_lengths, width=options.width, alpha=alpha, prefix=prefix,
        on_step=options.on_step,
    )  # fmt: skip


def search_bytes(vocab: int, dim: int, *, width: int, device: torch.device) -> dict[str, int]:
    """What a step of search holds, at least, for `width` beginnings of a sentence, in bytes.

    By what it is: the scores of `vocab` tokens behind each, and a vector of each.
    """
    if width == 1:
        of_a_score = _TWICE
    elif device.type == "cpu" and 2 * width > vocab // GROUP:
        of_a_score = _SORTED
    else:
        of_a_score = _LOOKED_THROUGH
    return {
        f"the scores of {width:,} beginnings": of_a_score * width * vocab,
        "their states": NUMBER * width * dim,
    }


def drawing_bytes(vocab: int, dim: int, *, draws: int, forced: bool) -> dict[str, int]:
    """What drawing as many outputs of a sentence holds, at least, in bytes: as `search_bytes` tells it.

    `forced`: whether they begin with a prefix, for which the scores of all are made at once.
    """
    at_once = _DRAWN * min(draws, AT_ONCE)
    return {
        f"the scores of {draws:,} draws": vocab * max(at_once, _TWICE * draws if forced else 0),
        "their states": 2 * NUMBER * draws * dim,  # what was read is there for each draw
    }


def check_search_fits(decoder: Decoder, options: SearchOptions) -> None:
    """Raises RecipeError where a search would take more memory than there is."""
    (vocab, dim), device = decoder.output.weight.shape, decoder.output.weight.device
    is_drawn = options.temperature > 0

    def parts(rows: int) -> dict[str, int]:
        if is_drawn:
            return drawing_bytes(vocab, dim, draws=rows, forced=bool(options.prefix))
        # Twice the beam, as `beam_search` looks at so many.
        scores = decoder.fewest_scores(2 * rows) if isinstance(decoder, TopKDecoder) else vocab
        return search_bytes(min(vocab, scores), dim, width=rows, device=device)

    rows, wanted = (options.draws, "nbest") if is_drawn else (options.width, "the beam, or nbest,")
    needed = parts(rows)
    if sum(needed.values()) < _SURELY_THERE:
        return  # without asking the system, which takes longer than a short search may
    free = free_memory(device)
    if free is not None:
        # What fits is found by trying, so that the advice and the check cannot differ.
        most = bisect_right(range(1, rows), free, key=lambda fewer: sum(parts(fewer).values()))
        check_room(needed, device, of="this search", fix=f"lower {wanted} to {max(1, most):,} or less")


NUMBER = 4
"""Bytes of a float32."""
_TWICE = 2 * NUMBER
"""Of each score: as it is, and as a logarithm of a probability."""
_LOOKED_THROUGH = 3 * NUMBER
"""And as a total, or with its place."""
_SORTED = 6 * NUMBER
"""On a CPU, where a table is not looked through by groups: each score with its place (measured: 28)."""
_DRAWN = 5 * NUMBER
"""The tables of `greedy` (measured: 20)."""
_SURELY_THERE = 2**28


HIGHEST_TEMPERATURE = 1000


def check_outputs(beam: int | None, nbest: int) -> None:
    """Raise RecipeError unless outputs are wanted, and so many that one can count them."""
    for name, count in (("a beam", beam), ("nbest", nbest)):
        # `Integral`, as numpy's whole numbers are no `int`.
        if count is not None and (not isinstance(count, Integral) or not 1 <= count <= WIDEST_BEAM):
            raise RecipeError(
                f"{name} cannot be {shown(count)}",
                why="it is how many outputs are kept",
                fix=f"give a whole number from 1 to {WIDEST_BEAM:,}",
            )


def check_drawing(temperature: float, beam: int | None) -> None:
    """Raise RecipeError for a temperature that is none, or a beam beside one."""
    if not 0 <= temperature <= HIGHEST_TEMPERATURE:
        raise RecipeError(
            f"cannot draw with a temperature of {shown(temperature)}",
            why=f"scores are divided by it; at {HIGHEST_TEMPERATURE:,} all tokens are equally likely",
            fix="give a number above 0, such as 0.7; 0 searches for the best instead",
        )
    if temperature > 0 and beam is not None:
        raise RecipeError(
            f"a beam of {beam} and a temperature of {temperature:g} do not go together",
            why="a beam searches for the likeliest outputs; with a temperature they are drawn at random",
            fix="give one of them; several draws are had by nbest",
        )

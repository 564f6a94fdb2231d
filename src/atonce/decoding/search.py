"""Search for the best outputs, whatever was read: greedy, beam, or drawn at random."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.beam import BeamStep, beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, SpecialTokens
from atonce.decoding.topk import AT_ONCE, GROUP
from atonce.fast.shortlist import Candidates
from atonce.models.device import check_room, free_memory
from atonce.models.interface import Decoder, Memory, SearchModel, TopKDecoder, repeated


def search(
    model: SearchModel,
    memory: Memory,
    tokenizer: Tokenizer,
    longest: Sequence[int],
    *,
    width: int,
    alpha: float,
    temperature: float = 0.0,
    draws: int = 1,
    candidates: Candidates | None = None,
    prefix: Sequence[int] = (),
    generator: torch.Generator | None = None,
    on_step: Callable[[BeamStep], None] | None = None,
    on_token: Callable[[int, int], None] = lambda sentence, token: None,
) -> list[list[Hypothesis]]:
    """The best hypotheses for each row of `memory`; one each where `width` is 1, and `draws` where tokens are
    drawn.

    `longest`: tokens after which each output is cut off. `alpha`: length penalty. `temperature`: above 0,
    tokens are drawn from the softmax of the scores divided by it (with `generator`, or torch's own), `draws`
    times for each row, each by itself: outputs may be equal, and stay in the order in which they were drawn.
    `candidates`: tokens that beam search alone looks at. `prefix`: tokens that every output begins with.
    `on_step`: told of each step of beam search; with it, a `width` of 1 is beam search too. `on_token`: told
    of each token that is chosen where `width` is 1, and of its row.
    """
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, suppress=suppressed_tokens(tokenizer))
    max_lengths = torch.tensor(longest, device=memory.states.device)
    if temperature > 0:
        if draws > 1:
            memory, max_lengths = repeated(memory, draws), max_lengths.repeat_interleave(draws)
        drawn = greedy(
            model.decoder, memory, special, max_lengths, alpha=alpha, temperature=temperature, prefix=prefix,
            generator=generator,
        )  # fmt: skip
        return [drawn[first : first + draws] for first in range(0, len(drawn), draws)]
    if on_step is None and width == 1:
        only = greedy(
            model.decoder, memory, special, max_lengths, alpha=alpha, prefix=prefix, on_token=on_token,
        )  # fmt: skip
        return [[hypothesis] for hypothesis in only]
    return beam_search(
        model.decoder, memory, special, max_lengths, width=width, alpha=alpha, candidates=candidates,
        prefix=prefix, on_step=on_step,
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


def check_search_fits(
    decoder: Decoder, *, width: int = 1, draws: int = 0, forced: bool = False, listed: int | None = None
) -> None:
    """Raises RecipeError where a search would take more memory than there is: see `search`.

    `draws`: outputs that are drawn; 0 where they are searched for. `forced`: whether there is a prefix.
    `listed`: how many tokens are looked at behind each beginning, where it is not all of them.
    """
    (vocab, dim), device = decoder.output.weight.shape, decoder.output.weight.device

    def parts(rows: int) -> dict[str, int]:
        if draws:
            return drawing_bytes(vocab, dim, draws=rows, forced=forced)
        looked_at = 2 * rows if isinstance(decoder, TopKDecoder) else listed or vocab
        return search_bytes(min(vocab, looked_at), dim, width=rows, device=device)

    rows, wanted = (draws, "nbest") if draws else (width, "the beam, or nbest,")
    needed = parts(rows)
    if sum(needed.values()) < _SURELY_THERE:
        return  # without asking the system, which takes longer than a short search may
    free = free_memory(device)
    if free is not None:
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


def suppressed_tokens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Tokens that no output may hold."""
    return tokenizer.pad, tokenizer.unk, tokenizer.bos


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of sources of like length, the longest first, rows times the longest within `batch_tokens`."""
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = longest or lengths[index]
        if batch and (len(batch) + 1) * longest > batch_tokens:
            yield batch
            batch, longest = [], lengths[index]
        batch.append(index)
    if batch:
        yield batch


def consecutive(sources: Sequence[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Sources a few at a time, in order: rows times the longest, its end included, within `most`."""
    few: list[list[int]] = []
    longest = 0
    for source in sources:
        longest = max(longest, len(source) + 1)
        if few and (len(few) + 1) * longest > most:
            yield few
            few, longest = [], len(source) + 1
        few.append(source)
    if few:
        yield few

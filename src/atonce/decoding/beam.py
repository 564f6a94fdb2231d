"""Beam search: keep the best few beginnings, and let each of them grow."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.decoding.choice import Choice, likeliest
from atonce.decoding.hypothesis import Hypothesis, Pieces, few_are_left, length_penalty, reorder
from atonce.decoding.prefix import Begun, begin, behind
from atonce.fast.shortlist import Candidates
from atonce.models.interface import Decoder, Memory, Shared
from atonce.pauses import pause
from atonce.shapes import Bool, Float, Int


class Beams(NamedTuple):
    """The unfinished beginnings: `width` of them for each sentence that is still searched.

    The decoder's state holds them as rows, sentence after sentence.
    """

    sentences: Int[Tensor, " sentences"]
    """Which sentence of the batch each one is."""
    pieces: Int[Tensor, "sentences width length"]
    totals: Float[Tensor, "sentences width"]
    """Log-probabilities; -inf where there are fewer beginnings than places."""


class Growth(NamedTuple):
    """What a step of beam search did, for whoever watches. Sentences are those that are still searched."""

    before: Beams
    choice: Choice
    """What was looked at: the best continuations of each sentence, twice as many as go on, best first."""
    after: Beams
    """Those that go on."""
    ended: Beams
    """Those that ended, each a sentence of its own: `sentences` says of which it is."""
    cut_off: Bool[Tensor, " sentences"]
    """Whether those that go on are as long as they may be: then they are outputs as they are."""


@torch.inference_mode()
def beam_search(
    decoder: Decoder,
    memory: Memory,
    pieces: Pieces,
    max_lengths: Int[Tensor, " batch"],
    *,
    width: int,
    alpha: float = 1.0,
    candidates: Candidates | None = None,
    prefix: Sequence[int] = (),
    watch: Callable[[Growth], None] | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses found for each sentence, at most `width`, best first; sentences in order.

    `max_lengths`: pieces after which each output is cut off. `alpha`: exponent of the length penalty.
    `candidates`: pieces that alone are looked at. `prefix`: pieces that every output begins with; at least
    one comes behind them. `watch`: told of each step, whose tensors it must read at once.
    A sentence is done once `width` hypotheses have ended and no beginning scores better than the worst of
    them. Those that are done leave the batch, many at a time.
    """
    found: list[list[Hypothesis]] = [[] for _ in range(len(max_lengths))]
    begun, listed = begin(decoder, memory, pieces.bos, prefix), Shared(candidates)
    token, state, beams = begun.token, begun.state, _beginning(begun, prefix)
    max_lengths = behind(prefix, max_lengths)
    never = torch.tensor(pieces.never, dtype=torch.long, device=max_lengths.device)
    for length in range(len(prefix) + 1, int(max_lengths.max()) + 1):
        features, state = decoder.advance(token, state)
        # Twice as many as go on, since some of them end.
        choice = likeliest(decoder, features, beams.totals, never, 2 * width, listed.content)
        before = beams
        beams, parents, ended = _grow(before, choice, pieces.eos, width)
        _collect(found, ended, alpha)
        cut_off = max_lengths[beams.sentences] <= length
        if watch is not None:
            watch(Growth(before, choice, beams, ended, cut_off))
        if cut_off.any():
            _collect(found, Beams(*(part[cut_off] for part in beams)), alpha)

        is_open = [
            not over and not _is_done(found[sentence], best, length, width, alpha)
            for sentence, over, best in zip(
                beams.sentences.tolist(), cut_off.tolist(), beams.totals.amax(1).tolist(), strict=True
            )
        ]
        open_sentences = sum(is_open)
        if not open_sentences:
            break
        kept = None
        if few_are_left(open_sentences, len(is_open)):
            kept = torch.tensor(is_open, device=token.device).nonzero()[:, 0]
            beams, parents = Beams(*(part[kept] for part in beams)), parents[kept]
        elif open_sentences < len(is_open):
            # Without a likely beginning, nothing more is found.
            beams.totals[~torch.tensor(is_open, device=token.device)] = -torch.inf
        token = beams.pieces[:, :, -1].flatten()
        state, listed = reorder((state, listed), parents.flatten(), kept)
        pause()
    return [sorted(hypotheses, key=lambda h: -h.score)[:width] for hypotheses in found]


def _beginning(begun: Begun, prefix: Sequence[int]) -> Beams:
    """One beginning for each sentence: what is forced."""
    count, device = len(begun.token), begun.token.device
    return Beams(
        torch.arange(count, device=device),
        torch.tensor(prefix, dtype=torch.long, device=device).expand(count, 1, -1),
        begun.totals,
    )


def _grow(
    beams: Beams, choice: Choice, eos: int, width: int
) -> tuple[Beams, Int[Tensor, "sentences width"], Beams]:
    """Add a piece to each beginning, as chosen.

    Returns the best `width` new beginnings that go on, the row each one's parent has in the decoder's state,
    and those that ended among the best `width`.
    """
    sentences, places = beams.totals.shape
    best, place, piece = choice
    grown = torch.cat(
        [beams.pieces.gather(1, place[..., None].expand(-1, -1, beams.pieces.shape[2])), piece[..., None]], -1
    )
    is_end = piece == eos

    ended_here = is_end[:, :width] & best[:, :width].isfinite()
    sentence, rank = ended_here.nonzero(as_tuple=True)
    ended = Beams(beams.sentences[sentence], grown[sentence, rank][:, None], best[sentence, rank][:, None])

    goes_on = best.masked_fill(is_end, -torch.inf)
    kept, order = goes_on.topk(min(width, goes_on.shape[1]), dim=1)
    first_rows = torch.arange(sentences, device=place.device)[:, None] * places
    parents = first_rows + place.gather(1, order)
    kept_pieces = grown.gather(1, order[..., None].expand(-1, -1, grown.shape[2]))
    return Beams(beams.sentences, kept_pieces, kept), parents, ended


def _collect(found: list[list[Hypothesis]], beams: Beams, alpha: float) -> None:
    """Add what is in `beams` to the hypotheses found for each sentence."""
    for sentence, rows, totals in zip(*(part.tolist() for part in beams), strict=True):
        for row, total in zip(rows, totals, strict=True):
            if total > -torch.inf:
                score = total / length_penalty(len(row), alpha)
                found[sentence].append(Hypothesis(tuple(row), total, score))


def _is_done(found: list[Hypothesis], best_total: float, length: int, width: int, alpha: float) -> bool:
    """Whether no beginning, best of which is `best_total`, is worth going on with."""
    if best_total == -torch.inf:
        return True
    if len(found) < width:
        return False
    worst_kept = sorted((hypothesis.score for hypothesis in found), reverse=True)[width - 1]
    return best_total / length_penalty(length, alpha) <= worst_kept

"""Which tokens come next: the likeliest of thousands, for every beginning that is searched."""

import torch
from torch import Tensor

from atonce.models.interface import Continuations, Decoder, State, TopKDecoder
from atonce.shapes import Float, Int

AT_ONCE = 128
"""Rows whose scores exist at once: 128 × 8,000 of them stay in the caches of a CPU core or two."""
AT_ONCE_ON_GPU = 8_192
A_FEW = 16
"""Rows for which it takes longer to look at groups of scores first."""
GROUP = 128
"""Scores of which only the greatest is looked at, unless it is among the best."""


def topk_continuations(
    decoder: Decoder,
    features: Float[Tensor, "rows dim"],
    state: State,
    totals: Float[Tensor, "sentences width"],
    suppress: Int[Tensor, " suppressed"],
    count: int,
) -> Continuations:
    """The `count` likeliest continuations of each sentence; fewer where there are no more.

    `features`, `state`: what the decoder gave for the next position of each beginning, sentence after
    sentence. `totals`: log-probabilities of the beginnings; -inf where there is none. `suppress`: tokens that
    are not chosen; their share of the probability stays theirs.

    Scores of some rows are made, looked through and forgotten: a table of all would be moved through memory
    several times.
    """
    if isinstance(decoder, TopKDecoder):
        return decoder.topk(features, state, totals, suppress, count)
    width = totals.shape[1]
    # In whole sentences: a sentence's beginnings are compared with one another.
    at_once = max(1, (AT_ONCE if features.device.type == "cpu" else AT_ONCE_ON_GPU) // width)
    if len(totals) <= at_once:
        return _best(decoder.logits(features), totals, suppress, count)
    parts = [
        _best(decoder.logits(rows), before, suppress, count)
        for rows, before in zip(features.split(at_once * width), totals.split(at_once), strict=True)
    ]
    return Continuations(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _best(
    scores: Float[Tensor, "rows vocab"],
    totals: Float[Tensor, "sentences width"],
    suppress: Int[Tensor, " suppressed"],
    count: int,
) -> Continuations:
    """The best by all scores, which are used up."""
    if len(scores) > A_FEW and scores.shape[1] // GROUP >= count:
        return _best_of_groups(scores, totals, suppress, count)
    return _best_of_all(scores, totals, suppress, count)


def _best_of_all(
    scores: Float[Tensor, "rows vocab"],
    totals: Float[Tensor, "sentences width"],
    suppress: Int[Tensor, " suppressed"],
    count: int,
) -> Continuations:
    """Look at every continuation."""
    gains = scores.log_softmax(-1).index_fill_(1, suppress, -torch.inf)
    # One beginning: nothing to compare it with, and its total is added to the best alone.
    if totals.shape[1] == 1:
        gain, token = _top(gains, count)
        return Continuations(gain + totals, torch.zeros_like(token), token)
    grown = (gains.unflatten(0, totals.shape) + totals[..., None]).flatten(1)
    return _choice(*_top(grown, count), scores.shape[1])


def _best_of_groups(
    scores: Float[Tensor, "rows vocab"],
    totals: Float[Tensor, "sentences width"],
    suppress: Int[Tensor, " suppressed"],
    count: int,
) -> Continuations:
    """Look at the greatest of each group, then at the groups of the `count` greatest: no other can be best.

    The maximum of a group is found many times as fast as the places of the best. Uses `scores` up.
    """
    sentences, width = totals.shape
    vocab = scores.shape[1]
    # Kept, as their share of the probability stays theirs: the sum below is over all tokens.
    left_out = scores.index_select(1, suppress)
    scores.index_fill_(1, suppress, -torch.inf)
    in_groups = vocab // GROUP * GROUP
    groups = scores[:, :in_groups].unflatten(1, (-1, GROUP))
    # What does not fill a group is looked at one by one.
    rest = scores[:, in_groups:]

    peaks = groups.amax(-1)
    # The greatest of all is found from the groups', so the scores are passed once less.
    highest = torch.cat([peaks, rest, left_out], dim=-1).amax(-1, keepdim=True)
    shares = torch.cat([(scores - highest).exp_().sum(-1, keepdim=True), (left_out - highest).exp_()], dim=-1)
    offsets = totals - (shares.sum(-1).log_() + highest[:, 0]).unflatten(0, totals.shape)

    peak_totals = (peaks.unflatten(0, totals.shape) + offsets[..., None]).flatten(1)
    # A group whose peak is not among these has `count` peaks above it: none of its own can be among the best.
    best = peak_totals.topk(count).indices
    places, groups_there = best // peaks.shape[1], best % peaks.shape[1]
    rows = torch.arange(sentences, device=best.device)[:, None] * width + places
    grown = groups[rows, groups_there] + offsets.gather(1, places)[..., None]
    # Numbered through all beginnings, as `_choice` reads them.
    first = places * vocab + groups_there * GROUP
    numbers = first[..., None] + torch.arange(GROUP, device=best.device)

    rest_totals = rest.unflatten(0, totals.shape) + offsets[..., None]
    rest_numbers = torch.arange(width * vocab, device=best.device).unflatten(0, (width, vocab))[:, in_groups:]
    top, index = _top(torch.cat([grown.flatten(1), rest_totals.flatten(1)], 1), count)
    all_numbers = torch.cat([numbers.flatten(1), rest_numbers.flatten().expand(sentences, -1)], 1)
    return _choice(top, all_numbers.gather(1, index), vocab)


def _top(
    totals: Float[Tensor, "sentences continuations"], count: int
) -> tuple[Float[Tensor, "sentences count"], Int[Tensor, "sentences count"]]:
    """The greatest, and where they are."""
    if count == 1:
        return totals.max(-1, keepdim=True)  # on a CPU in less than half of the time of argmax or topk
    return totals.topk(min(count, totals.shape[1]))


def _choice(
    totals: Float[Tensor, "sentences count"], numbers: Int[Tensor, "sentences count"], vocab: int
) -> Continuations:
    """Of continuations that are numbered through, beginning after beginning."""
    return Continuations(totals, numbers // vocab, numbers % vocab)

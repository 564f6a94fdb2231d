"""Greedy search: take the likeliest token at each step. With a temperature, draw one instead."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from atonce.decoding.hypothesis import (
    Hypothesis,
    SpecialTokens,
    length_penalty,
    min_length_after,
    prefill,
    reorder,
    should_compact,
)
from atonce.decoding.topk import AT_ONCE, topk_continuations
from atonce.models.interface import Continuations, Decoder, Memory
from atonce.pauses import pause
from atonce.shapes import Float, Int

COLDEST, HOTTEST = 1e-30, 1e30
"""What a temperature beyond these is taken for: in float32 it might be 0, or infinite. The one draws the
likeliest token, the other each as often as any other."""


@torch.inference_mode()
def greedy(
    decoder: Decoder,
    memory: Memory,
    special: SpecialTokens,
    max_lengths: Int[Tensor, " batch"],
    *,
    alpha: float = 0.0,
    temperature: float = 0.0,
    prefix: Sequence[int] = (),
    generator: torch.Generator | None = None,
    on_token: Callable[[int, int], None] = lambda sentence, token: None,
) -> list[Hypothesis]:
    """One hypothesis for each sentence, in order.

    `max_lengths`: tokens after which each output is cut off. `alpha`: length penalty in the score.
    `temperature`: 0 takes the likeliest token; above, tokens are drawn from softmax(logits / temperature)
    with `generator`, or torch's own. `prefix`: tokens that every output begins with; at least one comes
    behind them. `on_token`: told of each token when it is chosen, and of which sentence it is.
    Sentences that have ended leave the batch, many at a time.
    """
    tokens, totals, state = prefill(decoder, memory, special.bos, prefix)
    suppress = torch.tensor(special.suppress, dtype=torch.long, device=tokens.device)
    sentences, longest = list(range(len(tokens))), min_length_after(prefix, max_lengths).tolist()
    # By the sentence's number, which it keeps when rows leave.
    outputs: list[list[int]] = [[*prefix] for _ in sentences]
    found: dict[int, Hypothesis] = {}
    for length in range(len(prefix) + 1, max(longest) + 1):
        features, state = decoder.advance(tokens, state)
        if temperature > 0:
            choice = _drawn(decoder, features, totals, suppress, temperature, generator)
        else:
            choice = topk_continuations(decoder, features, state, totals, suppress, 1)
        tokens, totals = choice.tokens[:, 0], choice.totals  # (rows,), (rows, 1)
        for sentence, token, total in zip(sentences, tokens.tolist(), totals[:, 0].tolist(), strict=True):
            # It has ended, and is carried along until it pays to move the others.
            if sentence in found:
                continue
            outputs[sentence].append(token)
            on_token(sentence, token)
            if token == special.eos or length == longest[sentence]:
                score = total / length_penalty(length, alpha)
                found[sentence] = Hypothesis(tuple(outputs[sentence]), total, score)
        if len(found) == len(outputs):
            break
        pause()
        if should_compact(len(outputs) - len(found), len(sentences)):
            open_rows = [row for row, sentence in enumerate(sentences) if sentence not in found]
            sentences = [sentences[row] for row in open_rows]
            kept = torch.tensor(open_rows, device=tokens.device)
            tokens, totals, state = reorder((tokens, totals, state), kept, kept)
    return [found[sentence] for sentence in range(len(outputs))]


def _drawn(
    decoder: Decoder,
    features: Float[Tensor, "batch dim"],
    totals: Float[Tensor, "batch 1"],
    suppress: Int[Tensor, " suppressed"],
    temperature: float,
    generator: torch.Generator | None,
) -> Continuations:
    """A token for each row, drawn at random. Log-probabilities are the same at any temperature.

    Some rows at a time: five tables of all scores would exist at once.
    """
    parts = [
        _drawn_of(decoder.logits(rows), before, suppress, temperature, generator)
        for rows, before in zip(features.split(AT_ONCE), totals.split(AT_ONCE), strict=True)
    ]
    return Continuations(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _drawn_of(
    logits: Float[Tensor, "batch vocab"],
    totals: Float[Tensor, "batch 1"],
    suppress: Int[Tensor, " suppressed"],
    temperature: float,
    generator: torch.Generator | None,
) -> Continuations:
    # Not divided by the temperature: scores of outputs that are drawn and of those that are found compare.
    gains = logits.log_softmax(-1).index_fill_(1, suppress, -torch.inf)
    behind_best = gains - gains.amax(-1, keepdim=True)  # or a tiny temperature would make infinities of all
    shares = (behind_best / min(max(temperature, COLDEST), HOTTEST)).softmax(-1)
    token = torch.multinomial(shares, 1, generator=generator)
    # Each row is a sentence with one beginning, at place 0.
    return Continuations(totals + gains.gather(1, token), torch.zeros_like(token), token)

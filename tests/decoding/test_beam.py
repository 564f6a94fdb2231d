from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atonce.decoding.beam import beam_search
from atonce.decoding.hypothesis import Hypothesis, length_penalty
from atonce.models.seq2seq import Seq2Seq
from zoo import BOS, EOS, PAD, TOKENS, Chain, blank_memory, config_of, decided_model, forced, padded

VOCAB, MOST = 6, 3
WORDS = [token for token in range(VOCAB) if token not in (PAD, BOS, EOS)]
SOURCE = [3, 5, 4, EOS]
SPACE = [
    *((*words, EOS) for length in range(MOST) for words in product(WORDS, repeat=length)),
    *product(WORDS, repeat=MOST),
]
"""Every output there can be: of at most three tokens, `eos` included, or cut off after three."""


@torch.inference_mode()
def found_by_beam(model: Seq2Seq, width: int, alpha: float) -> list[Hypothesis]:
    memory = model.encode(*padded([SOURCE]))
    return beam_search(model.decoder, memory, TOKENS, torch.tensor([MOST]), width=width, alpha=alpha)[0]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("parts", ["bigru-gru_additive", "lstm-lstm_dot_fed", "post-gru_none", "pre-pre"])
def test_a_beam_as_wide_as_the_space_is_exhaustive_search(parts: str, seed: int, alpha: float) -> None:
    model = decided_model(config_of(*parts.split("-")), vocab=VOCAB, seed=seed)
    scores = {output: forced(model, SOURCE, output) / length_penalty(len(output), alpha) for output in SPACE}
    found = found_by_beam(model, len(SPACE), alpha)
    assert [one.tokens for one in found] == sorted(SPACE, key=lambda output: -scores[output])
    for one in found:
        assert one.score == pytest.approx(scores[one.tokens], rel=1e-9)


def test_a_wider_beam_than_the_space_finds_each_output_once() -> None:
    model = decided_model(config_of("bigru", "gru_dot"), vocab=VOCAB)
    assert found_by_beam(model, 500, 1.0) == found_by_beam(model, len(SPACE), 1.0)


def beam_that_never_stops(decoder: Chain, *, width: int, most: int) -> list[tuple[float, tuple[int, ...]]]:
    """Beam search without a length penalty as one would write it on paper, to the very end."""
    beginnings: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended = []
    for step in range(most):
        grown = [
            (total + decoder.gain(step, (BOS, *words)[-1], token), (*words, token))
            for total, words in beginnings
            for token in range(VOCAB)
            if token not in TOKENS.suppress
        ]
        grown.sort(reverse=True)
        ended += [one for one in grown[:width] if one[1][-1] == EOS]
        beginnings = [one for one in grown if one[1][-1] != EOS][:width]
    return sorted(ended + beginnings, reverse=True)[:width]


@given(st.integers(0, 10_000), st.integers(1, 6), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_stopping_early_loses_nothing_without_a_length_penalty(
    seed: int, width: int, max_lengths: list[int]
) -> None:
    decoder = Chain(VOCAB, seed)
    found = beam_search(
        decoder, blank_memory(len(max_lengths)), TOKENS, torch.tensor(max_lengths), width=width, alpha=0.0
    )
    for most, hypotheses in zip(max_lengths, found, strict=True):
        expected = beam_that_never_stops(decoder, width=width, most=most)
        assert [one.tokens for one in hypotheses] == [tokens for _, tokens in expected]
        assert [one.score for one in hypotheses] == pytest.approx([total for total, _ in expected])


def test_a_longer_output_wins_where_the_length_penalty_lets_it() -> None:
    decoder = Chain(VOCAB, 0)
    decoder.table[:] = -20.0
    decoder.table[0, BOS, EOS], decoder.table[0, BOS, 3] = 0.1, 0.0  # to end at once is a little likelier
    decoder.table[1, 3, 4] = decoder.table[2, 4, EOS] = 20.0  # but what goes on costs nothing more
    best = {
        alpha: beam_search(
            decoder, blank_memory(1), TOKENS, torch.tensor([5]), width=2, alpha=alpha
        )[0][0].tokens
        for alpha in (0.0, 1.0)
    }  # fmt: skip
    assert best == {0.0: (EOS,), 1.0: (3, 4, EOS)}


def test_a_dead_end_is_no_output() -> None:
    """Fewer outputs than the beam is wide, where probability zero leaves no others."""
    decoder = Chain(VOCAB, 0)
    decoder.table[:] = -torch.inf
    decoder.table[:, :, EOS] = decoder.table[:, BOS, 3] = 0.0
    (found,) = beam_search(decoder, blank_memory(1), TOKENS, torch.tensor([5]), width=4, alpha=1.0)
    assert {one.tokens for one in found} == {(EOS,), (3, EOS)}


def test_a_sentence_that_is_done_leaves_the_others_to_go_on() -> None:
    decoder = Chain(VOCAB, 3)
    lengths = torch.tensor([6, 1, 3, 6])
    together = beam_search(decoder, blank_memory(4), TOKENS, lengths, width=3)
    for most, found in zip(lengths, together, strict=True):
        (alone,) = beam_search(decoder, blank_memory(1), TOKENS, most[None], width=3)
        assert found == alone

from dataclasses import replace

import numpy as np
import pytest
import torch

from atonce.decoding.beam import beam_search
from atonce.decoding.hypothesis import Hypothesis, SpecialTokens
from atonce.fast.lexicon import Lexicon
from atonce.fast.shortlist import Shortlist
from atonce.models.seq2seq import Seq2Seq
from zoo import EOS, SOURCES, TOKENS, config_of, decided_model, padded

VOCAB = 12
LENGTHS = torch.tensor([6, 4, 9])
LIKELY = np.array([[token, (token + 1) % VOCAB] for token in range(VOCAB)])


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    return decided_model(config_of("pre", "pre"), vocab=VOCAB)


def shortlist(common: list[int], likely: np.ndarray = LIKELY) -> Shortlist:
    return Shortlist.of(Lexicon(likely, np.array(common)))


@torch.inference_mode()
def found(
    model: Seq2Seq, rows: list[int], lists: Shortlist | None, tokens: SpecialTokens = TOKENS
) -> list[list[Hypothesis]]:
    source, mask = padded([SOURCES[row] for row in rows])
    candidates = lists and lists.candidates(source, mask, model.decoder.output, tokens.suppress)
    return beam_search(
        model.decoder, model.encode(source, mask), tokens, LENGTHS[rows], width=3, candidates=candidates
    )


def test_a_list_holds_what_the_source_may_become_and_what_is_common(model: Seq2Seq) -> None:
    source, mask = padded(SOURCES)
    made = shortlist([EOS, 8]).candidates(source, mask, model.decoder.output, TOKENS.suppress)
    for row, text in enumerate(SOURCES):
        listed = made.tokens[row][made.closed[row, 0] == 0].tolist()
        expected = {EOS, 8, *text, *((token + 1) % VOCAB for token in text)} - set(TOKENS.suppress)
        assert listed == sorted(expected)
        assert torch.equal(made.table[row, : len(listed)], model.decoder.output.weight[listed])


def test_outputs_are_made_of_the_list_alone(model: Seq2Seq) -> None:
    lists = shortlist([EOS])
    for text, hypotheses in zip(SOURCES, found(model, [0, 1, 2], lists), strict=True):
        allowed = {EOS, *text, *((token + 1) % VOCAB for token in text)}
        assert hypotheses
        assert all(set(one.tokens) <= allowed for one in hypotheses)


def test_a_list_of_all_tokens_changes_nothing(model: Seq2Seq) -> None:
    """Where no token is forbidden: those keep a share of the probability that a list does not give them."""
    anything = replace(TOKENS, suppress=())
    everything = found(model, [0, 1, 2], shortlist(list(range(VOCAB))), anything)
    plain = found(model, [0, 1, 2], None, anything)
    for ours, expected in zip(everything, plain, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in expected]
        assert [one.score for one in ours] == pytest.approx([one.score for one in expected])


def test_what_is_searched_beside_a_sentence_changes_nothing(model: Seq2Seq) -> None:
    lists = shortlist([EOS, 8])
    together = found(model, [0, 1, 2], lists)
    for row, hypotheses in enumerate(together):
        (alone,) = found(model, [row], lists)
        assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]
        assert [one.score for one in alone] == pytest.approx([one.score for one in hypotheses])

import numpy as np
import pytest
import torch

from atonce.decoding.beam import beam_search
from atonce.decoding.hypothesis import Hypothesis, SpecialTokens
from atonce.fast.lexicon import Lexicon
from atonce.fast.shortlist import Shortlist, ShortlistEngine
from atonce.models.interface import stacked
from atonce.models.seq2seq import Seq2Seq
from zoo import EOS, SOURCES, TOKENS, config_of, decided_model, padded

VOCAB = 12
LENGTHS = torch.tensor([6, 4, 9])
LIKELY = np.array([[token, (token + 1) % VOCAB] for token in range(VOCAB)])


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    return decided_model(config_of("pre", "pre"), vocab=VOCAB)


def shortlist(common: list[int], suppress: tuple[int, ...] = TOKENS.suppress) -> Shortlist:
    return Shortlist.of(Lexicon(LIKELY, np.array(common)), suppress)


def engine_of(model: Seq2Seq, lists: Shortlist) -> ShortlistEngine:
    return ShortlistEngine(model.source, model.encoder, model.decoder, lists)


@torch.inference_mode()
def found(model: Seq2Seq, rows: list[int], lists: Shortlist) -> list[list[Hypothesis]]:
    searched, source = engine_of(model, lists), padded([SOURCES[row] for row in rows])
    return beam_search(searched.decoder, searched.encode(*source), TOKENS, LENGTHS[rows], width=3)


def test_a_list_holds_what_the_source_may_become_and_what_is_common(model: Seq2Seq) -> None:
    searched = engine_of(model, shortlist([EOS, 8]))
    memory = searched.encode(*padded(SOURCES))
    made = searched.decoder.start(memory).candidates.content
    for row, text in enumerate(SOURCES):
        listed = made.tokens[row][made.closed[row, 0] == 0].tolist()
        expected = {EOS, 8, *text, *((token + 1) % VOCAB for token in text)} - set(TOKENS.suppress)
        assert listed == sorted(expected)
        assert torch.equal(made.table[row, : len(listed)], model.decoder.output.weight[listed])


@torch.inference_mode()
def test_lists_of_batches_that_are_put_together_are_those_of_one(model: Seq2Seq) -> None:
    searched = engine_of(model, shortlist([EOS, 8]))
    together = searched.encode(*padded(SOURCES)).listed
    apart = stacked([searched.encode(*padded([source])) for source in SOURCES]).listed
    assert together is not None
    assert apart is not None
    assert torch.equal(apart, together)


def test_lists_serve_wide_beams_alone(model: Seq2Seq) -> None:
    searched = engine_of(model, shortlist([EOS]))
    assert searched.serves(2, drawn=False, forced=False)
    assert not searched.serves(1, drawn=False, forced=False)
    assert not searched.serves(2, drawn=True, forced=False)
    assert not searched.serves(2, drawn=False, forced=True)


def test_outputs_are_made_of_the_list_alone(model: Seq2Seq) -> None:
    lists = shortlist([EOS])
    for text, hypotheses in zip(SOURCES, found(model, [0, 1, 2], lists), strict=True):
        allowed = {EOS, *text, *((token + 1) % VOCAB for token in text)}
        assert hypotheses
        assert all(set(one.tokens) <= allowed for one in hypotheses)


def test_a_list_of_all_tokens_changes_nothing(model: Seq2Seq) -> None:
    """Where no token is forbidden: those keep a share of the probability that a list does not give them."""
    everything = engine_of(model, shortlist(list(range(VOCAB)), suppress=()))
    source, anything = padded(SOURCES), SpecialTokens(TOKENS.bos, TOKENS.eos)
    with torch.inference_mode():
        listed, plain = (
            beam_search(one.decoder, one.encode(*source), anything, LENGTHS, width=3)
            for one in (everything, model)
        )
    for ours, expected in zip(listed, plain, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in expected]
        assert [one.score for one in ours] == pytest.approx([one.score for one in expected])


def test_what_is_searched_beside_a_sentence_changes_nothing(model: Seq2Seq) -> None:
    lists = shortlist([EOS, 8])
    together = found(model, [0, 1, 2], lists)
    for row, hypotheses in enumerate(together):
        (alone,) = found(model, [row], lists)
        assert [one.tokens for one in alone] == [one.tokens for one in hypotheses]
        assert [one.score for one in alone] == pytest.approx([one.score for one in hypotheses])

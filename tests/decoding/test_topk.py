import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from atonce.decoding import topk
from atonce.decoding.topk import GROUP, topk_continuations
from atonce.models.interface import Continuations
from zoo import Chain

NEVER = torch.tensor([0, 3])


def by_looking_at_all(scores: Tensor, totals: Tensor, suppress: Tensor, count: int) -> Continuations:
    """The definition: every continuation of every beginning, sorted."""
    sentences = len(totals)
    gains = scores.log_softmax(-1).index_fill(1, suppress, -torch.inf)
    grown = (totals.flatten()[:, None] + gains).view(sentences, -1)
    best = grown.sort(dim=1, descending=True, stable=True)
    top = min(count, grown.shape[1])
    vocab = scores.shape[1]
    return Continuations(best.values[:, :top], best.indices[:, :top] // vocab, best.indices[:, :top] % vocab)


@given(
    seed=st.integers(0, 10_000),
    sentences=st.integers(1, 30),
    width=st.integers(1, 4),
    vocab=st.sampled_from([5, 40, GROUP, 3 * GROUP, 8 * GROUP + 17]),
    count=st.integers(1, 9),
)
def test_the_likeliest_are_those_of_a_look_at_all(
    seed: int, sentences: int, width: int, vocab: int, count: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(sentences * width, vocab, generator=draw, dtype=torch.float64)
    totals = -5 * torch.rand(sentences, width, generator=draw, dtype=torch.float64)
    totals[torch.rand(sentences, width, generator=draw) < 0.2] = -torch.inf
    totals[:, 0] = -1.0
    expected = by_looking_at_all(scores, totals, NEVER, count)
    found = topk_continuations(Chain(5, 0), scores, None, totals, NEVER, count)
    real = expected.totals.isfinite()
    torch.testing.assert_close(found.totals, expected.totals)
    assert torch.equal(found.tokens[real], expected.tokens[real])
    assert torch.equal(found.places[real], expected.places[real])


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_how_many_rows_are_looked_at_together_changes_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(0)
    scores, totals = torch.randn(60, 4 * GROUP, generator=draw), torch.randn(20, 3, generator=draw)
    whole = topk_continuations(Chain(5, 0), scores, None, totals, NEVER, 4)
    monkeypatch.setattr(topk, "AT_ONCE", at_once)
    parts = topk_continuations(Chain(5, 0), scores, None, totals, NEVER, 4)
    torch.testing.assert_close(parts, whole)


def test_what_is_never_chosen_keeps_its_share_of_the_probability() -> None:
    scores = torch.zeros(1, 4)
    found = topk_continuations(Chain(5, 0), scores, None, torch.zeros(1, 1), torch.tensor([0, 1]), 4)
    assert found.totals[0, :2].exp().tolist() == pytest.approx([0.25, 0.25])
    assert found.totals[0, 2:].tolist() == [-torch.inf, -torch.inf]

import pytest
import torch

from atonce.models.interface import Memory, TokenEmbedding, stacked


def test_batches_are_stacked_in_order_and_padded_to_the_longest() -> None:
    parts = [
        Memory(torch.randn(rows, length, 3), torch.ones(rows, length, dtype=torch.bool), torch.randn(rows, 3))
        for rows, length in ((2, 5), (1, 2), (3, 4))
    ]
    whole = stacked(parts)
    assert whole.states.shape == (6, 5, 3)
    assert whole.mask.sum(1).tolist() == [5, 5, 2, 4, 4, 4]
    assert not whole.states[~whole.mask].any()
    row = 0
    for part in parts:
        rows, length, _ = part.states.shape
        torch.testing.assert_close(whole.states[row : row + rows, :length], part.states)
        torch.testing.assert_close(whole.pooled[row : row + rows], part.pooled)
        row += rows
    assert stacked(parts[:1]) is parts[0]


def test_vectors_are_of_about_unit_size_and_logits_of_unit_features_too() -> None:
    torch.manual_seed(0)
    table = TokenEmbedding(500, 64)
    vectors = table(torch.arange(500)[None])
    assert vectors.std().item() == pytest.approx(1.0, abs=0.02)
    assert table.logits(torch.randn(100, 64)).std().item() == pytest.approx(1.0, abs=0.05)


def test_a_token_is_its_row_and_its_score_the_product_with_it() -> None:
    torch.manual_seed(0)
    table = TokenEmbedding(5, 4)
    torch.testing.assert_close(table(torch.tensor([[3, 1]]))[0], table.weight[[3, 1]] * 2)
    features = torch.randn(2, 3, 4)
    torch.testing.assert_close(table.logits(features), features @ table.weight.T)

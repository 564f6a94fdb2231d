import pytest
import torch

from atonce.models.embedding import TokenEmbedding


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

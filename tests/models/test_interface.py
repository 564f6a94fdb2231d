import torch

from atonce.models.interface import Memory, stacked


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

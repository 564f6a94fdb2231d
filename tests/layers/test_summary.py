import torch

from atonce.layers.summary import mean_of_real


def test_padding_has_no_part_in_the_mean() -> None:
    states = torch.arange(12, dtype=torch.float64).view(2, 3, 2)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.stack([states[0, :2].mean(0), states[1].mean(0)])
    assert torch.equal(mean_of_real(states, mask), expected)
    states[0, 2] = 1e6
    assert torch.equal(mean_of_real(states, mask), expected)

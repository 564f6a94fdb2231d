import torch

from atonce.layers.masks import padding_mask


def test_what_is_real_comes_first() -> None:
    mask = padding_mask(torch.tensor([2, 0, 3]), 4)
    assert mask.tolist() == [
        [True, True, False, False],
        [False, False, False, False],
        [True, True, True, False],
    ]

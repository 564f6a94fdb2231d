import pytest
import torch

from atonce.layers.dropout import dropout


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.999])
def test_as_much_is_zeroed_as_was_asked_and_the_mean_is_kept(share: float) -> None:
    torch.manual_seed(0)
    inputs = torch.full((401, 503), 2.0)  # not a multiple of eight
    outputs = dropout(inputs, share, True)
    rounded = min(max(round(share * 256), 1), 255) / 256
    kept = outputs[outputs != 0]
    sigma = (rounded * (1 - rounded) / inputs.numel()) ** 0.5
    assert 1 - kept.numel() / inputs.numel() == pytest.approx(rounded, abs=4 * sigma)
    torch.testing.assert_close(kept, torch.full_like(kept, 2 / (1 - rounded)))
    assert outputs.mean().item() == pytest.approx(2.0, abs=4 * 2 * sigma / (1 - rounded))


def test_every_element_is_drawn_for_itself() -> None:
    torch.manual_seed(0)
    kept = dropout(torch.ones(4000, 24), 0.5, True) != 0
    correlations = kept.T.double().corrcoef()
    assert (correlations - torch.eye(24)).abs().max() < 0.1
    assert not torch.equal(dropout(torch.ones(64), 0.5, True), dropout(torch.ones(64), 0.5, True))


@pytest.mark.parametrize(("share", "training"), [(0.5, False), (0.0, True), (0.0, False)])
def test_otherwise_nothing_happens(share: float, training: bool) -> None:
    inputs = torch.ones(3, 4)
    before = torch.get_rng_state()
    assert dropout(inputs, share, training) is inputs
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gradient_goes_where_the_numbers_went() -> None:
    inputs = torch.ones(3, 5, dtype=torch.float64, requires_grad=True)
    outputs = dropout(inputs, 0.4, True)
    outputs.sum().backward()
    assert torch.equal(inputs.grad, outputs)  # type: ignore[arg-type]


def test_the_seed_decides() -> None:
    torch.manual_seed(3)
    first = dropout(torch.ones(100), 0.5, True)
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(100), 0.5, True), first)


def test_a_byte_is_kept_for_each_element() -> None:
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        dropout(torch.ones(30, 50, requires_grad=True) * 1, 0.1, True)
    assert sum(tensor.nbytes for tensor in kept) == 30 * 50

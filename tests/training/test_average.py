import pytest
import torch
from torch import Tensor, nn

from atonce.training.average import WeightAverage


def numbered(value: float) -> nn.Module:
    """A model of one weight."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def weights(model: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def test_a_weight_that_does_not_move_is_its_own_average() -> None:
    model = numbered(3.0)
    average = WeightAverage(model, 0.998)
    for _ in range(20):
        average.update(model)
    assert average.weights["weight"].item() == 3.0


def test_the_beginning_is_soon_forgotten() -> None:
    """Without a bias towards where training began: after n steps it counts for about a tenth of them."""
    model = numbered(100.0)
    average = WeightAverage(model, 0.9999)
    nn.init.constant_(model.weight, 0.0)
    for _ in range(50):
        average.update(model)
    assert abs(average.weights["weight"].item()) < 0.01


def test_later_on_it_is_the_exponential_average() -> None:
    model = numbered(0.0)
    average = WeightAverage(model, 0.5)
    expected = 0.0
    for step in range(1, 30):
        nn.init.constant_(model.weight, float(step))
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.weights["weight"].item() == pytest.approx(expected)
    assert decay == 0.5


def test_to_swap_twice_changes_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    average = WeightAverage(model, 0.9)
    for weight in model.parameters():
        nn.init.normal_(weight)
    own, mean = weights(model), [weight.clone() for weight in average.weights.values()]
    average.swap(model)
    assert all(map(torch.equal, weights(model), mean))
    average.swap(model)
    assert all(map(torch.equal, weights(model), own))
    assert all(map(torch.equal, average.weights.values(), mean))


def test_weights_come_back_after_an_error() -> None:
    model = numbered(1.0)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model.weight, 2.0)

    def stopped() -> None:
        with average.in_place_of_weights(model):
            assert weights(model)[0].item() == 1.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert weights(model)[0].item() == 2.0
    assert average.weights["weight"].item() == 1.0


def test_the_average_is_not_the_models_own_tensors() -> None:
    model = numbered(1.0)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model.weight, 2.0)
    assert average.weights["weight"].item() == 1.0

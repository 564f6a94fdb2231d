from pathlib import Path

import pytest
import torch

from atonce.errors import RunError
from atonce.models.weights import set_weights, weights_of
from zoo import SOURCES, config_of, model_of, padded

CONFIG = config_of("bigru", "pre")
ORIGIN = Path("run/model.safetensors")


def test_weights_go_there_and_back() -> None:
    one, other = model_of(CONFIG, seed=1), model_of(CONFIG, seed=2)
    source = padded(SOURCES)
    assert not torch.allclose(one.encode(*source).states, other.encode(*source).states)
    set_weights(other, weights_of(one), origin=ORIGIN)
    assert torch.equal(one.encode(*source).states, other.encode(*source).states)


def test_weights_are_copies_and_a_shared_table_is_one() -> None:
    model = model_of(CONFIG)
    weights = weights_of(model)
    assert sum(weight.numel() for weight in weights.values()) == model.weight_count
    before = {name: weight.clone() for name, weight in weights.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(weights[name], before[name]) for name in before)
    assert not any(weight.requires_grad for weight in weights.values())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda weights: weights.pop("decoder.final_norm.weight"), r"is absent in the file and \(8,\)"),
        (lambda weights: weights.update(surplus=torch.ones(2, 3)), r"surplus is \(2, 3\) .* and absent"),
        (
            lambda weights: weights.update(
                {"decoder.layers.0.feed_forward.hidden.weight": torch.ones(12, 9)}
            ),
            r"decoder\.layers\.0\.feed_forward\.hidden\.weight is \(12, 9\) .* in the file and \(12, 8\) of",
        ),
    ],
    ids=["missing", "surplus", "of another shape"],
)
def test_weights_of_another_model_are_refused_and_nothing_is_changed(change, why: str) -> None:
    model = model_of(CONFIG, seed=1)
    before, weights = weights_of(model), weights_of(model_of(CONFIG, seed=2))
    change(weights)
    with pytest.raises(RunError, match=why) as error:
        set_weights(model, weights, origin=ORIGIN)
    assert str(ORIGIN) in error.value.what
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(model).items())

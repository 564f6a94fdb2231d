import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from atonce.layers.convolution import GatedConvolution
from atonce.layers.positions import LearnedPositions
from atonce.models.build import build_model
from atonce.models.config import ModelConfig, PooledConvolutionsConfig
from atonce.models.interface import TokenEmbedding
from atonce.runs.recipe import TrainingConfig
from atonce.training.muon import Muon
from atonce.training.optimizers import Schedule, WeightAverage, build_optimizers, hidden_matrices, rate_factor
from zoo import config_of, every_part, model_of


@every_part
@pytest.mark.parametrize("tied", [True, False])
def test_muon_learns_every_matrix_that_is_no_table(config: ModelConfig, tied: bool) -> None:
    model = model_of(config.model_copy(update={"tied_embeddings": tied}))
    tables = {id(m.weight) for m in model.modules() if isinstance(m, TokenEmbedding | LearnedPositions)}
    matrices = hidden_matrices(model)
    chosen = [id(weight) for weight, _ in matrices]
    assert len(chosen) == len(set(chosen))
    # a matrix of one row, such as the v of additive attention, is a vector
    assert set(chosen) == {
        id(weight)
        for weight in model.parameters()
        if weight.ndim == 2 and min(weight.shape) > 1 and id(weight) not in tables
    }


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_the_gates_of_a_cell_are_blocks_of_their_own(cell: str, gates: int) -> None:
    model = model_of(config_of(f"bi{cell}", f"{cell}_general"))
    recurrent = {
        id(weight) for m in model.modules() if isinstance(m, nn.RNNBase) for weight in m.parameters()
    }
    for weight, blocks in hidden_matrices(model):
        assert blocks == (gates if id(weight) in recurrent else 1)
        assert weight.shape[0] % blocks == 0


def test_the_gate_of_a_convolution_is_a_block_of_its_own() -> None:
    model = model_of(config_of("convolution", "convolution"))
    gated = {id(m.linear.weight) for m in model.modules() if isinstance(m, GatedConvolution)}
    assert gated
    assert gated == {id(weight) for weight, blocks in hidden_matrices(model) if blocks == 2}


def test_muon_learns_the_kernels_of_convolutions_over_the_plane() -> None:
    config = config_of("pre", "pre").model_copy(update={"image": PooledConvolutionsConfig(channels=(4,))})
    model = build_model(config, 11, image=(8, 8))
    kernels = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert kernels
    assert kernels <= {id(weight) for weight, _ in hidden_matrices(model)}


@every_part
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_every_weight_is_learned_by_one_optimiser_and_changes(config: ModelConfig, optimizer: str) -> None:
    model = model_of(config)
    optimizers = build_optimizers(model, TrainingConfig(optimizer=optimizer))
    assert [type(one) for one in optimizers] == (
        [Muon, torch.optim.AdamW] if optimizer == "muon" else [torch.optim.AdamW]
    )
    learned = [id(weight) for one in optimizers for group in one.param_groups for weight in group["params"]]
    assert sorted(learned) == sorted(map(id, model.parameters()))
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    for one in optimizers:
        one.step()
    assert not any(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))


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


SCHEDULES: tuple[Schedule, ...] = ("linear", "cosine", "inverse_sqrt", "constant")


def rates(schedule: Schedule, warmup: int, steps: int) -> list[float]:
    return [rate_factor(n, schedule=schedule, warmup=warmup, steps=steps) for n in range(1, steps + 1)]


@given(st.sampled_from(SCHEDULES), st.integers(0, 60), st.integers(1, 600))
def test_the_rate_rises_in_a_line_to_its_peak_and_never_again(
    schedule: Schedule, warmup: int, steps: int
) -> None:
    factors = rates(schedule, warmup, steps)
    rise = min(warmup, steps // 10)
    assert factors[:rise] == pytest.approx([n / rise for n in range(1, rise + 1)])
    assert max(factors) <= 1
    assert all(0 < later <= earlier for earlier, later in pairwise(factors[max(rise - 1, 0) :]))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_it_reaches_the_peak_at_the_end_of_the_warm_up_and_nearly_zero_at_the_end(schedule: Schedule) -> None:
    factors = rates(schedule, 100, 2000)
    assert factors[99] == 1
    assert 0 < factors[-1] < 1 / 1000
    assert factors[1049] == pytest.approx(0.5, abs=0.01), "half-way down both are half of the peak"


def test_linear_falls_in_a_line() -> None:
    falls = [earlier - later for earlier, later in pairwise(rates("linear", 0, 50))]
    assert falls == pytest.approx([1 / 51] * 49)


def test_inverse_square_root_is_that_of_the_paper() -> None:
    dim, warmup = 512, 400
    for step in (1, 7, 399, 400, 401, 5000):
        paper = dim**-0.5 * min(step**-0.5, step * warmup**-1.5)  # Vaswani 2017, equation 3
        peak = dim**-0.5 * warmup**-0.5
        factor = rate_factor(step, schedule="inverse_sqrt", warmup=warmup, steps=10_000)
        assert factor == pytest.approx(paper / peak)


def test_constant_stays() -> None:
    assert set(rates("constant", 10, 200)[9:]) == {1.0}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_while_the_steps_are_unknown_it_rises_and_waits(schedule: Schedule) -> None:
    factors = [rate_factor(n, schedule=schedule, warmup=4, steps=None) for n in range(1, 9)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    waiting = [math.sqrt(4 / n) for n in range(5, 9)] if schedule == "inverse_sqrt" else [1.0] * 4
    assert factors[4:] == waiting


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_warm_up_starts_at_the_peak(schedule: Schedule) -> None:
    assert rates(schedule, 0, 1000)[0] == pytest.approx(1, abs=1 / 500)

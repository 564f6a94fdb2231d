"""What one step does, and what it does not do."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from atonce.data.batches import Batch, DataPosition
from atonce.models.build import build_model
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import TrainingConfig
from atonce.training import loop as loop_module
from atonce.training.budget import Clock, StepBudget
from atonce.training.loop import Update, updates
from atonce.training.loss import Loss, batch_loss
from atonce.training.optimizers import WeightAverage, build_optimizers

VOCAB = 30
NO_DROPOUT = {
    "dim": 8,
    "encoder": {"kind": "gru", "dropout": 0},
    "decoder": {"kind": "gru", "attention": "additive", "dropout": 0},
}


def a_batch(rows: int, length: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, VOCAB, (rows, length), generator=draw)
    real = torch.ones(rows, length, dtype=torch.bool)
    return Batch(tokens, real, tokens.roll(1, 1), tokens, real)


def stream(*batches: Batch) -> Iterator[tuple[Batch, DataPosition]]:
    number = 0
    while True:
        for batch in batches:
            number += 1
            yield batch, DataPosition(0, number)


def a_model(model: dict[str, Any] = NO_DROPOUT) -> Seq2Seq:
    torch.manual_seed(1)
    return build_model(tiny.recipe(model=model).model, VOCAB)


def config(**changed: Any) -> TrainingConfig:
    made = {"steps": 4, "warmup": 0, "schedule": "constant", "precision": "float32", **changed}
    return TrainingConfig(**made)


def learned(
    model: Seq2Seq, options: TrainingConfig, *batches: Batch, average: WeightAverage | None = None
) -> list[Update]:
    optimizers = build_optimizers(model, options)
    return list(updates(model, optimizers, average, stream(*batches), options, StepBudget(options.steps)))


def weights(model: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def test_it_learns() -> None:
    ups = learned(a_model(), config(steps=30), a_batch(4, 5, 0))
    assert [update.step for update in ups] == list(range(1, 31))
    assert ups[-1].loss < 0.8 * ups[0].loss


def test_two_batches_accumulated_are_one_batch_of_both() -> None:
    one, other = a_batch(3, 5, 0), a_batch(3, 5, 1)
    both = Batch(*(torch.cat([one.tensors()[name], other.tensors()[name]]) for name in one.tensors()))
    apart, together = a_model(), a_model()
    (first,) = learned(apart, config(steps=1, accumulate=2), one, other)
    (second,) = learned(together, config(steps=1), both)
    assert first.loss == pytest.approx(second.loss, rel=1e-5)
    assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-4)
    assert first.target_tokens == second.target_tokens == 30
    assert (first.position, second.position) == (DataPosition(0, 2), DataPosition(0, 1))
    for left, right in zip(weights(apart), weights(together), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)


def test_accumulated_batches_of_different_sizes_count_by_their_tokens() -> None:
    """The gradient is that of the mean over all tokens, not the mean of two means."""
    small, large = a_batch(1, 2, 0), a_batch(5, 6, 1)
    model = a_model()
    sums = [batch_loss(model, batch, 0.1).smoothed for batch in (small, large)]
    total = (sums[0] + sums[1]) / (2 + 30)
    total.backward()
    norm = nn.utils.get_total_norm([weight.grad for weight in model.parameters() if weight.grad is not None])
    (update,) = learned(a_model(), config(steps=1, accumulate=2), small, large)
    assert update.loss == pytest.approx(total.item(), rel=1e-5)
    assert update.gradient_norm == pytest.approx(norm.item(), rel=1e-4)


def test_long_gradients_are_clipped_and_their_length_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    class Still(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            gradients = [p.grad for group in self.param_groups for p in group["params"]]
            seen.append(nn.utils.get_total_norm(gradients).item())

    for limit in (1e-3, 1e3):
        model, options = a_model(), config(steps=1, clip_norm=limit)
        source = stream(a_batch(3, 5, 0))
        optimizers: list[torch.optim.Optimizer] = [Still(model.parameters(), lr=1.0)]
        (update,) = updates(model, optimizers, None, source, options, StepBudget(1))
        assert 1e-3 < update.gradient_norm < 1e3
        assert seen.pop() == pytest.approx(min(limit, update.gradient_norm), rel=1e-3)


def test_the_rate_follows_the_schedule_and_peaks_come_back() -> None:
    model = a_model()
    options = config(steps=10, schedule="linear", warmup=5)
    optimizers = build_optimizers(model, options)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    used: list[list[float]] = []
    for optimizer in optimizers:
        optimizer.register_step_pre_hook(lambda one, *_: used.append([one.param_groups[0]["lr"]]))
    factors = []
    for update in updates(model, optimizers, None, stream(a_batch(2, 3, 0)), options, StepBudget(10)):
        factors.append(update.rate_factor)
        assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == peaks
    expected = [[peak * factor] for factor in factors for peak in peaks]
    assert used == expected
    assert len(set(factors)) > 5


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    broken, step = {2, 4}, 0

    def sometimes(model: Seq2Seq, batch: Batch, smoothing: float) -> Loss:
        nonlocal step
        step += 1
        loss = batch_loss(model, batch, smoothing)
        if step not in broken:
            return loss
        if where == "loss":
            return Loss(loss.smoothed * torch.nan, loss.nll)
        loss.smoothed.register_hook(lambda gradient: gradient * torch.inf)
        return loss

    monkeypatch.setattr(loop_module, "batch_loss", sometimes)
    model = a_model()
    average = WeightAverage(model, 0.9)
    options = config(steps=5)
    optimizers = build_optimizers(model, options)
    before, changed = weights(model), []
    source = stream(a_batch(3, 5, 0))
    for update in updates(model, optimizers, average, source, options, StepBudget(5)):
        assert update.skipped == (update.step in broken)
        changed.append(not all(map(torch.equal, before, weights(model))))
        assert average.updates == sum(changed)
        assert all(weight.isfinite().all() for weight in average.weights.values())
        assert all(weight.grad is None for weight in model.parameters()), "gradients are not carried over"
        before = weights(model)
    assert changed == [True, False, True, False, True]


def test_it_goes_on_where_it_is_told_and_ends_with_the_budget() -> None:
    model, options = a_model(), config(steps=9)
    source = stream(a_batch(2, 3, 0))
    ups = list(
        updates(
            model,
            build_optimizers(model, options),
            None,
            source,
            options,
            StepBudget(9),
            done=6,
            clock=Clock(50.0),
        )
    )
    assert [update.step for update in ups] == [7, 8, 9]
    assert all(50 < update.seconds < 110 for update in ups)


def test_nothing_is_done_when_the_budget_is_used_up() -> None:
    model, options = a_model(), config(steps=9)
    source = stream(a_batch(2, 3, 0))
    assert not list(
        updates(model, build_optimizers(model, options), None, source, options, StepBudget(9), done=9)
    )


def test_each_group_of_an_optimizer_follows_the_schedule_from_its_own_peak() -> None:
    model, options = a_model(), config(steps=2, warmup=4)
    first, *others = model.parameters()
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.4}, {"params": others, "lr": 0.8}])
    rates: list[list[float]] = []
    optimizer.register_step_pre_hook(
        lambda one, *_: rates.append([group["lr"] for group in one.param_groups])
    )
    made = list(updates(model, [optimizer], None, stream(a_batch(2, 5, 1)), options, StepBudget(2)))
    assert rates == [[0.4 * one.rate_factor, 0.8 * one.rate_factor] for one in made]
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.8]

"""The loss is torch's cross entropy, values and gradients, though its scores never exist all at once."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.data.batches import Batch
from atonce.models.seq2seq import Seq2Seq
from atonce.training.loss import ROWS, batch_loss
from zoo import BOS, EOS, PAD, VOCAB, config_of, every_part, model_of, padded


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    source, source_mask = padded(sources)
    target_out, target_mask = padded(targets)
    target_in, _ = padded([[BOS, *target[:-1]] for target in targets])
    return Batch(source, source_mask, target_in, target_out, target_mask)


SMALL = batch_of([[5, 3, EOS], [4, EOS]], [[4, 7, 9, EOS], [8, EOS]])
LARGE = batch_of([[5, EOS]] * 40, [[3 + (row + i) % 8 for i in range(6)] + [EOS] for row in range(40)])
assert LARGE.target_tokens > 2 * ROWS
assert LARGE.target_tokens % ROWS


def reference(model: Seq2Seq, batch: Batch, smoothing: float) -> Tensor:
    logits = model.decoder.logits(model(batch.source, batch.source_mask, batch.target_in))
    return F.cross_entropy(
        logits.flatten(0, 1),
        batch.target_out.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )


def gradients(model: Seq2Seq, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@every_part
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_batch_is_that_of_torch(config, smoothing: float) -> None:
    model = model_of(config, dtype=torch.float32)
    loss, expected = batch_loss(model, SMALL, smoothing), reference(model, SMALL, smoothing)
    torch.testing.assert_close(loss.smoothed, expected)
    torch.testing.assert_close(loss.nll, reference(model, SMALL, 0.0).detach())
    ours = gradients(model, loss.smoothed / 7)
    theirs = gradients(model, expected / 7)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_more_positions_than_are_held_at_once(tied: bool, smoothing: float) -> None:
    model = model_of(config_of("bigru", "pre", tied=tied), dtype=torch.float32)
    loss, expected = batch_loss(model, LARGE, smoothing), reference(model, LARGE, smoothing)
    torch.testing.assert_close(loss.smoothed, expected)
    ours, theirs = gradients(model, loss.smoothed), gradients(model, expected)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)


def test_padding_is_not_learned_from() -> None:
    model = model_of(config_of("bigru", "gru_additive"), dtype=torch.float32)
    wider = Batch(
        *padded([[5, 3, EOS], [4, EOS]], length=6, fill=7),
        F.pad(SMALL.target_in, (0, 2), value=7),
        F.pad(SMALL.target_out, (0, 2), value=7),
        F.pad(SMALL.target_mask, (0, 2)),
    )
    one, other = (batch_loss(model, batch, 0.1).smoothed for batch in (SMALL, wider))
    torch.testing.assert_close(one, other)
    first, second = gradients(model, one), gradients(model, other)
    for name in first:
        torch.testing.assert_close(first[name], second[name])


@torch.inference_mode()
def test_without_gradients_the_values_are_the_same() -> None:
    model = model_of(config_of("bigru", "gru_additive"), dtype=torch.float32)
    torch.testing.assert_close(batch_loss(model, LARGE, 0.1).smoothed, reference(model, LARGE, 0.1))


def test_a_model_that_knows_nothing_is_as_surprised_as_there_are_tokens() -> None:
    model = model_of(config_of("bigru", "gru_additive", tied=False), dtype=torch.float32)
    torch.nn.init.zeros_(model.decoder.output.weight)
    loss = batch_loss(model, LARGE, 0.1)
    expected = LARGE.target_tokens * torch.tensor(float(VOCAB)).log()
    torch.testing.assert_close(loss.nll, expected)
    torch.testing.assert_close(loss.smoothed.detach(), expected)


@every_part
def test_under_autocast_it_is_the_same_but_for_rounding(config) -> None:
    model = model_of(config, dtype=torch.float32)
    exact = batch_loss(model, LARGE, 0.1).smoothed
    in_full = gradients(model, exact)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = batch_loss(model, LARGE, 0.1).smoothed
        reduced = gradients(model, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0.0)
    ours, theirs = (torch.cat([g[name].flatten() for name in in_full]) for g in (reduced, in_full))
    assert F.cosine_similarity(ours, theirs, dim=0) > 0.99

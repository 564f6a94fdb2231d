"""The loss: how surprised the model is by each target token, given the ones before it; of a batch, and of all
that is kept for validation.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from atonce.data.batches import Batch, collate, plan_batches
from atonce.data.images import ImageExamples
from atonce.data.pairs import Examples
from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Float, Int

ROWS = 128
"""Positions whose scores are held at once: 128 × 8,000 tokens fit into the caches of a CPU core or two."""
ROWS_ON_GPU = 8_192
"""A GPU has no such cache and wants large products; 8,192 × 8,000 tokens are 256 MB."""


class Loss(NamedTuple):
    """Sums over the real positions of a batch."""

    smoothed: Float[Tensor, ""]
    """What training minimises."""
    nll: Float[Tensor, ""]
    """Negative log-likelihood, in nats, without label smoothing."""


def batch_loss(model: Seq2Seq, batch: Batch, smoothing: float) -> Loss:
    """The loss of teacher forcing over the real target positions of `batch`."""
    features = model(batch.source, batch.source_mask, batch.target_in)[batch.target_mask]
    targets = batch.target_out[batch.target_mask]  # (positions,): padding is gone before anything is scored
    weight = model.decoder.output.weight
    # Autocast may have made the features bfloat16; sums over them stay in the precision of the weights.
    smoothed, nll = _LinearCrossEntropy.apply(features.to(weight.dtype), weight, targets, smoothing)
    return Loss(smoothed, nll)


@torch.inference_mode()
def mean_loss(
    model: Seq2Seq, examples: Examples | ImageExamples, *, batch_tokens: int, smoothing: float
) -> float:
    """Mean label-smoothed cross entropy of a target token over all examples, in nats, without dropout."""
    device = next(model.parameters()).device
    model.eval()
    total, tokens = 0.0, 0
    # The plan is that of seed and epoch 0 at every call: the same weights have the same loss.
    for indices in plan_batches(
        examples.source_lengths, examples.target_lengths, batch_tokens=batch_tokens, seed=0, epoch=0
    ):
        batch = collate(examples, indices).to(device)
        total += batch_loss(model, batch, smoothing).smoothed.item()
        tokens += batch.target_tokens
    return total / tokens


class _LinearCrossEntropy(torch.autograd.Function):
    """Label-smoothed cross entropy of `features @ weight.T`, whose scores never exist all at once.

    Scores of a few positions are made, turned into loss and gradients in place, and forgotten. A batch of
    2,048 positions would else move 64 MB of scores through memory six times: a quarter of the training time
    of a small model. With q = (1 - ε) one-hot + ε / vocab (Szegedy 2016, section 7), the gradient of the
    scores is softmax - q; its even part ε / vocab is added at the end, where it is a vector.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        features: Float[Tensor, "positions dim"],
        weight: Float[Tensor, "vocab dim"],
        targets: Int[Tensor, " positions"],
        smoothing: float,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        needs_gradient = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        features_gradient = torch.empty_like(features)
        weight_gradient = torch.zeros_like(weight) if needs_gradient else weight
        mean_weight = weight.mean(0)
        smoothed = nll_sum = features.new_zeros(())
        at_once = ROWS if features.device.type == "cpu" else ROWS_ON_GPU
        for rows, target, gradient in zip(
            *(tensor.split(at_once) for tensor in (features, targets, features_gradient)), strict=True
        ):
            scores = F.linear(rows, weight).to(weight.dtype)  # (rows, vocab)
            at_target = scores.gather(1, target[:, None])
            log_probabilities = scores.log_softmax(-1)
            nll = -log_probabilities.gather(1, target[:, None])
            # Against an even target the loss is log Σ exp(scores) less the mean score, which is a product
            # with the mean row of the table: no table of scores is gone through again.
            log_normaliser = nll + at_target
            evenly = log_normaliser - (rows @ mean_weight)[:, None]
            smoothed = smoothed + ((1 - smoothing) * nll + smoothing * evenly).sum()
            nll_sum = nll_sum + nll.sum()
            if needs_gradient:
                # In the memory of the scores: softmax - (1 - ε) one-hot.
                wrong = log_probabilities.exp_()
                wrong.scatter_add_(1, target[:, None], torch.full_like(nll, smoothing - 1))
                gradient.copy_(wrong @ weight)
                weight_gradient.addmm_(wrong.T, rows)
        if needs_gradient:
            features_gradient.sub_(smoothing * mean_weight)
            weight_gradient.sub_(smoothing / len(weight) * features.sum(0))
        ctx.save_for_backward(features_gradient, weight_gradient)
        ctx.mark_non_differentiable(nll_sum)
        return smoothed, nll_sum

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, of_smoothed: Float[Tensor, ""], of_nll: Float[Tensor, ""]
    ) -> tuple[Float[Tensor, "positions dim"], Float[Tensor, "vocab dim"], None, None]:
        features_gradient, weight_gradient = ctx.saved_tensors  # type: ignore[attr-defined]
        return features_gradient * of_smoothed, weight_gradient * of_smoothed, None, None

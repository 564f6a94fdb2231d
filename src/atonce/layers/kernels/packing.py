"""Modules in eight bits as packed weights: see `layers.kernels.packed`."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from atonce.layers.attention import MultiHeadAttention
from atonce.layers.eight_bits import EightBitLinear
from atonce.layers.kernels.packed import ACTIVATIONS, Blocks, Form, Norm, Stack
from atonce.layers.kernels.tiles import TILE, in_tiles
from atonce.layers.transformer import DecoderBlock, EncoderBlock, FeedForward, Residual


class Packing:
    """Weights, laid one behind another."""

    def __init__(self) -> None:
        self.levels: list[np.ndarray] = []
        self.numbers: list[np.ndarray] = []

    def norm(self, norm: nn.Module) -> "Packing":
        """A norm."""
        self.numbers += norm_of(norm)
        return self

    def linear(self, *layers: nn.Module) -> "Packing":
        """Linear layers that see the same inputs, as one."""
        rounded = [layer for layer in layers if isinstance(layer, EightBitLinear)]
        assert len(rounded) == len(layers), "all linear layers are in eight bits"
        one = EightBitLinear.joined(rounded)
        filled = -len(one.bias) % TILE
        self.levels.append(in_tiles(one.weight.numpy()))
        self.numbers += [np.pad(numbers.numpy(), (0, filled)) for numbers in (one.scale, one.bias)]
        return self

    def attention(
        self, residual: Residual, attention: MultiHeadAttention, *projected: nn.Module
    ) -> "Packing":
        """The norm, what is projected from the states, and the output."""
        return self.norm(residual.norm).linear(*projected).linear(attention.output)

    def self_attention(self, block: EncoderBlock | DecoderBlock) -> "Packing":
        """Of a block."""
        attention = block.attention
        return self.attention(
            block.attention_residual, attention, attention.query, attention.key, attention.value
        )

    def feed_forward(self, residual: Residual, part: FeedForward) -> "Packing":
        """The norm, the neurons with their factors if they have any, and the output."""
        neurons = [part.hidden] if part.factor is None else [part.hidden, part.factor]
        return self.norm(residual.norm).linear(*neurons).linear(part.output)


def encoder_stack(blocks: Sequence[EncoderBlock], window: int | None, final: nn.Module) -> Stack:
    """An encoder's blocks and the norm behind them."""
    packed_blocks = _stacked(
        Packing().self_attention(block).feed_forward(block.feed_forward_residual, block.feed_forward)
        for block in blocks
    )
    return Stack(form_of(blocks[0], window), packed_blocks, norm_of(final))


def decoder_stack(blocks: Sequence[DecoderBlock], window: int | None, final: nn.Module) -> Stack:
    """A decoder's blocks and the norm behind them."""
    packed_blocks = _stacked(
        Packing()
        .self_attention(block)
        .attention(block.cross_attention_residual, block.cross_attention, block.cross_attention.query)
        .feed_forward(block.feed_forward_residual, block.feed_forward)
        for block in blocks
    )
    return Stack(form_of(blocks[0], window), packed_blocks, norm_of(final))


def source_projections(blocks: Iterable[DecoderBlock]) -> Blocks:
    """For each block, the linear layer that makes keys and values of the source."""
    return _stacked(
        Packing().linear(block.cross_attention.key, block.cross_attention.value) for block in blocks
    )


def table_of(linear: EightBitLinear) -> Blocks:
    """A linear layer alone: the one that makes scores."""
    return _stacked([Packing().linear(linear)])


def norm_of(norm: nn.Module) -> Norm:
    """A norm's weights. One of root mean squares has no bias: zeros. No norm has nothing."""
    if isinstance(norm, nn.Identity):
        return Norm(np.empty(0, np.float32), np.empty(0, np.float32))
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    bias = norm.bias if isinstance(norm, nn.LayerNorm) else torch.zeros_like(norm.weight)
    return Norm(norm.weight.detach().numpy(), bias.detach().numpy())


def form_of(block: EncoderBlock | DecoderBlock, window: int | None) -> Form:
    """Of a model's blocks, which are all like this one."""
    attention, neurons = block.attention, block.feed_forward
    dim = len(attention.query.bias)
    return Form(
        dim=dim,
        heads=attention.heads,
        key_value_heads=attention.key_value_heads,
        head_dim=dim // attention.heads,
        hidden=len(neurons.hidden.bias),
        activation=ACTIVATIONS.index(neurons.activation),
        pre=int(block.attention_residual.pre),
        rms=int(isinstance(block.attention_residual.norm, nn.RMSNorm)),
        window=-1 if window is None else window,
    )


def _stacked(packings: Iterable[Packing]) -> Blocks:
    all_ = list(packings)
    return Blocks(
        np.stack([np.concatenate(packing.levels) for packing in all_]),
        np.stack([np.concatenate(packing.numbers) for packing in all_]),
    )

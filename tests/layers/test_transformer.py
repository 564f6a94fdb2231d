from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import MultiHeadAttention
from atonce.layers.masks import window_mask
from atonce.layers.positions import rotated, sinusoids
from atonce.layers.transformer import (
    EPSILON,
    Activation,
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    FeedForwardBlock,
    Norm,
    NormKind,
    Residual,
    build_norm,
    gated_width,
)

BATCH, SOURCE, TARGET, DIM, HEADS, HIDDEN = 3, 5, 4, 8, 2, 12
REAL = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
every_norm = pytest.mark.parametrize("norm", get_args(Norm))
every_kind = pytest.mark.parametrize("kind", get_args(NormKind))
every_activation = pytest.mark.parametrize("activation", get_args(Activation))
torchs_activations = pytest.mark.parametrize("activation", ["relu", "gelu"])

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu": {"activation": "gelu"},
    "modern": {"activation": "swiglu", "norm_kind": "rms", "key_value_heads": 1},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()


def unlike_new(block: nn.Module) -> None:
    """Norms begin as ones and zeros, biases of attention as zeros: mistakes in them would not show."""
    torch.manual_seed(0)
    for weight in block.parameters():
        nn.init.normal_(weight, std=0.5)


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([part.weight.detach() for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias.detach() for part in parts])
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def in_attention_order(gradients: dict[str, Tensor], attention: str) -> list[Tensor]:
    """Our gradients of an attention layer, as torch stacks them."""
    parts = [f"{attention}.{part}" for part in ("query", "key", "value")]
    return [
        *(torch.cat([gradients[f"{part}.{kind}"] for part in parts]) for kind in ("weight", "bias")),
        *(gradients[f"{attention}.output.{kind}"] for kind in ("weight", "bias")),
    ]


def outcome(block: nn.Module, forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """What `forward` makes of states, and the gradients of the states and of all weights of `block`."""
    block.zero_grad()
    states = drawn(BATCH, SOURCE, DIM)
    outputs = forward(states)
    (outputs * drawn(BATCH, SOURCE, DIM, seed=2).detach()).sum().backward()
    gradients = [weight.grad for weight in (states, *block.parameters())]
    return [outputs, *(grad.clone() for grad in gradients if grad is not None)]


def gradients_of(block: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in block.named_parameters() if weight.grad is not None}


@every_activation
def test_a_feed_forward_part_is_that_of_its_paper(activation: Activation) -> None:
    ours = FeedForward(DIM, HIDDEN, activation).double()
    unlike_new(ours)

    def by_the_paper(states: Tensor) -> Tensor:
        hidden = states @ ours.hidden.weight.T + ours.hidden.bias
        match activation:
            case "relu":
                hidden = F.relu(hidden)
            case "gelu":
                hidden = F.gelu(hidden)
            case "swiglu":
                assert ours.factor is not None
                hidden = F.silu(hidden) * (states @ ours.factor.weight.T + ours.factor.bias)
        return hidden @ ours.output.weight.T + ours.output.bias

    expected = outcome(ours, by_the_paper)
    assert len(expected) == 2 + len(list(ours.parameters()))
    torch.testing.assert_close(outcome(ours, ours), expected)


def test_a_gate_costs_no_weights() -> None:
    """Three matrices of the gated width are as large as two of the full one, but for half a block of 8."""
    for hidden in range(12, 2048):
        assert gated_width(hidden) % 8 == 0
        assert abs(3 * gated_width(hidden) - 2 * hidden) <= 3 * 4
    assert gated_width(1) == 8


@every_norm
@torchs_activations
def test_an_encoder_block_is_torchs(norm: Norm, activation: Activation) -> None:
    ours = EncoderBlock(DIM, HEADS, HIDDEN, norm=norm, activation=activation, dropout=0.0).double()
    unlike_new(ours)
    theirs = nn.TransformerEncoderLayer(
        DIM, HEADS, HIDDEN, 0.0, activation, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    copy_attention(ours.attention, theirs.self_attn)
    same = {
        "linear1": ours.feed_forward.hidden,
        "linear2": ours.feed_forward.output,
        "norm1": ours.attention_residual.norm,
        "norm2": ours.feed_forward_residual.norm,
    }
    for name, part in same.items():
        getattr(theirs, name).load_state_dict(part.state_dict())

    states, theirs_states = drawn(BATCH, SOURCE, DIM), drawn(BATCH, SOURCE, DIM)
    outputs = ours(states, REAL[:, None])
    expected = theirs(theirs_states, src_key_padding_mask=~REAL)
    torch.testing.assert_close(outputs[REAL], expected[REAL])

    mixture = drawn(BATCH, SOURCE, DIM, seed=2).detach()
    for one in (outputs, expected):
        (one * mixture)[REAL].sum().backward()
    torch.testing.assert_close(states.grad, theirs_states.grad)
    mine = gradients_of(ours)
    torch.testing.assert_close(
        in_attention_order(mine, "attention"), [w.grad for w in theirs.self_attn.parameters()]
    )
    for name, part in same.items():
        torch.testing.assert_close(
            [w.grad for w in part.parameters()], [w.grad for w in getattr(theirs, name).parameters()]
        )


@every_norm
def test_a_block_with_all_options_is_its_formula(norm: Norm) -> None:
    """RMSNorm (Zhang 2019), rotary positions (Su 2021), shared keys (Ainslie 2023), SwiGLU (Shazeer 2020)."""
    block = EncoderBlock(DIM, HEADS, HIDDEN, norm=norm, dropout=0.0, **OPTIONS["modern"]).double()
    unlike_new(block)
    rotation = sinusoids(SOURCE, DIM // HEADS, start=3, dtype=torch.float64)
    near = window_mask(SOURCE, SOURCE, 2, causal=False)
    assert near is not None
    mask = near & REAL[:, None]

    def attended(states: Tensor) -> Tensor:
        part = block.attention
        query, key, value = (
            weigh(states).view(BATCH, SOURCE, -1, DIM // HEADS).transpose(1, 2)
            for weigh in (part.query, part.key, part.value)
        )
        query, key = rotated(query, rotation), rotated(key, rotation)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None], enable_gqa=True)
        return part.output(mixed.transpose(1, 2).reshape(states.shape))

    def thought(states: Tensor) -> Tensor:
        part = block.feed_forward
        assert part.factor is not None
        return part.output(
            F.silu(F.linear(states, part.hidden.weight, part.hidden.bias)) * part.factor(states)
        )

    def normed(states: Tensor, residual: Residual) -> Tensor:
        return F.rms_norm(states, (DIM,), residual.norm.weight, EPSILON)

    def formula(states: Tensor) -> Tensor:
        parts = [(attended, block.attention_residual), (thought, block.feed_forward_residual)]
        for part, residual in parts:
            if norm == "pre":
                states = states + part(normed(states, residual))
            else:
                states = normed(states + part(states), residual)
        return states

    expected = outcome(block, formula)
    assert len(expected) == 2 + len(list(block.parameters()))
    torch.testing.assert_close(outcome(block, lambda states: block(states, mask, rotation)), expected)


@every_activation
def test_a_block_without_attention_is_a_block_without_its_attention(activation: Activation) -> None:
    block = FeedForwardBlock(DIM, HIDDEN, activation=activation, dropout=0.0).double()
    unlike_new(block)
    whole = EncoderBlock(DIM, HEADS, HIDDEN, norm="pre", activation=activation, dropout=0.0).double()
    whole.load_state_dict(block.state_dict(), strict=False)
    nn.init.zeros_(whole.attention.output.weight)
    nn.init.zeros_(whole.attention.output.bias)
    states = drawn(BATCH, SOURCE, DIM)
    torch.testing.assert_close(block(states), whole(states, None))


def decoder_block(norm: Norm, **options: Any) -> DecoderBlock:
    block = DecoderBlock(DIM, HEADS, HIDDEN, norm=norm, dropout=0.0, **options).double()
    unlike_new(block)
    return block


@every_norm
@torchs_activations
def test_a_decoder_block_is_torchs(norm: Norm, activation: Activation) -> None:
    ours = decoder_block(norm, activation=activation)
    theirs = nn.TransformerDecoderLayer(
        DIM, HEADS, HIDDEN, 0.0, activation, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    copy_attention(ours.attention, theirs.self_attn)
    copy_attention(ours.cross_attention, theirs.multihead_attn)
    same = {
        "linear1": ours.feed_forward.hidden,
        "linear2": ours.feed_forward.output,
        "norm1": ours.attention_residual.norm,
        "norm2": ours.cross_attention_residual.norm,
        "norm3": ours.feed_forward_residual.norm,
    }
    for name, part in same.items():
        getattr(theirs, name).load_state_dict(part.state_dict())

    states, theirs_states = drawn(BATCH, TARGET, DIM), drawn(BATCH, TARGET, DIM)
    memory, theirs_memory = drawn(BATCH, SOURCE, DIM, seed=1), drawn(BATCH, SOURCE, DIM, seed=1)
    outputs = ours(states, ours.cross_attention.project(memory), REAL[:, None])
    later = torch.ones(TARGET, TARGET, dtype=torch.bool).triu(1)
    expected = theirs(theirs_states, theirs_memory, tgt_mask=later, memory_key_padding_mask=~REAL)
    torch.testing.assert_close(outputs, expected)

    mixture = drawn(BATCH, TARGET, DIM, seed=2).detach()
    for one in (outputs, expected):
        (one * mixture).sum().backward()
    torch.testing.assert_close(states.grad, theirs_states.grad)
    torch.testing.assert_close(memory.grad, theirs_memory.grad)
    mine = gradients_of(ours)
    for attention, reference in (("attention", theirs.self_attn), ("cross_attention", theirs.multihead_attn)):
        torch.testing.assert_close(
            in_attention_order(mine, attention), [w.grad for w in reference.parameters()]
        )
    for name, part in same.items():
        torch.testing.assert_close(
            [w.grad for w in part.parameters()], [w.grad for w in getattr(theirs, name).parameters()]
        )


@pytest.mark.parametrize("norm_kind", get_args(NormKind))
def test_a_residual_normalises_before_or_after(norm_kind: NormKind) -> None:
    states, part = drawn(2, 3, DIM), drawn(2, 3, DIM, seed=1)
    pre, post = (Residual(DIM, norm, dropout=0.0, norm_kind=norm_kind).double() for norm in ("pre", "post"))
    assert torch.equal(pre.join(states, part), states + part)
    assert torch.equal(post.branch(states), states)
    for normed in (pre.branch(states), post.join(states, part)):
        size = normed.square().mean(-1)
        torch.testing.assert_close(size, torch.ones_like(size), rtol=1e-3, atol=0)
        assert torch.allclose(normed.mean(-1), torch.zeros_like(size)) == (norm_kind == "layer")


def by_the_paper(kind: NormKind, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if kind == "layer":
        states = states - states.mean(-1, keepdim=True)
    size = (states.square().mean(-1, keepdim=True) + EPSILON).sqrt()
    return states / size * weight + (0 if bias is None else bias)


@every_kind
def test_a_norm_is_that_of_its_paper(kind: NormKind) -> None:
    torch.manual_seed(0)
    norm = build_norm(kind, DIM).double()
    for weight in norm.parameters():  # they begin as ones and zeros: mistakes would not show
        nn.init.normal_(weight)
    bias = getattr(norm, "bias", None)
    assert (bias is not None) == (kind == "layer")
    states = torch.randn(2, 3, DIM, dtype=torch.float64) * 3 + 1
    mixture = torch.randn(2, 3, DIM, dtype=torch.float64)

    def outcome(forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
        norm.zero_grad()
        given = states.clone().requires_grad_()
        outputs = forward(given)
        (outputs * mixture).sum().backward()
        return [outputs, given.grad, *(weight.grad.clone() for weight in norm.parameters())]

    torch.testing.assert_close(
        outcome(norm), outcome(lambda given: by_the_paper(kind, given, norm.weight, bias))
    )


@every_kind
def test_the_size_of_a_vector_does_not_matter_and_nothing_stays_nothing(kind: NormKind) -> None:
    norm = build_norm(kind, DIM).double()
    states = torch.linspace(-1, 2, DIM, dtype=torch.float64)
    torch.testing.assert_close(norm(states * 1000), norm(states), rtol=1e-4, atol=0)
    assert not norm(torch.zeros(DIM, dtype=torch.float64)).any()


def test_only_layer_norm_takes_the_mean_away() -> None:
    states = torch.linspace(-1, 2, DIM)
    same = {kind: torch.allclose(build_norm(kind, DIM)(states + 5), build_norm(kind, DIM)(states), atol=1e-5)
            for kind in get_args(NormKind)}  # fmt: skip
    assert same == {"layer": True, "rms": False}

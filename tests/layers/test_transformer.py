from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.transformer import DecoderBlock, EncoderBlock, Norm, Residual

BATCH, SOURCE, TARGET, DIM, HEADS, HIDDEN = 3, 5, 4, 8, 2, 12
REAL = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
every_norm = pytest.mark.parametrize("norm", get_args(Norm))


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


def gradients_of(block: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in block.named_parameters() if weight.grad is not None}


@every_norm
def test_an_encoder_block_is_torchs(norm: Norm) -> None:
    ours = EncoderBlock(DIM, HEADS, HIDDEN, norm=norm, dropout=0.0).double()
    unlike_new(ours)
    theirs = nn.TransformerEncoderLayer(
        DIM, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
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


def decoder_block(norm: Norm) -> DecoderBlock:
    block = DecoderBlock(DIM, HEADS, HIDDEN, norm=norm, dropout=0.0).double()
    unlike_new(block)
    return block


@every_norm
def test_a_decoder_block_is_torchs(norm: Norm) -> None:
    ours = decoder_block(norm)
    theirs = nn.TransformerDecoderLayer(
        DIM, HEADS, HIDDEN, 0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
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
    outputs, _ = ours(states, None, ours.cross_attention.project(memory), REAL[:, None])
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


@every_norm
def test_one_position_after_another_is_all_at_once(norm: Norm) -> None:
    block, states = decoder_block(norm), drawn(BATCH, TARGET, DIM)
    source, real = block.cross_attention.project(drawn(BATCH, SOURCE, DIM, seed=1)), REAL[:, None]
    whole, seen = block(states, None, source, real)
    past = KeyValue(seen.key[:, :, :0], seen.value[:, :, :0])
    for time in range(TARGET):
        one, past = block(states[:, time : time + 1], past, source, real)
        torch.testing.assert_close(one[:, 0], whole[:, time])
    torch.testing.assert_close(past, seen)


def test_a_residual_normalises_before_or_after() -> None:
    states, part = drawn(2, 3, DIM), drawn(2, 3, DIM, seed=1)
    pre, post = (Residual(DIM, norm, dropout=0.0).double() for norm in ("pre", "post"))
    assert torch.equal(pre.join(states, part), states + part)
    assert torch.equal(post.branch(states), states)
    torch.testing.assert_close(pre.branch(states).mean(-1), torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(post.join(states, part).mean(-1), torch.zeros(2, 3, dtype=torch.float64))

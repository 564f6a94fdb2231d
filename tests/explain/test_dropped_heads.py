"""Heads that mix nothing for a while."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.decoding.beam import beam_search
from atonce.decoding.hypothesis import Hypothesis
from atonce.errors import RecipeError
from atonce.explain.dropped_heads import dropped_heads
from atonce.explain.record import recorded_attention
from atonce.layers.attention import Attention, MultiHeadAttention
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from zoo import BOS, PIECES, SOURCES, config_of, decided_model, every_blind_pair, every_looking_pair, padded

TARGETS = torch.tensor([[BOS, 4, 6, 3], [BOS, 8, 8, 5], [BOS, 3, 9, 4]])
MULTI = ["pre-pre", "post-post", "modern-modern", "learned-learned", "bimingru-ssru"]
multi = pytest.mark.parametrize("name", MULTI)


def forward(model: Seq2Seq) -> Tensor:
    return model(*padded(SOURCES), TARGETS)


@torch.inference_mode()
def by_steps(model: Seq2Seq) -> Tensor:
    state = model.decoder.start(model.encode(*padded(SOURCES)))
    features = []
    for token in TARGETS.unbind(1):
        feature, state = model.decoder.advance(token, state)
        features.append(feature)
    return torch.stack(features, dim=1)


@torch.inference_mode()
def searched(model: Seq2Seq) -> list[list[Hypothesis]]:
    memory = model.encode(*padded(SOURCES))
    return beam_search(model.decoder, memory, PIECES, torch.tensor([6, 6, 6]), width=2)


WAYS: list[Callable[[Seq2Seq], Tensor]] = [forward, by_steps]


def attention_layers(model: Seq2Seq) -> dict[str, Attention]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Attention)}


@torch.no_grad()
def without_columns(layer: Attention, head: int) -> None:
    """The output projection has no weights for the head."""
    assert isinstance(layer, MultiHeadAttention)
    width = layer.output.in_features // layer.heads
    layer.output.weight[:, head * width : (head + 1) * width] = 0


@multi
@pytest.mark.parametrize("run", WAYS)
def test_to_drop_a_head_is_to_zero_its_columns_of_the_output(
    name: str, run: Callable[[Seq2Seq], Tensor]
) -> None:
    config = config_of(*name.split("-"))
    model = decided_model(config)
    whole = run(model)
    for layer in attention_layers(model):
        with dropped_heads(model, {layer: [1]}):
            dropped = run(model)
        other = decided_model(config)
        without_columns(attention_layers(other)[layer], 1)
        torch.testing.assert_close(dropped, run(other))
        assert not torch.allclose(dropped, whole)


@every_looking_pair
def test_steps_give_what_teacher_forcing_gives_without_them_too(config: ModelConfig) -> None:
    model = decided_model(config)
    whole = forward(model)
    for name, layer in attention_layers(model).items():
        with dropped_heads(model, {name: range(layer.heads)}):
            torch.testing.assert_close(by_steps(model), forward(model))
            assert not torch.allclose(forward(model), whole)
    torch.testing.assert_close(forward(model), whole)


@pytest.mark.parametrize("decoder", ["gru_additive", "gru_dot_fed", "lstm_general", "convolution"])
def test_a_decoder_whose_one_head_is_dropped_does_not_see_the_states(decoder: str) -> None:
    """What it knows of the source is the summary alone."""
    model = decided_model(config_of("bigru", decoder))
    names = [name for name in attention_layers(model) if name.startswith("decoder")]
    memory = model.encode(*padded(SOURCES))
    other = memory._replace(states=memory.states.flip(1) * 3)
    with dropped_heads(model, {name: [0] for name in names}):
        dropped = model.decoder.forward(TARGETS, memory)
        torch.testing.assert_close(dropped, model.decoder.forward(TARGETS, other))
    assert not torch.allclose(model.decoder.forward(TARGETS, memory), model.decoder.forward(TARGETS, other))


@multi
def test_search_goes_without_them(name: str) -> None:
    config = config_of(*name.split("-"))
    model, other = decided_model(config), decided_model(config)
    layer = list(attention_layers(model))[-1]
    whole = searched(model)
    with dropped_heads(model, {layer: [0]}):
        found = searched(model)
    without_columns(attention_layers(other)[layer], 0)
    for ours, theirs in zip(found, searched(other), strict=True):
        assert [one.pieces for one in ours] == [one.pieces for one in theirs]
        assert [one.score for one in ours] == pytest.approx([one.score for one in theirs])
    assert found != whole
    assert searched(model) == whole


@multi
def test_to_drop_none_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = decided_model(config_of(*name.split("-")))
    whole = forward(model)
    calls = []
    fused = F.scaled_dot_product_attention

    def counted(*args: object, **options: object) -> Tensor:
        calls.append(1)
        return fused(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    for heads in ({}, {layer: [] for layer in attention_layers(model)}):
        with dropped_heads(model, heads):
            assert torch.equal(forward(model), whole)
    assert len(calls) == 2 * len(attention_layers(model))  # by the fast kernel


def test_afterwards_the_model_is_as_before_whatever_happened() -> None:
    model = decided_model(config_of("pre", "pre"))
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    whole = forward(model)
    with suppress(KeyError), dropped_heads(model, {"encoder.layers.0.attention": [0]}):
        assert not torch.equal(forward(model), whole)
        raise KeyError
    assert torch.equal(forward(model), whole)
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before


@pytest.mark.parametrize("outer", ["record", "drop"])
def test_what_is_dropped_is_recorded_all_the_same(outer: str) -> None:
    model = decided_model(config_of("pre", "pre"))
    heads = {"encoder.layers.0.attention": [0], "decoder.layers.1.cross_attention": [0, 1]}
    with recorded_attention(model) as whole:
        forward(model)
    with dropped_heads(model, heads):
        features = forward(model)
    if outer == "record":
        with recorded_attention(model) as record, dropped_heads(model, heads):
            both = forward(model)
    else:
        with dropped_heads(model, heads), recorded_attention(model) as record:
            both = forward(model)
    torch.testing.assert_close(both, features)
    first, second = "encoder.layers.0.attention", "encoder.layers.1.attention"
    torch.testing.assert_close(record[first].weights, whole[first].weights)  # nothing was dropped before it
    assert not torch.allclose(record[second].weights, whole[second].weights)


def test_blocks_within_one_another_add_up() -> None:
    model = decided_model(config_of("pre", "pre"))
    one, other = "decoder.layers.0.attention", "decoder.layers.1.cross_attention"
    with dropped_heads(model, {one: [0, 1], other: [1]}):
        together = forward(model)
    with dropped_heads(model, {one: [0]}):
        first = forward(model)
        with dropped_heads(model, {one: [1], other: [1]}):
            torch.testing.assert_close(forward(model), together)
        torch.testing.assert_close(forward(model), first)


def test_another_model_is_as_it_was() -> None:
    model, other = (decided_model(config_of("pre", "pre"), seed=seed) for seed in (0, 1))
    expected = forward(other)
    with dropped_heads(model, {"encoder.layers.0.attention": [0]}):
        torch.testing.assert_close(forward(other), expected)


def test_gradients_pass_it_by() -> None:
    model = decided_model(config_of("pre", "pre"))
    layer = attention_layers(model)["encoder.layers.0.attention"]
    assert isinstance(layer, MultiHeadAttention)
    with dropped_heads(model, {"encoder.layers.0.attention": [1]}):
        forward(model).pow(2).sum().backward()
    slope = layer.value.weight.grad
    assert slope is not None
    assert slope[:4].any()
    assert not slope[4:].any()


@pytest.mark.parametrize("name", ["decoder", "decoder.layers.9.attention", ""])
def test_an_unknown_layer_is_answered_with_those_there_are(name: str) -> None:
    model = decided_model(config_of("bigru", "pre"))
    with (
        pytest.raises(RecipeError, match="there is no attention layer") as error,
        dropped_heads(model, {name: [0]}),
    ):
        pass
    assert error.value.fix.endswith(", ".join(attention_layers(model)))


@pytest.mark.parametrize("head", [2, -1])
def test_an_unknown_head_is_answered_with_those_there_are(head: int) -> None:
    model = decided_model(config_of("pre", "gru_dot"))
    with (
        pytest.raises(RecipeError, match=f"there is no head {head}[\\s\\S]*numbers from 0 to 1"),
        dropped_heads(model, {"encoder.layers.0.attention": [0, head]}),
    ):
        pass
    with pytest.raises(RecipeError, match="give 0"), dropped_heads(model, {"decoder.attention": [1]}):
        pass


@every_blind_pair
def test_a_model_without_attention_has_no_head_to_drop(config: ModelConfig) -> None:
    model = decided_model(config)
    with (
        pytest.raises(RecipeError, match="take a model with attention"),
        dropped_heads(model, {"decoder": [0]}),
    ):
        pass

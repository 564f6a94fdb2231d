"""The attention record (law 1 of the design, and its contract)."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.errors import RunError
from atonce.explain.record import AttentionRecord, recorded_attention
from atonce.layers.attention import Attention, MultiHeadAttention
from atonce.models.config import (
    ConvolutionDecoderConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    RecurrentDecoderConfig,
    ScanDecoderConfig,
    TransformerDecoderConfig,
)
from atonce.models.seq2seq import Seq2Seq
from zoo import BOS, SOURCES, config_of, every_blind_pair, every_looking_pair, model_of, padded

TARGETS = torch.tensor([[BOS, 4, 6, 3], [BOS, 8, 8, 5], [BOS, 3, 9, 4]])
LENGTH = TARGETS.shape[1]


def names_and_roles(config: ModelConfig) -> list[tuple[str, str]]:
    """What must have run, in order."""
    expected = []
    if config.encoder.kind == "transformer":
        expected += [(f"encoder.layers.{block}.attention", "encoder-self") for block in range(2)]
    match config.decoder:
        case TransformerDecoderConfig():
            for block in range(2):
                expected.append((f"decoder.layers.{block}.attention", "decoder-self"))
                expected.append((f"decoder.layers.{block}.cross_attention", "cross"))
        case ScanDecoderConfig():
            expected += [(f"decoder.layers.{block}.cross_attention", "cross") for block in range(2)]
        case ConvolutionDecoderConfig():
            expected += [(f"decoder.layers.{block}.attention", "cross") for block in range(2)]
        case RecurrentDecoderConfig(attention=attention) if attention != "none":
            expected.append(("decoder.attention", "cross"))
    return expected


def near(query_len: int, key_len: int, side: EncoderConfig | DecoderConfig) -> Tensor:
    """Whether a key is in the window of a query, where there is one."""
    window = getattr(side, "window", None)
    distance = torch.arange(query_len)[:, None] - torch.arange(key_len)
    return distance.abs() <= (key_len if window is None else window)


def forward(model: Seq2Seq) -> Tensor:
    return model(*padded(SOURCES), TARGETS)


def recorded(model: Seq2Seq, run: Callable[[Seq2Seq], object] = forward) -> AttentionRecord:
    with recorded_attention(model) as record:
        run(model)
    return record


@every_looking_pair
def test_weights_sum_to_one_over_what_may_be_seen_and_are_zero_elsewhere(config: ModelConfig) -> None:
    record = recorded(model_of(config))
    real = padded(SOURCES)[1]
    longest = real.shape[1]
    may_look = {
        "encoder-self": real[:, None] & near(longest, longest, config.encoder),
        "decoder-self": near(LENGTH, LENGTH, config.decoder).tril().expand(len(real), -1, -1),
        "cross": real[:, None].expand(-1, LENGTH, -1),
    }
    assert [(name, layer.role) for name, layer in record.items()] == names_and_roles(config)
    for name, layer in record.items():
        mask = may_look[layer.role][:, None].expand(layer.weights.shape)
        assert layer.layer == name
        assert (layer.weights[~mask] == 0).all()
        assert (layer.weights[mask] > 0).all()
        # padding may stand further than the window from all that is real: it sees nothing
        torch.testing.assert_close(layer.weights.sum(-1), mask.any(-1).to(layer.weights.dtype))
        assert mask.any(-1).transpose(1, 2)[real if layer.role == "encoder-self" else ...].all()
        assert not layer.weights.requires_grad


@every_looking_pair
def test_watching_changes_no_output_and_no_gradient(config: ModelConfig) -> None:
    model = model_of(config)
    outcomes = []
    for watched in (False, True):
        model.zero_grad()
        if watched:
            with recorded_attention(model):
                features = forward(model)
        else:
            features = forward(model)
        (features * torch.linspace(0, 1, features.numel()).view(features.shape)).sum().backward()
        outcomes.append((features.detach(), [weight.grad.clone() for weight in model.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(*outcomes)


@every_looking_pair
def test_steps_give_the_rows_of_the_whole(config: ModelConfig) -> None:
    model = model_of(config)

    def by_steps(model: Seq2Seq) -> None:
        state = model.decoder.start(model.encode(*padded(SOURCES)))
        for token in TARGETS.unbind(1):
            _, state = model.decoder.step(token, state)

    whole, steps = recorded(model), recorded(model, by_steps)
    assert list(whole) == list(steps)
    for name in whole:
        torch.testing.assert_close(steps[name].weights, whole[name].weights)


def state_of(model: Seq2Seq) -> dict[str, object]:
    """Everything that could be left on a module."""
    return {
        f"{name}.{key}": (sorted(value) if isinstance(value, dict) else id(value))
        for name, module in model.named_modules()
        for key, value in vars(module).items()
    }


@pytest.mark.parametrize("name", ["pre", "modern", "learned"])
def test_nothing_is_left_on_the_layers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(config_of(name, name))
    before = state_of(model)
    calls = []
    fused = F.scaled_dot_product_attention

    def counted(*args: object, **options: object) -> Tensor:
        calls.append(1)
        return fused(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    recorded(model)
    assert not calls
    assert state_of(model) == before
    forward(model)
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    assert len(calls) == len(layers) == 6  # the fast kernel again, in each


def test_only_the_model_asked_for_is_recorded() -> None:
    model, other = (model_of(config_of("bigru", "gru_dot"), seed=seed) for seed in (0, 1))

    def both(model: Seq2Seq) -> None:
        forward(other)
        forward(model)

    torch.testing.assert_close(
        recorded(model, both)["decoder.attention"].weights, recorded(model)["decoder.attention"].weights
    )


def test_a_part_of_a_model_can_be_recorded() -> None:
    model = model_of(config_of("pre", "pre"))
    with recorded_attention(model.encoder) as record:
        forward(model)
    assert list(record) == ["layers.0.attention", "layers.1.attention"]
    assert record.of_role("cross") == []
    assert [layer.layer for layer in record.of_role("encoder-self")] == list(record)


@every_blind_pair
def test_a_model_without_attention_has_no_record(config: ModelConfig) -> None:
    with pytest.raises(RunError, match="the model has no attention layer") as error:
        recorded(model_of(config))
    assert "use a decoder with attention" in error.value.fix


def test_a_record_is_never_silently_empty() -> None:
    with pytest.raises(RunError, match="none of its attention layers ran"):
        recorded(model_of(config_of("bigru", "gru_dot")), lambda _: None)


def test_batches_that_do_not_belong_together_are_refused() -> None:
    def twice(model: Seq2Seq) -> None:
        forward(model)
        model(*padded(SOURCES[:1]), TARGETS[:1])

    with pytest.raises(RunError, match="batches of 1, 3 sentences"):
        recorded(model_of(config_of("bigru", "gru_dot")), twice)


def test_an_error_in_the_block_is_the_one_that_is_seen() -> None:
    model = model_of(config_of("bigru", "gru_dot"))
    with pytest.raises(KeyError), recorded_attention(model):
        raise KeyError
    assert recorded(model)


def test_every_attention_layer_is_one_that_can_be_watched() -> None:
    model = model_of(config_of("pre", "pre"))
    assert set(recorded(model)) == {
        name for name, module in model.named_modules() if isinstance(module, Attention)
    }

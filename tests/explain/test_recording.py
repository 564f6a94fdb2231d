"""The attention record (law 1 of the design, and its contract)."""

from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.decoding.beam import beam_search
from atonce.decoding.hypothesis import Hypothesis
from atonce.errors import RecipeError, RunError
from atonce.explain.recording import (
    AttentionRecord,
    LayerAttention,
    choose_heads,
    choose_layer,
    dropped_heads,
    recorded_attention,
)
from atonce.layers.attention import Attention, MultiHeadAttention, Role
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
from zoo import (
    BOS,
    SOURCES,
    TOKENS,
    config_of,
    decided_model,
    every_blind_pair,
    every_looking_pair,
    model_of,
    padded,
)

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


def record_of(**roles: Role) -> AttentionRecord:
    record = AttentionRecord()
    for seed, (name, role) in enumerate(roles.items()):
        draw = torch.Generator().manual_seed(seed)
        record._layers[name] = LayerAttention(name, role, torch.rand(1, 2, 3, 3, generator=draw))
    return record


RECORD = record_of(low="encoder-self", high="encoder-self", first="cross", second="cross")


@pytest.mark.parametrize(
    ("role", "names"), [("cross", ["first", "second"]), ("encoder-self", ["low", "high"])]
)
def test_numbers_and_the_last_are_of_the_role(role: Role, names: list[str]) -> None:
    assert choose_layer(RECORD, None, role).layer == names[-1]
    assert [choose_layer(RECORD, number, role).layer for number in ("1", "2")] == names
    mean = choose_layer(RECORD, "mean", role).weights
    torch.testing.assert_close(mean, (RECORD[names[0]].weights + RECORD[names[1]].weights) / 2)


def test_a_name_may_be_of_any_role() -> None:
    assert choose_layer(RECORD, "low", "cross").layer == "low"


def test_where_there_is_none_of_the_role_the_others_are_offered() -> None:
    with pytest.raises(RecipeError, match=r"attends from the source to itself[\s\S]*give one of: only"):
        choose_layer(record_of(only="cross"), None, "encoder-self")
    with pytest.raises(RecipeError, match=r"attends to the source[\s\S]*give one of: only"):
        choose_layer(record_of(only="encoder-self"), "1")
    with pytest.raises(RecipeError, match=r"'3'[\s\S]*2 layers attend to the source[\s\S]*from 1 to 2"):
        choose_layer(RECORD, "3")


def test_all_heads_are_what_each_alone_is() -> None:
    layer = RECORD["first"]
    every = choose_heads(layer, "all")
    for number, (title, weights) in enumerate(every, start=1):
        (alone,) = choose_heads(layer, number)
        assert alone[0] == title == f"first, head {number} of 2"
        assert torch.equal(alone[1], weights)
    torch.testing.assert_close(choose_heads(layer, "mean")[0][1], (every[0][1] + every[1][1]) / 2)
    torch.testing.assert_close(choose_heads(layer, "max")[0][1], torch.maximum(every[0][1], every[1][1]))


@pytest.mark.parametrize("given", ["1" * 5_000, "-1", "²", "0", " 1", "1e9", ""])
def test_what_is_no_number_of_a_layer_or_head_is_told_in_a_line(given: str) -> None:
    """Python reads no number of more than 4,300 digits."""
    for choose in (
        lambda: choose_layer(RECORD, given),
        lambda: choose_heads(choose_layer(RECORD, None), given),
    ):
        with pytest.raises(RecipeError) as refusal:
            choose()
        assert len(refusal.value.what) < 200


MULTI = ["pre-pre", "post-post", "modern-modern", "learned-learned", "bimingru-ssru"]
multi = pytest.mark.parametrize("name", MULTI)


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
    return beam_search(model.decoder, memory, TOKENS, torch.tensor([6, 6, 6]), width=2)


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
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
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

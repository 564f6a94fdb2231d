import pytest
import torch
from torch import nn

from atonce.layers.attention import Attention
from atonce.layers.positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from atonce.models.build import build_model
from atonce.models.config import (
    ConvolutionDecoderConfig,
    ModelConfig,
    RecurrentDecoderConfig,
    ScanDecoderConfig,
    TransformerDecoderConfig,
)
from atonce.models.interface import TokenEmbedding
from zoo import DECODERS, DIM, ENCODERS, SOURCES, VOCAB, config_of, every_part, model_of, padded


@every_part
def test_one_table_serves_all_where_embeddings_are_tied(config: ModelConfig) -> None:
    tied = build_model(config, VOCAB)
    untied = build_model(config.model_copy(update={"tied_embeddings": False}), VOCAB)
    assert untied.weight_count - tied.weight_count == 2 * VOCAB * DIM
    assert sum(weight.shape == (VOCAB, DIM) for weight in tied.parameters()) == 1
    assert sum(isinstance(module, TokenEmbedding) for module in tied.modules()) == 1
    assert sum(isinstance(module, TokenEmbedding) for module in untied.modules()) == 3


def test_what_is_learned_is_counted() -> None:
    """By hand: per GRU layer 3 gates from input and state with two biases; per attention three parts."""
    model = build_model(config_of("bigru", "gru_additive"), VOCAB)
    half = DIM // 2
    encoder = 2 * 2 * 3 * (DIM * half + half * half + 2 * half)
    stack = 3 * (2 * DIM * DIM + DIM * DIM + 2 * DIM) + 3 * (2 * DIM * DIM + 2 * DIM)
    attention = DIM * DIM + (DIM * DIM + DIM) + DIM
    rest = (DIM * 2 * DIM + 2 * DIM) + (2 * DIM * DIM + DIM)  # first states of two layers, mixture
    assert model.weight_count == VOCAB * DIM + encoder + stack + attention + rest


def test_the_options_of_a_transformer_are_counted() -> None:
    """By hand: shared keys and values, a gate in a hidden layer of 2/3, norms without a shift."""
    model = build_model(config_of("modern", "modern"), VOCAB)
    query_and_output, shared = 2 * (DIM * DIM + DIM), DIM // 2 * DIM + DIM // 2
    attention = query_and_output + 2 * shared
    feed_forward = 2 * (DIM * 8 + 8) + (8 * DIM + DIM)
    encoder = 2 * (attention + feed_forward + 2 * DIM) + DIM
    decoder = 2 * (2 * attention + feed_forward + 3 * DIM) + DIM
    assert model.weight_count == VOCAB * DIM + encoder + decoder


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_looks_as_its_config_says(name: str) -> None:
    model = build_model(config_of("bigru", name), VOCAB)
    roles = [module.role for module in model.modules() if isinstance(module, Attention)]
    match DECODERS[name]:
        case TransformerDecoderConfig(layers=layers):
            assert roles == ["decoder-self", "cross"] * layers
        case ScanDecoderConfig(layers=layers) | ConvolutionDecoderConfig(layers=layers):
            assert roles == ["cross"] * layers
        case RecurrentDecoderConfig(attention=attention):
            assert roles == ([] if attention == "none" else ["cross"])
        case other:
            raise AssertionError(other)


def options_of(side: nn.Module) -> dict[str, object]:
    """What a side of a Transformer is made of, found out from its parts."""
    block = side.layers[0]
    attention, residual, feed_forward = block.attention, block.attention_residual, block.feed_forward
    neurons = feed_forward.hidden.nonlinearity
    return {
        "heads": attention.heads,
        "key_value_heads": attention.key.out_features * attention.heads // DIM,
        "norm": "pre" if residual.pre else "post",
        "norm_kind": {nn.LayerNorm: "layer", nn.RMSNorm: "rms"}[type(residual.norm)],
        "final_norm": type(side.final_norm) is (type(residual.norm) if residual.pre else nn.Identity),
        "activation": "swiglu" if feed_forward.factor is not None and neurons == "swish" else neurons,
        "positions": type(side.positions),
        "window": side.window,
        "layers": len(side.layers),
    }


@pytest.mark.parametrize("name", [name for name, side in ENCODERS.items() if side.kind == "transformer"])
def test_a_transformer_has_the_options_of_its_config(name: str) -> None:
    model = build_model(config_of(name, name), VOCAB)
    positions = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions, "rotary": RotaryPositions}
    for side, config in ((model.encoder, ENCODERS[name]), (model.decoder, DECODERS[name])):
        assert options_of(side) == {
            "heads": config.heads,
            "key_value_heads": config.key_value_heads or config.heads,
            "norm": config.norm,
            "norm_kind": config.norm_kind,
            "final_norm": True,
            "activation": config.activation,
            "positions": positions[config.positions],
            "window": config.window,
            "layers": config.layers,
        }


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_states_mask_and_summary_of_the_models_width(name: str) -> None:
    source, mask = padded(SOURCES)
    memory = model_of(config_of(name, "gru_none")).encode(source, mask)
    assert memory.states.shape == (*source.shape, DIM)
    assert memory.pooled.shape == (len(source), DIM)
    assert memory.mask is mask


def test_the_same_seed_gives_the_same_weights() -> None:
    one, again, other = (model_of(config_of("bigru", "pre"), seed=seed) for seed in (1, 1, 2))
    assert nn.utils.parameters_to_vector(one.parameters()).equal(
        nn.utils.parameters_to_vector(again.parameters())
    )
    assert not torch.equal(one.source.weight, other.source.weight)

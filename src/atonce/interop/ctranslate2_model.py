"""A Transformer of ours in CTranslate2's terms: which can be said in them, and how."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from atonce.config import Config
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.translator import Translator
from atonce.errors import RunError, not_installed
from atonce.layers.attention import MultiHeadAttention
from atonce.layers.positions import LearnedPositions, SinusoidalPositions, sinusoids
from atonce.layers.transformer import EPSILON, DecoderBlock, EncoderBlock, FeedForward, Residual
from atonce.models.config import (
    TransformerConfig,
    TransformerDecoderConfig,
    TransformerEncoderConfig,
)
from atonce.models.transformer import TransformerDecoder, TransformerEncoder
from atonce.runs.recipe import Recipe
from atonce.shapes import Float

MODEL_SETTINGS = frozenset({"dim", "tied_embeddings", "encoder", "decoder"})
SIDE_SETTINGS = frozenset(
    {
        "kind", "layers", "heads", "key_value_heads", "feed_forward", "activation", "norm", "norm_kind",
        "positions", "dropout",
    }
)  # fmt: skip
"""What is written as it is, each side by itself. Whatever else a model can be given is refused by name."""

FEWEST_POSITIONS, MOST_POSITIONS = 1024, 32_768
"""Rows of the tables of positions: CTranslate2 adds positions from a table, ours computes sinusoids."""


def refuse_what_cannot_be_said(recipe: Recipe, name: str) -> None:
    """Raises RunError, with the names of the settings, for a model that CTranslate2 would run as another."""
    model, faults = recipe.model, []
    fix = "train a Transformer for it: atonce train RECIPE --model transformer"
    if recipe.data.reads_images:
        faults.append(f"data.kind is {recipe.data.kind}, which are images")
        fix = "use the run with atonce itself"
    # Settings are allowed by name, not forbidden: one that is new to our models is refused at first.
    for side in ("encoder", "decoder"):
        config = getattr(model, side)
        if isinstance(config, TransformerConfig):
            faults += _unsaid(config, f"model.{side}", SIDE_SETTINGS)
        else:
            faults.append(f"model.{side}.kind is {config.kind}")
    if model.decoder.kind == "classifier":
        fix = "use the run with atonce itself"
    elif isinstance(model.encoder, TransformerConfig) and isinstance(model.decoder, TransformerConfig):
        faults += _unsaid(model, "model", MODEL_SETTINGS)
        if faults and not recipe.data.reads_images:
            fix = "leave these settings out of the recipe and train again, or use the run with atonce itself"
    if faults:
        raise RunError(
            f"cannot export {name} to ctranslate2",
            why=f"{' and '.join(faults)}; CTranslate2 would run it as another model, or not at all",
            fix=fix,
        )


def _unsaid(config: Config, where: str, said: frozenset[str]) -> list[str]:
    """The settings that have no like there, unless they are as if they did not exist."""
    fields = {name: field for name, field in type(config).model_fields.items() if name not in said}
    values = {name: getattr(config, name) for name in fields}
    return [
        f"{where}.{name} is {value}" for name, value in values.items() if value != fields[name].get_default()
    ]


def installed() -> Any:
    """CTranslate2. Raises RunError where it is missing."""
    try:
        import ctranslate2
    except ImportError:
        raise not_installed(
            "cannot export to ctranslate2", "it is not installed", "export", kind=RunError
        ) from None
    return ctranslate2


def positions(recipe: Recipe) -> int:
    """Rows of the tables of positions: enough for what atonce itself reads at once and writes."""
    # As atonce itself ends sources and outputs, and one more each.
    longest_source = recipe.data.max_length + 1
    longest_output = int(recipe.decoding.max_length_ratio * recipe.data.max_length) + 11
    return min(max(FEWEST_POSITIONS, longest_source, longest_output), MOST_POSITIONS)


def spec_of(translator: Translator, recipe: Recipe) -> Any:
    """The model as `ctranslate2.specs.TransformerSpec`. It shares no memory with ours."""
    specs = installed().specs
    encoder = cast(TransformerEncoder, translator.model.encoder)
    decoder = cast(TransformerDecoder, translator.model.decoder)
    left = cast(TransformerEncoderConfig, recipe.model.encoder)
    right = cast(TransformerDecoderConfig, recipe.model.decoder)
    spec = specs.TransformerSpec(
        specs.TransformerEncoderSpec(left.layers, left.heads, **_options(specs, left)),
        specs.TransformerDecoderSpec(right.layers, right.heads, **_options(specs, right)),
    )
    spec.config.layer_norm_epsilon = EPSILON
    rows = positions(recipe)
    _side(spec.encoder, encoder.positions, cast(nn.Module, translator.model.source), encoder.final_norm, rows)
    _side(spec.decoder, decoder.positions, decoder.embedding, decoder.final_norm, rows)
    spec.decoder.projection.weight = _numbers(decoder.output.weight)
    for one, block in zip(spec.encoder.layer, encoder.layers, strict=True):
        _encoder_block(one, cast(EncoderBlock, block))
    for one, block in zip(spec.decoder.layer, decoder.layers, strict=True):
        _decoder_block(one, cast(DecoderBlock, block))
    _tokens(spec, translator.tokenizer)
    spec.validate()
    return spec


def _options(specs: Any, side: TransformerConfig) -> dict[str, Any]:
    """The settings of one side, which its spec is made with."""
    activations = specs.common_spec.Activation
    activation = {"relu": activations.RELU, "gelu": activations.GELU, "swiglu": activations.SWISH}
    options = {
        "activation": activation[side.activation],
        "ffn_glu": side.activation == "swiglu",
        "pre_norm": side.norm == "pre",
        "rms_norm": side.norm_kind == "rms",
    }
    if side.key_value_heads not in (None, side.heads):
        options["num_heads_kv"] = side.key_value_heads
    if side.positions == "rotary":
        # Ours turns a dimension with the one half a head further (`layers/positions.rotated`).
        options |= {"rotary_dim": 0, "rotary_interleave": False}  # 0: all of a head's
    return options


def _side(spec: Any, positions: nn.Module, embedding: nn.Module, final_norm: nn.Module, rows: int) -> None:
    table = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
    table.weight = _numbers(cast(Tensor, embedding.weight))
    # Ours are multiplied by the root of dim as well (Vaswani 2017, section 3.4).
    spec.scale_embeddings = True
    match positions:
        case LearnedPositions(weight=weight, scale=scale):
            of_row = torch.arange(rows).clamp(max=len(weight) - 1)  # those beyond share the last one
            spec.position_encodings.encodings = _numbers(weight.detach()[of_row] * scale)
        case SinusoidalPositions():
            spec.position_encodings.encodings = _numbers(sinusoids(rows, table.weight.shape[1]))
    if not isinstance(final_norm, nn.Identity):
        _norm(spec.layer_norm, final_norm)


def _encoder_block(spec: Any, block: EncoderBlock) -> None:
    _self_attention(spec.self_attention, block.attention, block.attention_residual)
    _feed_forward(spec.ffn, block.feed_forward, block.feed_forward_residual)


def _decoder_block(spec: Any, block: DecoderBlock) -> None:
    _self_attention(spec.self_attention, block.attention, block.attention_residual)
    across = block.cross_attention
    _norm(spec.attention.layer_norm, block.cross_attention_residual.norm)
    _linear(spec.attention.linear[0], across.query)
    _linear(spec.attention.linear[1], across.key, across.value)
    _linear(spec.attention.linear[2], across.output)
    _feed_forward(spec.ffn, block.feed_forward, block.feed_forward_residual)


def _self_attention(spec: Any, attention: MultiHeadAttention, residual: Residual) -> None:
    _norm(spec.layer_norm, residual.norm)
    _linear(spec.linear[0], attention.query, attention.key, attention.value)
    _linear(spec.linear[1], attention.output)


def _feed_forward(spec: Any, feed_forward: FeedForward, residual: Residual) -> None:
    _norm(spec.layer_norm, residual.norm)
    _linear(spec.linear_0, feed_forward.hidden)
    if feed_forward.factor is not None:
        # SwiGLU: one half is activated, and multiplied by the other, which is not.
        _linear(spec.linear_0_noact, feed_forward.factor)
    _linear(spec.linear_1, feed_forward.output)


def _norm(spec: Any, norm: nn.Module) -> None:
    spec.gamma = _numbers(cast(Tensor, norm.weight))
    if isinstance(norm, nn.LayerNorm):
        spec.beta = _numbers(norm.bias)


def _linear(spec: Any, *layers: nn.Linear) -> None:
    """Several side by side are one, as CTranslate2 has them."""
    spec.weight = _numbers(torch.cat([layer.weight for layer in layers]))
    spec.bias = _numbers(torch.cat([layer.bias for layer in layers]))


def _tokens(spec: Any, tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokens(range(tokenizer.size))
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.bos_token = spec.config.decoder_start_token = tokens[tokenizer.bos]
    spec.config.eos_token, spec.config.unk_token = tokens[tokenizer.eos], tokens[tokenizer.unk]
    # Every source that we train on ends with `eos`; the program is given tokens without.
    spec.config.add_source_eos = True


def _numbers(tensor: Float[Tensor, "..."]) -> Float[np.ndarray, "..."]:
    """A copy: rounding a spec to eight bits scales the arrays it was given in place."""
    return tensor.detach().float().cpu().numpy().copy()

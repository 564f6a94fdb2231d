"""To CTranslate2: a Transformer of ours as a model that its engine runs, in float32 or in eight bits."""

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.opening import load_translator
from atonce.decoding.translator import Translator
from atonce.disk import replacing
from atonce.errors import RunError
from atonce.layers.attention import MultiHeadAttention
from atonce.layers.norm import EPSILON
from atonce.layers.positions import LearnedPositions, SinusoidalPositions, sinusoids
from atonce.layers.transformer import DecoderBlock, EncoderBlock, FeedForward, Residual
from atonce.models.config import ModelConfig, TransformerDecoderConfig, TransformerEncoderConfig
from atonce.models.transformer import TransformerDecoder, TransformerEncoder
from atonce.runs.folder import RunFolder

Quantization = Literal["int8", "int8_float32", "int16", "float16", "bfloat16"]

LONGEST = 1024
"""Positions of the table of sinusoids, which an exported model has and ours has not."""


def export(run: str | Path, folder: str | Path, *, quantization: Quantization | None = None) -> Path:
    """Write a run's Transformer into a new folder as `ctranslate2.Translator` opens it; gives the folder.

    Its texts are pieces: those of `tokenizer.model`, the sentencepiece model that is put beside it.
    `quantization`: how weights are stored; without it, float32.

    Raises RunError for a model that CTranslate2 has no like of, or if it is not installed, and DiskError.
    """
    opened = RunFolder.open(Path(run))
    _check(opened.recipe.model, str(run))
    translator = load_translator(run, device="cpu")
    spec = _spec(translator, opened.recipe.model)
    target = Path(folder)
    if target.exists():
        raise RunError(f"{target} is there already", why="nothing is overwritten", fix="name a new folder")
    spec.validate()
    spec.optimize(quantization=quantization)
    with replacing(target) as partial:
        partial.mkdir()
        spec.save(str(partial))
        translator.tokenizer.save(partial / "tokenizer.model")
    return target


def _check(config: ModelConfig, name: str) -> None:
    """Raises RunError for what CTranslate2 cannot run."""
    sides = (config.encoder, config.decoder)
    found = None
    if not all(isinstance(side, TransformerEncoderConfig | TransformerDecoderConfig) for side in sides):
        found = f"it is a {config.encoder.kind} encoder with a {config.decoder.kind} decoder"
    else:
        for side in cast(tuple[TransformerEncoderConfig, TransformerDecoderConfig], sides):
            if side.window is not None or side.positions == "rotary":
                found = "it has windows or rotary positions"
            if side.key_value_heads not in (None, side.heads):
                found = "its heads share keys and values"
    one, other = (getattr(side, "norm", None) for side in sides)
    if found is None and (one != other or config.encoder.heads != config.decoder.heads):  # type: ignore[union-attr]
        found = "its encoder and its decoder differ in norm or heads"
    if found is not None:
        raise RunError(
            f"cannot export {name} to ctranslate2",
            why=f"{found}; CTranslate2 runs plain Transformers",
            fix="train one: atonce train RECIPE --model transformer",
        )


def _installed() -> Any:
    """CTranslate2's description of models. Raises RunError where it is missing."""
    try:
        from ctranslate2 import specs
    except ImportError:
        raise RunError(
            "cannot export to ctranslate2", why="it is not installed", fix="pip install 'atonce[export]'"
        ) from None
    return specs


def _spec(translator: Translator, config: ModelConfig) -> Any:
    specs = _installed()
    encoder_config = cast(TransformerEncoderConfig, config.encoder)
    decoder_config = cast(TransformerDecoderConfig, config.decoder)
    encoder = cast(TransformerEncoder, translator.model.encoder)
    decoder = cast(TransformerDecoder, translator.model.decoder)
    activations = specs.common_spec.Activation
    activation = {"relu": activations.RELU, "gelu": activations.GELU, "swiglu": activations.SWISH}
    spec = specs.TransformerSpec.from_config(
        (encoder_config.layers, decoder_config.layers),
        encoder_config.heads,
        pre_norm=encoder_config.norm == "pre",
        activation=activation[encoder_config.activation],
        ffn_glu=encoder_config.activation == "swiglu",
        rms_norm=encoder_config.norm_kind == "rms",
    )
    spec.config.layer_norm_epsilon = EPSILON
    _side(spec.encoder, encoder.positions, cast(nn.Module, translator.model.source), encoder.final_norm)
    _side(spec.decoder, decoder.positions, decoder.embedding, decoder.final_norm)
    spec.decoder.projection.weight = _numbers(decoder.output.weight)
    for one, block in zip(spec.encoder.layer, encoder.layers, strict=True):
        _encoder_block(one, cast(EncoderBlock, block))
    for one, block in zip(spec.decoder.layer, decoder.layers, strict=True):
        _decoder_block(one, cast(DecoderBlock, block))
    _pieces(spec, translator.tokenizer)
    return spec


def _side(spec: Any, positions: nn.Module, embedding: nn.Module, final_norm: nn.Module) -> None:
    table = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
    table.weight = _numbers(cast(Tensor, embedding.weight))
    spec.scale_embeddings = True
    dim = table.weight.shape[1]
    match positions:
        case LearnedPositions(weight=weight, scale=scale):
            spec.position_encodings.encodings = _numbers(weight * scale)
        case SinusoidalPositions():
            spec.position_encodings.encodings = _numbers(sinusoids(LONGEST, dim))
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


def _pieces(spec: Any, tokenizer: Tokenizer) -> None:
    pieces = tokenizer.pieces(range(tokenizer.size))
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.config.bos_token = spec.config.decoder_start_token = pieces[tokenizer.bos]
    spec.config.eos_token, spec.config.unk_token = pieces[tokenizer.eos], pieces[tokenizer.unk]
    spec.config.add_source_eos = True


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()

"""Every encoder with every decoder, small enough to try them all, and what tests feed them."""

from collections.abc import Iterable, Sequence

import pytest
import torch
from torch import Tensor, nn

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.hypothesis import SpecialTokens
from atonce.decoding.translator import Translator
from atonce.models.build import build_model
from atonce.models.config import (
    ConvolutionDecoderConfig,
    ConvolutionEncoderConfig,
    FeedForwardEncoderConfig,
    ModelConfig,
    RecurrentDecoderConfig,
    RecurrentEncoderConfig,
    ScanDecoderConfig,
    ScanEncoderConfig,
    TransformerDecoderConfig,
    TransformerEncoderConfig,
)
from atonce.models.interface import Decoder, Memory
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import DecodingConfig

DIM, VOCAB = 8, 11
PAD, BOS, EOS = 0, 1, 2
TOKENS = SpecialTokens(BOS, EOS, suppress=(PAD, BOS))

_SELF_ATTENTION = {"layers": 2, "heads": 2, "feed_forward": 12, "dropout": 0.3}

_BLOCKS = {
    "pre": {"norm": "pre"},
    "post": {"norm": "post"},
    "modern": {
        "norm_kind": "rms", "positions": "rotary", "activation": "swiglu", "key_value_heads": 1, "window": 2,
    },
    "learned": {"positions": "learned", "activation": "gelu", "window": 1},
}  # fmt: skip
"""The options of a Transformer, each at least once."""

ENCODERS = (
    {"feedforward": FeedForwardEncoderConfig(feed_forward=12, dropout=0.3)}
    | {"convolution": ConvolutionEncoderConfig(layers=2, dropout=0.3)}
    | {
        f"{'bi' * both}{kind}": RecurrentEncoderConfig(kind=kind, layers=2, bidirectional=both, dropout=0.3)
        for kind in ("rnn", "gru", "lstm")
        for both in (False, True)
    }
    | {
        f"{'bi' * both}{kind}": ScanEncoderConfig(
            kind=kind, layers=2, bidirectional=both, feed_forward=12, dropout=0.3
        )
        for kind in ("mingru", "minlstm")
        for both in (False, True)
    }
    | {name: TransformerEncoderConfig(**_SELF_ATTENTION, **options) for name, options in _BLOCKS.items()}
)

DECODERS = (
    {"convolution": ConvolutionDecoderConfig(layers=2, dropout=0.3)}
    | {
        f"{kind}_{attention}{'_fed' * fed}": RecurrentDecoderConfig(
            kind=kind, layers=2, attention=attention, input_feeding=fed, dropout=0.3
        )
        for kind in ("rnn", "gru", "lstm")
        for attention in ("none", "additive", "dot", "general")
        for fed in (False, True)
    }
    | {
        kind: ScanDecoderConfig(kind=kind, layers=2, heads=2, feed_forward=12, dropout=0.3)
        for kind in ("mingru", "minlstm", "ssru")
    }
    | {name: TransformerDecoderConfig(**_SELF_ATTENTION, **options) for name, options in _BLOCKS.items()}
)


def config_of(encoder: str, decoder: str, *, dim: int = DIM, tied: bool = True) -> ModelConfig:
    return ModelConfig(dim=dim, tied_embeddings=tied, encoder=ENCODERS[encoder], decoder=DECODERS[decoder])


def _params(pairs: Iterable[tuple[str, str]]) -> list[object]:
    return [pytest.param(config_of(*pair), id="-".join(pair)) for pair in pairs]


_PAIRS = [(encoder, decoder) for encoder in ENCODERS for decoder in DECODERS]
_PARTS = [(e, "lstm_general_fed") for e in ENCODERS] + [("bigru", d) for d in DECODERS]
_BLIND_ENCODERS = [e for e in ENCODERS if e not in _BLOCKS]
_LOOKING = [(e, d) for e, d in _PARTS if "none" not in d] + [("pre", "gru_none")]

every_pair = pytest.mark.parametrize("config", _params(_PAIRS))
every_part = pytest.mark.parametrize("config", _params(_PARTS))
"""Each encoder and each decoder at least once: enough where a law is about one side."""
every_looking_pair = pytest.mark.parametrize("config", _params(_LOOKING))
"""Each part at least once, in pairs of which some layer looks at something."""
every_blind_pair = pytest.mark.parametrize(
    "config", _params((e, d) for e in _BLIND_ENCODERS for d in ("gru_none", "lstm_none_fed"))
)
"""Those without any attention."""
every_encoder = pytest.mark.parametrize("config", _params((e, "gru_none") for e in ENCODERS))


def model_of(
    config: ModelConfig, *, vocab: int = VOCAB, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Seq2Seq:
    """A model with random weights, ready to be used; in float64, so that comparisons are sharp."""
    torch.manual_seed(seed)
    return build_model(config, vocab).to(dtype).eval()


def padded(rows: Sequence[Sequence[int]], length: int = 0, fill: int = PAD) -> tuple[Tensor, Tensor]:
    """Rows of tokens with their mask, filled up to `length` or the longest."""
    length = max(length, *map(len, rows))
    tokens = torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows])
    mask = torch.tensor([[position < len(row) for position in range(length)] for row in rows])
    return tokens, mask


SOURCES = ([5, 3, 8, EOS], [4, EOS], [9, 9, 6, 10, 7, EOS])
"""Sentences of several lengths."""


def decided_model(config: ModelConfig, *, vocab: int = VOCAB, seed: int = 0) -> Seq2Seq:
    """A model that likes some tokens much better than others, as a trained one does."""
    model = model_of(config, vocab=vocab, seed=seed)
    with torch.no_grad():
        model.decoder.output.weight.mul_(4)
    return model


@torch.inference_mode()
def forced(model: Seq2Seq, source: Sequence[int], output: Sequence[int]) -> float:
    """The log-probability of an output, by teacher forcing."""
    target_in = torch.tensor([[BOS, *output[:-1]]])
    logits = model.decoder.logits(model(*padded([source]), target_in))[0]
    return float(logits.log_softmax(-1).gather(1, torch.tensor(output)[:, None]).sum())


class Chain(Decoder):
    """A decoder that knows the step and the token before, nothing else: search is all there is to test."""

    steps = 10

    def __init__(self, vocab: int, seed: int) -> None:
        nn.Module.__init__(self)  # without a table: the features are the scores
        self.output = None
        draw = torch.Generator().manual_seed(seed)
        self.table = torch.randn(self.steps, vocab, vocab, generator=draw, dtype=torch.float64)
        """Scores of each token, by step and token before."""

    def start(self, memory: Memory) -> tuple[Tensor, ...]:
        return (torch.zeros(len(memory.mask), dtype=torch.long),)

    def advance(self, token: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        (step,) = state
        return self.table[step, token], (step + 1,)

    def logits(self, features: Tensor) -> Tensor:
        """The features are the scores."""
        return features.clone()

    def gain(self, step: int, before: int, token: int) -> float:
        return float(self.table[step, before].log_softmax(-1)[token])


def blank_memory(batch: int) -> Memory:
    """For a decoder that does not look."""
    states = torch.zeros(batch, 1, 1, dtype=torch.float64)
    return Memory(states, torch.ones(batch, 1, dtype=torch.bool), states[:, 0])


def translator_of(
    tokenizer: Tokenizer, config: ModelConfig, *, longest_source: int = 256, seed: int = 0, **decoding: object
) -> Translator:
    """It has learned nothing, but writes with decision."""
    model = decided_model(config, vocab=tokenizer.size, seed=seed)
    return Translator(
        model, tokenizer, DecodingConfig.parse(decoding, origin="a test"), longest_source=longest_source
    )

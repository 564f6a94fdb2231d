"""The one place where configs become modules. A new architecture is a config, a module and one case here."""

from typing import TypeVar

from torch import nn

from atonce.layers.positions import build_positions
from atonce.layers.transformer import DecoderBlock, EncoderBlock, build_norm
from atonce.models.config import (
    ClassifierConfig,
    ConvolutionDecoderConfig,
    ConvolutionEncoderConfig,
    DecoderConfig,
    EncoderConfig,
    FeedForwardEncoderConfig,
    ImageConfig,
    LinesConfig,
    ModelConfig,
    PatchesConfig,
    PooledConvolutionsConfig,
    RecurrentDecoderConfig,
    RecurrentEncoderConfig,
    ScanDecoderConfig,
    ScanEncoderConfig,
    TransformerConfig,
    TransformerDecoderConfig,
    TransformerEncoderConfig,
    WholeImageConfig,
)
from atonce.models.convolution import ConvolutionDecoder, ConvolutionEncoder
from atonce.models.image import (
    ImageEmbedding,
    LineEmbedding,
    PatchEmbedding,
    PooledConvolutions,
    WholeImageEmbedding,
)
from atonce.models.interface import Decoder, Encoder, TokenEmbedding
from atonce.models.recurrent import RecurrentDecoder, RecurrentEncoder
from atonce.models.scan import ScanDecoder, ScanEncoder
from atonce.models.seq2seq import Classifier, Seq2Seq
from atonce.models.transformer import FeedForwardEncoder, TransformerDecoder, TransformerEncoder

Block = TypeVar("Block", EncoderBlock, DecoderBlock)


def build_model(
    config: ModelConfig, vocab: int, *, image: tuple[int, int] | None = None, labels: int | None = None
) -> Seq2Seq:
    """A model with fresh weights from torch's random state.

    `vocab`: tokens in the vocabulary. `image`: height and width of the source, where it is not text.
    `labels`: how many there are, where the target is not text.
    """
    tokens = TokenEmbedding(vocab, config.dim)
    # Labels are no tokens: they have a table of their own, in which each is a row that features are compared
    # with.
    one_table = config.tied_embeddings and labels is None

    # A function: untied, the decoder's input and output are two tables.
    def table() -> TokenEmbedding:
        return tokens if one_table else TokenEmbedding(labels or vocab, config.dim)

    source = tokens if image is None else build_image_embedding(config.image, image, config.dim)
    encoder = build_encoder(config.encoder, config.dim)
    decoder = build_decoder(config.decoder, table(), table(), config.dim)
    return Seq2Seq(source, encoder, decoder)


def build_image_embedding(config: ImageConfig | None, shape: tuple[int, int], dim: int) -> ImageEmbedding:
    """Every way to read an image of `shape` (height, width) as a sequence."""
    match config or PatchesConfig():
        case WholeImageConfig():
            return WholeImageEmbedding(shape, dim)
        case LinesConfig(kind=kind):
            return LineEmbedding(shape, dim, lines=kind)
        case PatchesConfig(size=size):
            return PatchEmbedding(shape, dim, size=size)
        case PooledConvolutionsConfig(channels=channels, kernel=kernel, dropout=dropout):
            return PooledConvolutions(shape, dim, channels=channels, kernel=kernel, dropout=dropout)


def build_encoder(config: EncoderConfig, dim: int) -> Encoder:
    """Every encoder there is."""
    match config:
        case FeedForwardEncoderConfig():
            return FeedForwardEncoder(
                dim, layers=config.layers, feed_forward=config.feed_forward, activation=config.activation,
                dropout=config.dropout,
            )  # fmt: skip
        case ConvolutionEncoderConfig():
            return ConvolutionEncoder(dim, layers=config.layers, kernel=config.kernel, dropout=config.dropout)
        case RecurrentEncoderConfig():
            return RecurrentEncoder(
                dim, cell=config.kind, layers=config.layers, bidirectional=config.bidirectional,
                dropout=config.dropout,
            )  # fmt: skip
        case ScanEncoderConfig():
            return ScanEncoder(
                dim, cell=config.kind, layers=config.layers, bidirectional=config.bidirectional,
                feed_forward=config.feed_forward, dropout=config.dropout,
            )  # fmt: skip
        case TransformerEncoderConfig():
            # Blocks after positions: fresh weights come from one random state, so the order of construction
            # is part of what a seed means.
            positions = build_positions(config.positions, dim, config.heads)
            blocks = transformer_blocks(EncoderBlock, config, dim)
            return TransformerEncoder(
                blocks, positions, transformer_norm(config, dim), window=config.window, dropout=config.dropout
            )


def build_decoder(
    config: DecoderConfig, embedding: TokenEmbedding, output: TokenEmbedding, dim: int
) -> Decoder:
    """Every decoder there is. `embedding` reads tokens, `output` scores them; they may be one table."""
    match config:
        case ConvolutionDecoderConfig():
            return ConvolutionDecoder(
                embedding, output, dim, layers=config.layers, kernel=config.kernel, dropout=config.dropout
            )
        case RecurrentDecoderConfig():
            return RecurrentDecoder(
                embedding, output, dim, cell=config.kind, layers=config.layers, attention=config.attention,
                input_feeding=config.input_feeding, dropout=config.dropout,
            )  # fmt: skip
        case ScanDecoderConfig():
            return ScanDecoder(
                embedding, output, dim, cell=config.kind, layers=config.layers, heads=config.heads,
                feed_forward=config.feed_forward, dropout=config.dropout,
            )  # fmt: skip
        case TransformerDecoderConfig():
            positions = build_positions(config.positions, dim, config.heads)
            blocks = transformer_blocks(DecoderBlock, config, dim)
            return TransformerDecoder(
                embedding, output, blocks, positions, transformer_norm(config, dim), window=config.window,
                dropout=config.dropout,
            )  # fmt: skip
        case ClassifierConfig():
            return Classifier(output, dim, dropout=config.dropout)


def transformer_blocks(kind: type[Block], config: TransformerConfig, dim: int) -> list[Block]:
    """As many blocks as the config has layers."""
    return [
        kind(
            dim, config.heads, config.feed_forward, key_value_heads=config.key_value_heads,
            activation=config.activation, norm=config.norm, norm_kind=config.norm_kind,
            dropout=config.dropout,
        )
        for _ in range(config.layers)
    ]  # fmt: skip


def transformer_norm(config: TransformerConfig, dim: int) -> nn.Module:
    """What comes after the last block: post-norm blocks end with a norm of their own."""
    return build_norm(config.norm_kind, dim) if config.norm == "pre" else nn.Identity()

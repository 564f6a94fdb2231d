"""The one place where configs become modules. A new architecture is a config, a module and one case here."""

from atonce.models.config import (
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    RecurrentDecoderConfig,
    RecurrentEncoderConfig,
    TransformerDecoderConfig,
    TransformerEncoderConfig,
)
from atonce.models.embedding import PieceEmbedding
from atonce.models.recurrent import RecurrentDecoder, RecurrentEncoder
from atonce.models.seq2seq import Seq2Seq
from atonce.models.transformer import TransformerDecoder, TransformerEncoder


def build_model(config: ModelConfig, vocab: int) -> Seq2Seq:
    """A model with fresh weights from torch's random state. `vocab`: pieces in the vocabulary."""
    source = PieceEmbedding(vocab, config.dim)
    target = source if config.tied_embeddings else PieceEmbedding(vocab, config.dim)
    output = source if config.tied_embeddings else PieceEmbedding(vocab, config.dim)
    encoder = build_encoder(config.encoder, source, config.dim)
    decoder = build_decoder(config.decoder, target, output, config.dim)
    return Seq2Seq(encoder, decoder)


def build_encoder(
    config: EncoderConfig, embedding: PieceEmbedding, dim: int
) -> RecurrentEncoder | TransformerEncoder:
    """Every encoder there is."""
    match config:
        case RecurrentEncoderConfig():
            return RecurrentEncoder(
                embedding, dim, cell=config.kind, layers=config.layers, bidirectional=config.bidirectional,
                dropout=config.dropout,
            )  # fmt: skip
        case TransformerEncoderConfig():
            return TransformerEncoder(
                embedding, dim, layers=config.layers, heads=config.heads, feed_forward=config.feed_forward,
                norm=config.norm, dropout=config.dropout,
            )  # fmt: skip


def build_decoder(
    config: DecoderConfig, embedding: PieceEmbedding, output: PieceEmbedding, dim: int
) -> RecurrentDecoder | TransformerDecoder:
    """Every decoder there is. `embedding` reads pieces, `output` scores them; they may be one table."""
    match config:
        case RecurrentDecoderConfig():
            return RecurrentDecoder(
                embedding, output, dim, cell=config.kind, layers=config.layers, attention=config.attention,
                input_feeding=config.input_feeding, dropout=config.dropout,
            )  # fmt: skip
        case TransformerDecoderConfig():
            return TransformerDecoder(
                embedding, output, dim, layers=config.layers, heads=config.heads,
                feed_forward=config.feed_forward, norm=config.norm, dropout=config.dropout,
            )  # fmt: skip

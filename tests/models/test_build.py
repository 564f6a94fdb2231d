import pytest
import torch
from torch import nn

from atonce.layers.attention import Attention
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.embedding import PieceEmbedding
from zoo import DECODERS, DIM, ENCODERS, SOURCES, VOCAB, config_of, every_pair, model_of, padded


@every_pair
def test_one_table_serves_all_where_embeddings_are_tied(config: ModelConfig) -> None:
    tied = build_model(config, VOCAB)
    untied = build_model(config.model_copy(update={"tied_embeddings": False}), VOCAB)
    assert untied.weight_count - tied.weight_count == 2 * VOCAB * DIM
    assert sum(weight.shape == (VOCAB, DIM) for weight in tied.parameters()) == 1
    assert sum(isinstance(module, PieceEmbedding) for module in tied.modules()) == 1
    assert sum(isinstance(module, PieceEmbedding) for module in untied.modules()) == 3


def test_what_is_learned_is_counted() -> None:
    """By hand: per GRU layer 3 gates from input and state with two biases; per attention three parts."""
    model = build_model(config_of("bigru", "gru_additive"), VOCAB)
    half = DIM // 2
    encoder = 2 * 2 * 3 * (DIM * half + half * half + 2 * half)
    stack = 3 * (2 * DIM * DIM + DIM * DIM + 2 * DIM) + 3 * (2 * DIM * DIM + 2 * DIM)
    attention = DIM * DIM + (DIM * DIM + DIM) + DIM
    rest = (DIM * 2 * DIM + 2 * DIM) + (2 * DIM * DIM + DIM)  # first states of two layers, mixture
    assert model.weight_count == VOCAB * DIM + encoder + stack + attention + rest


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_looks_as_its_config_says(name: str) -> None:
    model = build_model(config_of("bigru", name), VOCAB)
    roles = [module.role for module in model.modules() if isinstance(module, Attention)]
    if name in ("pre", "post"):
        assert roles == ["decoder-self", "cross"] * 2
    else:
        assert roles == ([] if "none" in name else ["cross"])


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_states_mask_and_summary_of_the_models_width(name: str) -> None:
    source, mask = padded(SOURCES)
    memory = model_of(config_of(name, "gru_none")).encode(source, mask)
    assert memory.states.shape == (*source.shape, DIM)
    assert memory.summary.shape == (len(source), DIM)
    assert memory.mask is mask


def test_the_same_seed_gives_the_same_weights() -> None:
    one, again, other = (model_of(config_of("bigru", "pre"), seed=seed) for seed in (1, 1, 2))
    assert nn.utils.parameters_to_vector(one.parameters()).equal(
        nn.utils.parameters_to_vector(again.parameters())
    )
    assert not torch.equal(one.encoder.embedding.weight, other.encoder.embedding.weight)

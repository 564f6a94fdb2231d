import pytest
import torch
from torch import nn

from atonce.layers.convolution import GatedConvolution
from atonce.layers.positions import LearnedPositions
from atonce.models.build import build_model
from atonce.models.config import ModelConfig, PooledConvolutionsConfig
from atonce.models.embedding import TokenEmbedding
from atonce.runs.recipe import TrainingConfig
from atonce.training.muon import Muon
from atonce.training.optimizers import build_optimizers, hidden_matrices
from zoo import config_of, every_part, model_of


@every_part
@pytest.mark.parametrize("tied", [True, False])
def test_muon_learns_every_matrix_that_is_no_table(config: ModelConfig, tied: bool) -> None:
    model = model_of(config.model_copy(update={"tied_embeddings": tied}))
    tables = {id(m.weight) for m in model.modules() if isinstance(m, TokenEmbedding | LearnedPositions)}
    matrices = hidden_matrices(model)
    chosen = [id(weight) for weight, _ in matrices]
    assert len(chosen) == len(set(chosen))
    # a matrix of one row, such as the v of additive attention, is a vector
    assert set(chosen) == {
        id(weight)
        for weight in model.parameters()
        if weight.ndim == 2 and min(weight.shape) > 1 and id(weight) not in tables
    }


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_the_gates_of_a_cell_are_blocks_of_their_own(cell: str, gates: int) -> None:
    model = model_of(config_of(f"bi{cell}", f"{cell}_general"))
    recurrent = {
        id(weight) for m in model.modules() if isinstance(m, nn.RNNBase) for weight in m.parameters()
    }
    for weight, blocks in hidden_matrices(model):
        assert blocks == (gates if id(weight) in recurrent else 1)
        assert weight.shape[0] % blocks == 0


def test_the_gate_of_a_convolution_is_a_block_of_its_own() -> None:
    model = model_of(config_of("convolution", "convolution"))
    gated = {id(m.linear.weight) for m in model.modules() if isinstance(m, GatedConvolution)}
    assert gated
    assert gated == {id(weight) for weight, blocks in hidden_matrices(model) if blocks == 2}


def test_muon_learns_the_kernels_of_convolutions_over_the_plane() -> None:
    config = config_of("pre", "pre").model_copy(update={"image": PooledConvolutionsConfig(channels=(4,))})
    model = build_model(config, 11, image=(8, 8))
    kernels = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert kernels
    assert kernels <= {id(weight) for weight, _ in hidden_matrices(model)}


@every_part
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_every_weight_is_learned_by_one_optimiser_and_changes(config: ModelConfig, optimizer: str) -> None:
    model = model_of(config)
    optimizers = build_optimizers(model, TrainingConfig(optimizer=optimizer))
    assert [type(one) for one in optimizers] == (
        [Muon, torch.optim.AdamW] if optimizer == "muon" else [torch.optim.AdamW]
    )
    learned = [id(weight) for one in optimizers for group in one.param_groups for weight in group["params"]]
    assert sorted(learned) == sorted(map(id, model.parameters()))
    before = [weight.detach().clone() for weight in model.parameters()]
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    for one in optimizers:
        one.step()
    assert not any(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))

"""Which optimiser learns which weights."""

import torch
from torch import nn

from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import TrainingConfig
from atonce.training.muon import Blocks, Muon

GATES: dict[type[nn.Module], int] = {nn.GRU: 3, nn.LSTM: 4}


def build_optimizers(model: Seq2Seq, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW for every weight, or Muon for the matrices and AdamW for the rest. `lr` is each one's peak."""
    matrices = hidden_matrices(model) if config.optimizer == "muon" else []
    by_muon = {id(parameter) for parameter, _ in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in by_muon]
    adamw = torch.optim.AdamW(
        rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    if not matrices:
        return [adamw]
    return [Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay), adamw]


def hidden_matrices(model: Seq2Seq) -> list[Blocks]:
    """The matrices between hidden states: of linear and recurrent layers, not the tables of piece vectors."""
    return [
        (weight, GATES.get(type(module), 1))
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.GRU | nn.LSTM)
        for weight in module.parameters()
        if weight.ndim == 2 and min(weight.shape) > 1
    ]

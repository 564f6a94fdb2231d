"""Which optimiser learns which weights."""

import torch
from torch import nn

from atonce.layers.convolution import GatedConvolution
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import TrainingConfig
from atonce.training.muon import Blocks, Muon

GATES: dict[type[nn.Module], int] = {nn.GRU: 3, nn.LSTM: 4, GatedConvolution: 2}
"""How many matrices are stacked in each weight of a layer, where it is more than one."""


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
    """What maps hidden states to hidden states: weights of linear and recurrent layers and convolutions.

    Not tables, whose rows are vectors of pieces or positions, each learned for itself.
    """
    gates = {
        id(weight): GATES[type(module)]
        for module in model.modules()
        if type(module) in GATES
        for weight in module.parameters()
    }
    return [
        (weight, gates.get(id(weight), 1))
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.RNNBase | nn.Conv2d)
        for weight in module.parameters()
        if weight.ndim > 1 and min(weight.flatten(1).shape) > 1
    ]

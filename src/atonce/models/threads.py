"""With how many threads a model is computed."""
from torch import nn


def training_work(model: nn.Module, pieces: int) -> float:
    """Operations of an update that reads and writes so many pieces, about."""
    return 6.0 * sum(weight.numel() for weight in model.parameters()) * pieces

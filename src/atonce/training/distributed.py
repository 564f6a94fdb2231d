"""Several processes that learn together, as `torchrun` starts them: each reads its share of every batch.

What a step is does not depend on how many they are: an update has the same batches, the same loss and, up
to rounding, the same gradients. So a recipe means the same for any number, and a training may go on with
another.

The gradients are summed in one piece after the last backward pass. DistributedDataParallel would send them
while the pass is still going on, which pays for models that take long to send; it goes by a module's forward,
and here the loss is a function of the model.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous

from atonce.data.batches import Batch
from atonce.errors import TrainingError
from atonce.seeds import torch_seed

PATIENCE = timedelta(hours=6)
"""How long the others wait for the first process, which prepares the data and validates."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prepares, validates and writes; alone, it is."""
        return self.rank == 0

    def shares(self, batches: Sequence[Batch]) -> list[Batch]:
        """This process's rows of each batch. Where there are fewer rows than processes, some have none."""
        if self.count == 1:
            return list(batches)
        # Every so many rows: neighbours are alike in length, so all have about as much to do.
        rows = slice(self.rank, None, self.count)
        shares = [
            Batch(**{name: tensor[rows] for name, tensor in batch.tensors().items()}) for batch in batches
        ]
        return [share for share in shares if len(share.source)]

    def seed_per_rank(self, seed: int, step: int) -> None:
        """Let every process but the first draw random numbers of its own in this step.

        By the step, so that none of their states need be kept to go on with later.
        """
        if not self.is_first:
            torch.manual_seed(torch_seed(seed, step, self.rank))

    def sum_gradients(self, model: nn.Module, loss: float) -> float:
        """Give every process the sum of all gradients. Returns the sum of the losses."""
        if self.count == 1:
            return loss
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        # A process that had no row of these batches has no gradients, but takes part all the same.
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in weights]
        # The loss rides behind the gradients: one message in place of one for each weight and another.
        together = torch.cat([*(one.flatten() for one in gradients), gradients[0].new_tensor([loss])])
        with _the_others_here():
            dist.all_reduce(together)
        sums = together[:-1].split([one.numel() for one in weights])
        for weight, summed in zip(weights, sums, strict=True):
            weight.grad = summed.view_as(weight)
        return float(together[-1])

    def broadcast(self, number: float) -> float:
        """The number of the first process, in every process. None comes past this before the first does."""
        if self.count == 1:
            return number
        # float64 is what Python's numbers are: the plans of a budget must be the same in every process.
        message = torch.tensor([number], dtype=torch.float64, device=self.device)
        with _the_others_here():
            dist.broadcast(message, src=0)
        return float(message)

    def take_weights_of_first(self, model: nn.Module) -> None:
        """Begin with the same weights: another kind of machine may draw others from the same seed."""
        if self.count > 1:
            with _the_others_here(), torch.no_grad():
                for weight in model.parameters():
                    dist.broadcast(weight, src=0)


SINGLE_PROCESS = Ranks()


@contextmanager
def together(device: torch.device) -> Iterator[Ranks]:
    """Within the block, this process is one of those that `torchrun` started; without it, it is alone.

    On CPUs they talk by gloo; on GPUs by nccl, with a GPU for each process of a machine.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Ranks(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    # What was there before a restart must not be found again: the addresses of processes that have ended.
    store = dist.PrefixStore(f"attempt {_restarts()}", store)  # type: ignore[attr-defined]
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        yield Ranks(rank, count, device)
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the only one, or the first of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def was_restarted() -> bool:
    """Whether `torchrun` has started this process again, after one of them died."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextmanager
def _the_others_here() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this training has ended",
            why=str(error).splitlines()[0],
            fix="see what it said; then go on with --resume",
        ) from None

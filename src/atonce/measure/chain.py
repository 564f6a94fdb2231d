"""The critical path: which operations a longest chain consists of, and where in the code they are."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from atonce.measure.shadows import FIRST_PATH, NOTHING, STEP
from atonce.shapes import Int


@dataclass(frozen=True)
class Step:
    """One operation of a program."""

    operation: str
    """Its name in torch, such as "mm"."""
    file: str
    line: int
    function: str
    """The code that called it: the innermost that is not torch's own."""

    def __str__(self) -> str:
        return f"{self.operation}  {Path(self.file).name}:{self.line} in {self.function}"


class Chains:
    """The last link of every chain that is being followed, each knowing the one before.

    A link's number is kept in the part of a shadow that is smaller than one step. So the greater of two
    shadows is the longer chain with its link, and following chains takes no rule of its own.
    """

    def __init__(self) -> None:
        self._before = [0]
        self._steps: list[Step | None] = [None]

    def extend(self, shadow: Int[Tensor, " channels *shape"], step: Step) -> None:
        """Make `step` the last link of all chains of `shadow`, in place."""
        chains = shadow[:FIRST_PATH]
        follows = chains != NOTHING
        followed = chains[follows]
        links = followed % STEP
        # One new link for all elements that end in the same one: a tensor may have millions of elements.
        before, place = links.unique(return_inverse=True)
        first = len(self._before)
        self._before += before.tolist()
        self._steps += [step] * len(before)
        chains[follows] = followed - links + (first + place)

    def steps(self, link: int) -> tuple[Step, ...]:
        """The chain that ends in `link`, from its beginning."""
        found = []
        while (step := self._steps[link]) is not None:
            found.append(step)
            link = self._before[link]
        return tuple(reversed(found))


_PACKAGES = Path(torch.__file__).parents[1]
_NOT_THE_PROGRAM = (
    str(_PACKAGES / "torch"),
    str(Path(__file__).parent),
    str(_PACKAGES / "jaxtyping"),
    "<@beartype",
)
"""Files that are not the program's: torch, this folder, and what checks shapes under test."""


def called_from(operation: str) -> Step:
    """The current step: the innermost code on the stack that is neither torch's nor of this folder."""
    # By frames, not inspect.stack, which would look up source lines at every operation.
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_PROGRAM):
        frame = frame.f_back
    code = frame.f_code
    return Step(operation, code.co_filename, frame.f_lineno, code.co_qualname)

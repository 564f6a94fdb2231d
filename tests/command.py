"""What a command answers, and what a fault of the user looks like."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> tuple[str, str, str]:
        """What, why and what to do: three lines on stderr and exit code 2, and nothing else."""
        assert (self.code, self.out) == (2, "")
        what, why, fix = self.err.splitlines()
        assert what.startswith("error: ")
        assert why.startswith("  why: ")
        assert fix.startswith("  fix: ")
        return what[7:], why[7:], fix[7:]


Command = Callable[..., Said]

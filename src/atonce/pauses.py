"""Pauses: between two steps of a long computation others may be served, or the whole be called off.

Search and explanations pause after each step. Nothing happens then, unless who began the computation has said
what shall: a server answers others meanwhile, and ends what nobody waits for by raising an exception.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_meanwhile: ContextVar[Callable[[], None] | None] = ContextVar("meanwhile", default=None)


def pause() -> None:
    """Say that a step is done, and that nothing is lost if the next one comes later, or never."""
    meanwhile = _meanwhile.get()
    if meanwhile is not None:
        meanwhile()


def can_be_paused() -> bool:
    """Whether somebody has said what shall happen at a pause of this thread."""
    return _meanwhile.get() is not None


@contextmanager
def pausing(meanwhile: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `meanwhile` at each pause of this thread; what it raises ends all."""
    token = _meanwhile.set(meanwhile)
    try:
        yield
    finally:
        _meanwhile.reset(token)

"""How many sentences a model translates in a second: many at once, and one by one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from atonce.decoding.translator import Translator

PASSES = 3
"""Over the texts that are translated at once; the median counts."""
ALONE = 100
"""Texts that are translated one by one."""
WARM_UP = 32
"""Texts translated before the clock starts: kernels are chosen, memory is first touched."""


@dataclass(frozen=True)
class GenerationSpeed:
    """Sentences a second, searched greedily, from text to text."""

    together: float
    """In batches of like length, as `translate` makes them."""
    alone: float
    """Each in a batch of its own: what someone waits for who types one sentence."""


def generation_speed(
    translator: Translator, texts: Sequence[str], *, on_progress: Callable[[int], None] = lambda _: None
) -> GenerationSpeed:
    """Translate `texts`, at least one, and some of them one by one, with the clock running.

    `on_progress` is called with the number of texts translated since the last call.
    """
    few = texts[:: -(-len(texts) // ALONE)]
    translator.translate(texts[:WARM_UP], beam=1, on_progress=on_progress)
    together = median(
        _seconds(lambda: translator.translate(texts, beam=1, on_progress=on_progress)) for _ in range(PASSES)
    )
    alone = _seconds(lambda: [translator.translate([text], beam=1, on_progress=on_progress) for text in few])
    return GenerationSpeed(len(texts) / together, len(few) / alone)


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes. A translation ends as text, so nothing is left under way on a GPU."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

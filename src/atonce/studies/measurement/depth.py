"""How many layers it takes to connect distant positions."""

from atonce.measure.work_span import work_span
from atonce.studies.measurement.layers import LayerKind, sequence


def connecting_depth(kind: LayerKind, length: int) -> int | None:
    """How many layers it takes until the last position has heard of the first; None if no number will do.

    Each layer adds to what the one below has heard, so no more than `length` are ever needed.
    """
    least, most = 0, 1
    while not _connects(kind, most, length):
        if most >= length:
            return None
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if _connects(kind, middle, length) else (middle, most)
    return most


def _connects(kind: LayerKind, depth: int, length: int) -> bool:
    paths = work_span(kind.stack(depth), sequence(length), follow=False).paths
    return paths is not None and bool(paths[0, -1].isfinite())

"""Places for names beside the ends of lines, so that none covers another."""

from collections.abc import Sequence


def spread(values: Sequence[float], *, apart: float, low: float, high: float) -> list[float]:
    """As near to `values` as can be (in squares), but each pair at least `apart`, and within low and high.

    Where there is no room for all, they keep their distance and leave the bounds on both sides alike.
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    # Less their distances, places need only rise: what falls is moved to its mean (isotonic regression).
    runs: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        runs.append((values[index] - rank * apart, 1))
        while len(runs) > 1 and runs[-2][0] > runs[-1][0]:
            (b, m), (a, n) = runs.pop(), runs.pop()
            runs.append(((a * n + b * m) / (n + m), n + m))
    flat = [value for value, length in runs for _ in range(length)]
    room = high - (len(values) - 1) * apart
    bounds = (low, room) if room >= low else ((low + room) / 2,) * 2
    places = [0.0] * len(values)
    for rank, index in enumerate(order):
        places[index] = min(max(flat[rank], bounds[0]), bounds[1]) + rank * apart
    return places

"""The tables of times."""

from atonce.result import Table
from atonce.studies.measurement.clock import Clock, Group, Timing
from atonce.studies.measurement.runners import WIDTH


def clock_tables(clock: Clock) -> list[Table]:
    """A table for each phase and batch, of layers and of models: what threads take, and what they gain."""
    return [_clock_table(clock, group) for group in clock.groups()]


def _clock_table(clock: Clock, group: Group) -> Table:
    timings, threads = group.timings, max(clock.threads)
    lengths = sorted({one.length for one in timings})
    peers = any(one.peer for one in timings)
    threaded = len(clock.threads) > 1
    header = ["model" if group.whole else "layer", *(f"n = {length}" for length in lengths)]
    header += ["torch's own"] * peers + ["gained", "promised"] * threaded
    rows = []
    for name in dict.fromkeys(one.name for one in timings):
        own = {one.length: one for one in timings if one.name == name}
        longest = own[max(own)]
        cells = [duration(own[length].seconds) if length in own else "–" for length in lengths]
        cells += [_beside(longest)] * peers
        cells += [_times(clock.speedup(longest)), _times(longest.promised)] * threaded
        rows.append((longest.title, *cells))
    note = f"Median times on {threads} threads." if clock.device == "cpu" else "Median times."
    if peers:
        note += " Torch's own: its time by ours, run in turn, at the greatest length; above 1 ours is faster."
    if threaded:
        note += (
            f" Gained: how many times as fast as on one thread, at that length; promised: what {threads} "
            "processors give at least by Brent's bound, if nothing but operations took time."
        )
    return Table(group.title, f"{note} {_where(clock)}", tuple(header), tuple(rows))


def duration(seconds: float) -> str:
    """Such as "1.2 ms"."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    number = seconds / size
    return f"{number:.0f} {unit}" if number >= 99.5 else f"{number:.2g} {unit}"


def _where(clock: Clock) -> str:
    return f"{clock.machine}; {clock.device}; width {WIDTH}."


def _beside(timing: Timing) -> str:
    return "" if timing.peer_seconds is None else _times(timing.peer_seconds / timing.seconds)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} ×"

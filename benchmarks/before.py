"""This checkout beside an earlier one, in turn: training, decoding and serving, each as much work as before.

    git worktree add ../before COMMIT
    python benchmarks/before.py ../before RUN
    python benchmarks/before.py ../before RUN --only training --rounds 9

RUN: a trained run of texts that both can open. A ratio above 1: this one is faster.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import contest
import serving
from contest import Contestant

import atonce
from atonce.data.prepare import open_prepared
from atonce.studies.environment import machine
from decoding import SETTINGS
from training import prepare_text

Rates = tuple[list[float], list[float]]
"""Work a second of this checkout and of the earlier one, round by round."""
TRAINED = ("transformer", "transformer-adamw", "rnn")
SEARCHED = {"": (), " --fast": ("fast",)}
CLIENTS, SECONDS = 64, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="the earlier checkout")
    parser.add_argument("run", type=Path)
    parser.add_argument("--only", action="append", choices=MEASURED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="tatoeba", help="whose text is read in training")
    chosen = parser.parse_args()
    rows, results = [], {}
    for kind in chosen.only or MEASURED:
        for name, (now, before) in MEASURED[kind](chosen):
            ratio = contest.ratios(now, before)
            results[name] = {"now": now, "before": before, "ratio": ratio}
            middle = [f"{statistics.median(one):,.1f}" for one in (before, now)]
            rows.append((name, *middle, f"{ratio[0]:.2f} × ({ratio[1]:.2f}–{ratio[2]:.2f})"))
            print(*rows[-1], sep="   ", file=sys.stderr, flush=True)
    contest.show(f"Before and now: {machine()}", ("", "before", "now", "now is faster"), rows)
    print(json.dumps({"machine": machine(), "rounds": chosen.rounds, "measured": results}))


def training(chosen: argparse.Namespace) -> Iterator[tuple[str, Rates]]:
    """Target tokens a second, of the models of training.py."""
    with tempfile.TemporaryDirectory() as temporary:
        prepare_text(Path(temporary), chosen.recipe)
        for model in TRAINED:
            yield f"training, {model}", _raced(chosen, "atonce_training.py", (temporary, model), "target", 6)


def decoding(chosen: argparse.Namespace) -> Iterator[tuple[str, Rates]]:
    """Sentences a second, of the run's test texts, in the settings of decoding.py."""
    sources = [pair.source for pair in open_prepared(chosen.run).test_pairs[:1000]]
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "texts"
        for setting, (beam, batch) in SETTINGS.items():
            some = sources if batch > 1 else sources[: len(sources) // 10]
            file.write_text("\n".join(some) + "\n", encoding="utf-8")
            for name, how in SEARCHED.items():
                given = (str(chosen.run), str(file), str(beam), str(batch), *how)
                yield f"{setting}{name}", _raced(chosen, "atonce_decoding.py", given, "sentences", 1)


def served(chosen: argparse.Namespace) -> Iterator[tuple[str, Rates]]:
    """Right answers a second to many clients, and the page's own requests a second to one."""
    texts = [pair.source for pair in open_prepared(chosen.run).test_pairs]
    expected = [one.text for one in atonce.load(chosen.run, device="cpu").translate(texts)]
    questions = list(zip(texts, expected, strict=True))
    answers: Rates = ([], [])
    looks: Rates = ([], [])
    with serving.server(chosen.run) as now, serving.server(chosen.run, checkout=chosen.before) as before:
        for number in range(chosen.rounds):
            for place, one in list(enumerate((now, before)))[:: 1 if number % 2 == 0 else -1]:
                answers[place].append(serving.crowd(one, questions, CLIENTS, SECONDS).rate)
                looks[place].append(1 / statistics.median(serving.look(one, text) for text in texts[:40]))
    yield f"serving, {CLIENTS} clients", answers
    yield "serving, /v1/look", looks


MEASURED: dict[str, Callable[[argparse.Namespace], Iterator[tuple[str, Rates]]]] = {
    "training": training,
    "decoding": decoding,
    "serving": served,
}


def _raced(chosen: argparse.Namespace, script: str, given: Sequence[str], what: str, steps: int) -> Rates:
    """How much of something each checkout does a second."""
    both = [
        Contestant.start("now", sys.executable, script, *given),
        Contestant.start("before", sys.executable, script, *given, checkout=chosen.before),
    ]
    contest.race(both, dict.fromkeys(("now", "before"), steps), chosen.rounds)
    for one in both:
        one.stop()
    return both[0].rates(what), both[1].rates(what)


if __name__ == "__main__":
    main()

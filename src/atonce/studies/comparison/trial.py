"""One run of a comparison: train, score, and time its translating, in a process of its own.

Of its own, because only so the most memory that a process ever took is that of this training and no other's.
The process is `python -m atonce.studies.comparison.trial RUN NAME`. It goes on with a run folder that holds a
recipe and prepared data, shows its progress on stderr, and leaves `trial.json` in the folder; told to pause
at some second, it only trains until then. An error that a user can mend goes to stdout as JSON, so that
whoever started it can raise it again.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from atonce import stored
from atonce.children import COMMAND, environment
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError, RunError, TrainingError, damaged, of_the_system, unreadable
from atonce.models.architectures import Architecture
from atonce.progress import progress
from atonce.result import Result
from atonce.runs.folder import LOGGED, RunFolder
from atonce.studies.environment import peak_memory
from atonce.studies.experiment import Evaluation, score
from atonce.training.callbacks import progress_bar
from atonce.training.checkpoint import seconds_trained
from atonce.training.train import train

TRIAL = "trial.json"
MEMORY = "memory.json"
"""What the training took, kept beside it: should the rest break off, no other process can tell."""
TIED = "--tied"
"""The process ends when its standard input does: with the comparison, however that ends."""
MOST_TEXTS = 500
"""Of the test text, to time the translating with."""
PASSES = 3
"""Over the texts that are translated at once; the median counts: one disturbance is not in it, and a mean of
three would have a third of it."""
ALONE = 100
"""Texts that are translated one by one."""
WARM_UP = 32
"""Texts translated before the clock starts: kernels are chosen, memory is first touched."""


@dataclass(frozen=True)
class Trial(Result):
    """What was measured of one run."""

    weights: int
    outputs: tuple[str, ...]
    """What it made of each sentence of the test text, by the recipe's beam."""
    peak_memory_bytes: int | None
    """The most that the training took: of the GPU where it ran on one, else of the process with all its
    libraries. None where the system does not say, or where the process did more than this."""
    sentences_per_second: float
    """Greedily, in batches."""
    sentences_per_second_alone: float
    """Greedily, one by one."""


@dataclass(frozen=True)
class TrainedModel:
    """An architecture, and what came of its runs: one for each seed."""

    model: Architecture
    runs: tuple[Path, ...]
    trials: tuple[Trial, ...]
    logs: tuple[list[dict[str, Any]], ...]

    @classmethod
    def read(cls, model: Architecture, runs: Sequence[Path]) -> "TrainedModel":
        """Of runs that are at their end. Raises RunError if something of one is not there or damaged."""
        trials = tuple(map(read_trial, runs))
        logs = tuple(RunFolder.open(run).read_log(LOGGED) for run in runs)
        return cls(model, tuple(runs), trials, logs)


def run_trial(run: Path, name: str, *, pause_at: float | None = None, quiet: bool = False) -> None:
    """Bring a run to its end, or to the second `pause_at` of its training, unless it was there already.

    `name`: what progress bars say.
    Raises what the training raises, and TrainingError if the system refused it a file or memory, or if its
    process was ended by something else.
    """
    if (run / TRIAL).exists():
        # Its process may have been killed when the file was in its place: then it might still be missing, by
        # its sums.
        stored.settle_all(run)
        return
    if pause_at is not None and seconds_trained(run / "checkpoints") >= pause_at:
        return
    options = [
        *([] if pause_at is None else [f"--pause-at={pause_at}"]),
        *(["--quiet"] if quiet else []),
    ]
    command = [*COMMAND, "-m", "atonce.studies.comparison.trial", str(run), name, *options, TIED]
    # The system closes our end of a pipe however we end, also by SIGKILL, which lets nobody tell a child.
    tie, held = os.pipe()
    try:
        ended = subprocess.run(command, stdin=tie, stdout=subprocess.PIPE, text=True, env=environment())
    finally:
        os.close(tie)
        os.close(held)
    if ended.returncode:
        raise _what_ended_it(ended.stdout, ended.returncode, name)


def read_trial(run: Path) -> Trial:
    """What was measured of a run. Raises RunError if it is not there or damaged."""
    path = run / TRIAL
    fix = "delete it; the comparison measures again with --resume"
    try:
        stored.check(run, TRIAL, fix=fix)
        values = stored.read_json(path)
        trial = Trial(**{**values, "outputs": tuple(values["outputs"])})
        if not all(isinstance(output, str) for output in trial.outputs):
            raise TypeError("an output in it is no text")
        for name, value in vars(trial).items():
            # By hand: the type hints of a dataclass are not checked, and True is an int to isinstance.
            known = name == "outputs" or (name == "peak_memory_bytes" and value is None)
            if not known and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise TypeError(f"{name} is {value!r:.40} in it")
        return trial
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise unreadable(path, error, fix=fix, kind=RunError) from None


def _what_ended_it(said: str, code: int, name: str) -> AtonceError:
    try:
        error = json.loads(said)
        # Raised again as what it was, since whoever catches it may tell one kind of error from another.
        kinds = {kind.__name__: kind for kind in AtonceError.__subclasses__()}
        return kinds.get(error["kind"], AtonceError)(error["what"], why=error["why"], fix=error["fix"])
    except ValueError:  # nothing was said
        how = f"signal {-code} ended its process" if code < 0 else f"its process ended with code {code}"
        return TrainingError(
            f"the training of {name} broke off",
            why=f"{how}; if the system did that, memory ran out",
            fix="see what is written above, then go on with --resume",
        )


# In the process of the trial


def measure(
    run: Path, name: str, *, pause_at: float | None = None, quiet: bool, own_process: bool = True
) -> Evaluation | None:
    """A slice of a trial's training, or all that is left of the trial; `run_trial` gives it a process.

    Gives the scores at its end, and nothing after a slice. `own_process`: whether this one does nothing else,
    so that the memory that it took is the training's.
    """
    recipe = RunFolder.open(run).recipe
    with progress_bar(name, quiet=quiet) as shown:
        folder = train(recipe, run, resume=True, pause_at=pause_at, callbacks=[shown], quiet=quiet)
    # Before anything is translated: that takes memory that is not the training's.
    peak = _peak_of_all_sessions(run) if own_process else None
    if pause_at is not None:
        return None
    evaluation = score(folder, name, quiet=quiet).evaluation
    translator = Translator.load(run)
    texts = [str(pair.source) for pair in open_prepared(run).test_pairs]
    texts = texts[:: -(-len(texts) // MOST_TEXTS)]  # from all over the test text, which may be in some order
    with progress(f"{name}: timing its translating", quiet=quiet) as advance:
        speed = generation_speed(translator, texts, on_progress=advance)
    trial = Trial(
        weights=translator.model.weight_count,
        outputs=evaluation.outputs,
        peak_memory_bytes=peak,
        sentences_per_second=speed.together,
        sentences_per_second_alone=speed.alone,
    )
    stored.write_json_with_sum(run / TRIAL, trial.to_dict())
    return evaluation


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

    Greedily, as a wider beam would measure its bookkeeping rather than the architecture.
    `on_progress` is called with the number of texts translated since the last call.
    """
    few = texts[:: -(-len(texts) // ALONE)]
    translator.translate(texts[:WARM_UP], beam=1, on_progress=on_progress)
    together = median(
        _seconds(lambda: translator.translate(texts, beam=1, on_progress=on_progress)) for _ in range(PASSES)
    )
    # One pass: a hundred calls are as many measurements already.
    alone = _seconds(lambda: [translator.translate([text], beam=1, on_progress=on_progress) for text in few])
    return GenerationSpeed(len(texts) / together, len(few) / alone)


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes. A translation ends as text, so nothing is left under way on a GPU."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_of_all_sessions(folder: Path) -> int | None:
    """The most memory of this process and of those that trained here before it and were ended."""
    path = folder / MEMORY
    before = _peak_before(path)
    # A peak is of one process, and a resumed training had several.
    peaks = [peak for peak in (before, peak_memory()) if peak is not None]
    peak = max(peaks, default=None)
    stored.write_json_with_sum(path, {"peak_bytes": peak})
    return peak


def _peak_before(path: Path) -> int | None:
    """Raises RunError if the file is damaged."""
    # lexists: a link that leads nowhere is damage, and no first session.
    if not os.path.lexists(path):
        return None
    fix = "delete it; then the memory that earlier sessions took is not counted"
    try:
        stored.check(path.parent, path.name, fix=fix)
        values = stored.read_json(path)
        peak: Any = values["peak_bytes"]
        if peak is not None and (type(peak) is not int or not 0 <= peak < 1 << 60):
            raise ValueError(f"peak_bytes is {peak!r:.40} in it")
        return peak
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, error, fix=fix) from None


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--pause-at", type=float)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument(TIED, action="store_true")
    given = parser.parse_args(arguments)
    try:
        measure(given.folder, given.name, pause_at=given.pause_at, quiet=given.quiet)
    except AtonceError as error:
        _say(error, type(error), error.fix)
        return 2
    except (OSError, MemoryError, RuntimeError) as error:
        if (said := of_the_system(error)) is None:
            raise
        # No DiskError, of which the comparison would say that there must be room.
        _say(said, TrainingError, f"{said.fix}; then go on with --resume")
        return 2
    except KeyboardInterrupt:
        # As shells have it for Ctrl-C, which the comparison gets from the terminal, too, and ends by.
        return 130
    return 0


def _say(error: AtonceError, kind: type[AtonceError], fix: str) -> None:
    """Tell who started this process."""
    print(json.dumps({"kind": kind.__name__, "what": error.what, "why": error.why, "fix": fix}))


def _end_with_the_other() -> None:
    """End as if killed when the pipe on standard input has no other end any more."""
    while os.read(0, 1):  # not sys.stdin, which could not be closed at the end while a thread reads it
        pass
    # sys.exit would end this thread alone, and the training would go on for nobody.
    os._exit(1)


if __name__ == "__main__":
    if TIED in sys.argv:
        threading.Thread(target=_end_with_the_other, daemon=True).start()
    sys.exit(_main(sys.argv[1:]))

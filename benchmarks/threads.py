"""With how many threads a small model learns and answers soonest, on a quiet machine and beside other work.

    python benchmarks/threads.py [--kinds gru …] [--dims 16 …] [--tokens 256 …] [--busy 0 …]

A training update (of `--tokens`, by Muon and AdamW as in a recipe) and a greedy search (of 64 sentences at
most) with one thread and with one for each core, in turn: medians, and their ratio. A ratio above 1: more
threads are worth it. `--busy`: so many processes beside it that compute without an end, on one thread each.
GOMP_SPINCOUNT=300000 before it: with the wait that libgomp has by itself.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from time import perf_counter

import torch

from atonce.data.batches import Batch, DataPosition
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import SpecialTokens
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.device import choose_device
from atonce.models.threads import training_work
from atonce.runs.recipe import TrainingConfig
from atonce.studies.environment import machine
from atonce.training.budget import StepBudget
from atonce.training.loop import updates
from atonce.training.optimizers import build_optimizers

VOCAB = 2000
LENGTH = 16
SENTENCES = 64
SECONDS = 0.5
"""Of every comparison, about; at least `FEWEST` in turn."""
FEWEST = 3


def config(kind: str, dim: int) -> ModelConfig:
    """A model as recipes have it: one layer of a recurrent net, two of a Transformer."""
    if kind in ("rnn", "gru", "lstm"):
        sides = {"encoder": {"kind": kind}, "decoder": {"kind": kind, "attention": "additive"}}
    elif kind in ("mingru", "minlstm"):
        sides = {
            side: {"kind": kind, "layers": 2, "feed_forward": 4 * dim} for side in ("encoder", "decoder")
        }
    elif kind == "convolution":
        sides = {side: {"kind": kind, "layers": 2} for side in ("encoder", "decoder")}
    else:
        block = {"kind": kind, "layers": 2, "heads": 4, "feed_forward": 4 * dim}
        sides = {"encoder": block, "decoder": block}
    return ModelConfig.parse({"dim": dim, **sides}, origin="benchmarks/threads.py")


def batch(count: int) -> Batch:
    """Rows of equal length, of any tokens."""
    tokens = torch.randint(4, VOCAB, (count // LENGTH, LENGTH))
    real = torch.ones_like(tokens, dtype=torch.bool)
    return Batch(source=tokens, source_mask=real, target_in=tokens, target_out=tokens, target_mask=real)


def in_turn(work: Iterator[object], threads: list[int]) -> dict[int, float]:
    """The median of what `next(work)` takes with each number of threads."""
    for _ in range(3):
        next(work)
    seconds: dict[int, list[float]] = {count: [] for count in threads}
    began = perf_counter()
    while perf_counter() - began < SECONDS or len(seconds[threads[-1]]) < FEWEST:
        for count in threads:
            torch.set_num_threads(count)
            start = perf_counter()
            next(work)
            seconds[count].append(perf_counter() - start)
    return {count: statistics.median(each) for count, each in seconds.items()}


def learning(model: torch.nn.Module, read: Batch) -> Iterator[object]:
    """An update at each step."""
    training = TrainingConfig()
    stream = ((read, DataPosition()) for _ in iter(int, 1))
    return updates(model, build_optimizers(model, training), None, stream, training, StepBudget(10**9, 10**9))


def answering(model: torch.nn.Module, read: Batch) -> Iterator[object]:
    """A greedy search of 16 tokens for each sentence at each step."""
    model.eval()
    source, mask = read.source[:SENTENCES], read.source_mask[:SENTENCES]
    longest = torch.full((len(source),), LENGTH)
    tokens = SpecialTokens(bos=1, eos=2, suppress=(0,))
    while True:
        with torch.inference_mode():
            memory = model.encode(source, mask)
            yield greedy(model.decoder, memory, tokens, longest, alpha=1.0)


def _spin() -> None:
    torch.set_num_threads(1)
    one = torch.randn(256, 256)
    while os.getppid() > 1:
        one @ one


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Within the block, so many processes compute."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_spin, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def main() -> None:
    """Measure, and print a line for each: JSON on stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--kinds", nargs="*", default=["gru", "transformer"])
    parser.add_argument("--tokens", type=int, nargs="*", default=[256, 1536])
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 1, 2], help="processes beside it")
    given = parser.parse_args()
    choose_device()
    print(f"{machine()}; update and search: one thread, all threads, ratio", file=sys.stderr)
    for processes in given.busy:
        with busy(processes):
            for kind, tokens, dim in product(given.kinds, given.tokens, given.dims):
                measure(kind, dim, tokens, processes)


def measure(kind: str, dim: int, tokens: int, processes: int) -> None:
    """One model."""
    torch.manual_seed(1)
    model, read = build_model(config(kind, dim), VOCAB), batch(tokens)
    threads = [1, max(2, torch.get_num_threads())]
    work = training_work(model, tokens) / 1e9
    row = {"kind": kind, "dim": dim, "tokens": tokens, "busy": processes, "gflop": round(work, 3)}
    said = f"{kind:12}{dim:4}{tokens:6} tokens {work:8.3f} GFLOP, {processes} busy"
    for what, doing in (("update", learning), ("search", answering)):
        one, all_ = in_turn(doing(model, read), threads).values()
        row |= {
            f"{what}_ms": [round(1000 * one, 2), round(1000 * all_, 2)],
            f"{what}_ratio": round(one / all_, 3),
        }
        said += f" | {1000 * one:8.2f} {1000 * all_:8.2f} ms {one / all_:5.2f}"
    torch.set_num_threads(threads[1])
    print(said, file=sys.stderr)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

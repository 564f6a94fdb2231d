"""What a training step costs as length, batch and width grow: forward, loss and backward, by architecture.

    python benchmarks/growth.py
    python benchmarks/growth.py --device cuda --precision bfloat16

One of the three grows and the others stay: 16 sentences of 32 tokens on either side, width 128. Two layers a
side (one of an LSTM), 8,000 tokens, no padding, no optimizer. The architectures run in turn.
"""

import argparse
import functools
import json
import sys

import contest
import torch

from atonce.data.batches import Batch
from atonce.layers.precision import products
from atonce.measure.clock import kept_bytes, medians
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.device import choose_device
from atonce.models.seq2seq import Seq2Seq
from atonce.studies.environment import machine
from atonce.training.loss import batch_loss

BASE = {"length": 32, "batch": 16, "width": 128}
GROWS = {
    "length": (8, 16, 32, 64, 128, 256, 512),
    "batch": (1, 4, 16, 64, 256),
    "width": (64, 128, 256, 512),
}
MODELS = {
    "Transformer": {"encoder": {"layers": 2}, "decoder": {"layers": 2}},
    "minGRU": {"encoder": {"kind": "mingru", "layers": 2}, "decoder": {"kind": "mingru", "layers": 2}},
    "ConvS2S": {
        "encoder": {"kind": "convolution", "layers": 2}, "decoder": {"kind": "convolution", "layers": 2},
    },
    "LSTM, attention from the new state": {
        "encoder": {"kind": "lstm"}, "decoder": {"kind": "lstm", "attention": "general"},
    },
    "LSTM, additive attention from the old": {
        "encoder": {"kind": "lstm"}, "decoder": {"kind": "lstm", "attention": "additive"},
    },
}  # fmt: skip
TOKENS = 8000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seconds", type=float, default=0.6, help="for each figure, at least")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    found = {}
    for what, sizes in GROWS.items():
        found[what] = [cost(BASE | {what: size}, device, chosen.precision, chosen.seconds) for size in sizes]
        report(what, sizes, found[what])
    crossings = {name: crossing(found["length"], name) for name in MODELS if name != "Transformer"}
    for name, length in crossings.items():
        where = "at no length here" if length is None else f"from {length} tokens on"
        print(f"{name}: takes less time than the Transformer {where}", file=sys.stderr)
    common = {"machine": machine(), "device": str(device), "precision": chosen.precision, "base": BASE}
    print(json.dumps({**common, "growth": found, "less_than_transformer_from": crossings}))


def cost(size: dict[str, int], device: torch.device, precision: str, seconds: float) -> dict:
    """Of a step of each architecture: seconds, and bytes kept for the backward pass."""
    torch.manual_seed(0)
    steps = {
        name: functools.partial(step, build(config, size["width"]).to(device), batch, precision)
        for batch in [full_batch(size["batch"], size["length"]).to(device)]
        for name, config in MODELS.items()
    }
    times = medians(list(steps.values()), threads=torch.get_num_threads(), seconds=seconds)
    return {
        "size": size,
        "tokens": size["batch"] * size["length"],
        "seconds": dict(zip(steps, times, strict=True)),
        "kept_bytes": {name: kept_bytes(call) for name, call in steps.items()},
    }


def build(config: dict, width: int) -> Seq2Seq:
    given = {
        side: section
        if section.get("kind") in ("lstm", "convolution")
        else section | {"feed_forward": 4 * width}
        for side, section in config.items()
    }
    return build_model(ModelConfig.parse({"dim": width, **given}, origin="the benchmark"), TOKENS)


def full_batch(batch: int, length: int) -> Batch:
    """Random tokens, none of them padding."""
    source, target = torch.randint(4, TOKENS, (2, batch, length))
    real = torch.ones(batch, length, dtype=torch.bool)
    return Batch(source, real, target, target.roll(-1, 1), real)


def step(model: Seq2Seq, batch: Batch, precision: str) -> None:
    model.train()
    with products(precision, batch.source.device):
        batch_loss(model, batch, 0.1).smoothed.backward()
    model.zero_grad()


def report(what: str, sizes: tuple[int, ...], found: list[dict]) -> None:
    """A table for people: milliseconds, and megabytes kept."""
    rows = [
        (
            f"{one['size'][what]}",
            *(f"{1e3 * one['seconds'][name]:,.1f} ({one['kept_bytes'][name] / 1e6:,.0f})" for name in MODELS),
        )
        for one in found
    ]  # fmt: skip
    contest.show(
        f"Milliseconds of a training step (MB kept), as the {what} grows: {machine()}", (what, *MODELS), rows
    )


def crossing(found: list[dict], name: str) -> int | None:
    """The length from which on `name` takes less time than the Transformer, at all lengths measured."""
    start = None
    for one in found:
        faster = one["seconds"][name] < one["seconds"]["Transformer"]
        start = (start or one["size"]["length"]) if faster else None
    return start


if __name__ == "__main__":
    main()

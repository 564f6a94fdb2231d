"""Training throughput: real target tokens a second, ours and others', in turn.

    python benchmarks/training.py                             ours and a plain torch.nn.Transformer loop
    python benchmarks/training.py --with marian               and MarianMT, where transformers is installed
    python benchmarks/training.py --with joeynmt=PYTHON --with eole=PYTHON --model rnn
                                                              and those installed for other pythons

bench-small: Transformer of 3 + 3 layers, width 256, 4 heads, feed-forward 1024, 8,000 tokens for both sides,
one table, dropout and label smoothing 0.1, float32, batches of about 4,096 target tokens.
bench-rnn: a bidirectional LSTM of 256 a direction, an LSTM decoder of 256, additive attention. eole divides
256 between the directions, as our own models do: it is compared with one of ours that does, too.
Ours learns by Muon, as by default; beside it, by AdamW, as all others do.
All read the same text in the same tokens.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import contest
from contest import Contestant

from atonce.data.prepare import prepare
from atonce.runs.recipe import load
from atonce.studies.environment import machine

NARROW = "atonce, 128 a direction"
ADAMW = "atonce with AdamW"
SCRIPTS = {
    "atonce": "atonce_training.py", NARROW: "atonce_training.py", ADAMW: "atonce_training.py",
    "torch": "torch_training.py",
    "marian": "marian_training.py", "joeynmt": "joeynmt_training.py", "eole": "eole_training.py",
}  # fmt: skip
MODULES = {
    "transformer": {"marian": "transformers", "joeynmt": "joeynmt", "eole": "eole"},
    "rnn": {"joeynmt": "joeynmt", "eole": "eole"},
}
"""What each peer needs, by model."""
BESIDE = {"eole": NARROW}
"""Who is compared with another of ours than the first, for bench-rnn."""
DIM, FEED_FORWARD, LAYERS, VOCAB = 256, 1024, 3, 8000


def training_flops(done: dict[str, float]) -> float:
    """Operations in the matrix products of bench-small that real tokens need: backward is twice forward.

    A multiplication and an addition are two. Of each block: four projections of attention (two of them on the
    other side's states across), the feed-forward part, scores and mixtures; and the output's table.
    """
    block = 4 * DIM**2 + 2 * DIM * FEED_FORWARD
    encoder = LAYERS * (block * done["source"] + 2 * DIM * done["source_squared"])
    across = 2 * DIM**2 * (done["target"] + done["source"]) + 2 * DIM * done["crossed"]
    decoder = LAYERS * (block * done["target"] + 2 * DIM * done["target_squared"] + across)
    return 3 * 2 * (encoder + decoder + DIM * VOCAB * done["target"])


def prepare_text(folder: Path, recipe: str) -> None:
    """The recipe's training pairs as lines and as tokens, and the vocabulary, as each peer reads it."""
    loaded = load(recipe, [f"vocabulary.size={VOCAB}"])
    prepared = prepare(loaded.data, loaded.vocabulary, folder, quiet=True)
    tokenizer = prepared.io_spec.tokenizer
    lines = [
        [tokenizer.decode(ids.tolist()) for ids in prepared.train[number]]
        for number in range(len(prepared.train))
    ]
    for side, name in enumerate(("src", "tgt")):
        texts = [line[side] for line in lines]
        tokens = [" ".join(tokenizer.tokens(ids)) for ids in tokenizer.encode_lines(texts)]
        for stem, content in (("train", texts), ("few", texts[:10]), ("train.tokens", tokens)):
            (folder / f"{stem}.{name}").write_text("\n".join(content) + "\n", encoding="utf-8")
    special = ["<unk>", "<pad>", "<s>", "</s>"]  # in this order: JoeyNMT's
    names = tokenizer.tokens(range(tokenizer.size))
    vocabulary = special + [name for name in names if name not in special]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["transformer", "rnn"], default="transformer")
    parser.add_argument("--recipe", default="tatoeba", help="whose text is read")
    parser.add_argument("--with", dest="peers", action="append", default=[], metavar="PEER[=PYTHON]")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6, help="of each contestant in a round")
    chosen = parser.parse_args()
    try:
        peers = contest.chosen_peers(chosen.peers, MODULES[chosen.model])
    except ValueError as error:
        parser.error(str(error))
    more = [ADAMW, "torch"] if chosen.model == "transformer" else [NARROW] if "eole" in peers else []
    names = ["atonce", *more, *peers]
    models = dict.fromkeys(names, chosen.model) | {NARROW: "rnn-128", ADAMW: "transformer-adamw"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_text(folder, chosen.recipe)
        contestants = [
            Contestant.start(name, peers.get(name, sys.executable), SCRIPTS[name], str(folder), models[name])
            for name in names
        ]
        peaks = contest.race(contestants, dict.fromkeys(names, chosen.steps), chosen.rounds)
        for one in contestants:
            one.stop()
    report(contestants, peaks, chosen.model)


def report(contestants: list[Contestant], peaks: list[float], model: str) -> None:
    """A table for people, and JSON."""
    rates = {one.name: one.rates("target") for one in contestants}
    results, rows = {}, []
    for one in contestants:
        rate = statistics.median(rates[one.name])
        used = [
            training_flops(done) / done["seconds"] / 1e9 / peak
            for done, peak in zip(one.rounds, peaks, strict=True)
        ]
        mfu = statistics.median(used) if model == "transformer" else None
        ours = BESIDE.get(one.name, "atonce") if model == "rnn" else "atonce"
        ratio = contest.ratios(rates[ours], rates[one.name])
        waste = 1 - sum(done["target"] for done in one.rounds) / sum(done["padded"] for done in one.rounds)
        peak = max(done["peak_bytes"] for done in one.rounds)
        results[one.name] = {
            "about": one.about, "target_tokens_per_second": rate, "mfu": mfu, "padding_share": waste,
            "peak_bytes": peak, "compared_with": ours, "atonce_is_faster": ratio, "rounds": one.rounds,
        }  # fmt: skip
        rows.append(
            (
                one.name, f"{rate:,.0f}", "" if mfu is None else f"{mfu:.2f}", f"{100 * waste:.1f} %",
                f"{peak / 2**30:.2f} GiB", f"{ratio[0]:.2f} × ({ratio[1]:.2f}–{ratio[2]:.2f})",
            )
        )  # fmt: skip
    header = ("", "target tokens/s", "MFU", "padding", "peak memory", "atonce is faster")
    contest.show(f"Training, {model}: {machine()}, {statistics.median(peaks):.0f} GFLOP/s", header, rows)
    print(json.dumps({"machine": machine(), "model": model, "peak_gflops": peaks, "contestants": results}))


if __name__ == "__main__":
    main()

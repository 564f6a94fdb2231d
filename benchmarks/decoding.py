"""Decoding speed: the same weights in atonce and in CTranslate2, in turn, over the run's own test sentences.

    python benchmarks/decoding.py RUN                  greedy and beam 5, in batches and one by one
    python benchmarks/decoding.py RUN --sentences 200
    python benchmarks/decoding.py RUN --by OTHER       RUN in atonce, by OTHER's weights in CTranslate2

Needs `pip install 'atonce[export,fast]'`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import contest
import sacrebleu
from contest import Contestant

from atonce.data.prepare import open_prepared
from atonce.interop.ctranslate2 import export
from atonce.studies.environment import machine

SETTINGS = {"greedy": (1, 64), "beam 5": (5, 64), "greedy, one by one": (1, 1), "beam 5, one by one": (5, 1)}
"""Beam, and sentences in a batch of CTranslate2's; ours are as the run's recipe says."""
COMPUTE_TYPES = ("float32", "int8")
SUFFIXES = (".atonce", ".fast", *(f".{kind}" for kind in COMPUTE_TYPES))
"""Of the files that the contestants write their outputs to."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--by", type=Path, metavar="OTHER", help="another run of the same test text")
    parser.add_argument("--only", action="append", choices=SETTINGS, help="one of the settings, or several")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    pairs = open_prepared(chosen.run).test_pairs[: chosen.sentences]
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, file = Path(temporary) / "ctranslate2", Path(temporary) / "texts"
        export(chosen.by or chosen.run, folder)
        for name in chosen.only or SETTINGS:
            beam, batch = SETTINGS[name]
            some = pairs if batch > 1 else pairs[: len(pairs) // 10]
            file.write_text("\n".join(pair.source for pair in some) + "\n", encoding="utf-8")
            references = [pair.target for pair in some]
            results[name] = measure(name, chosen, folder, file, references, beam, batch)
    print(json.dumps({"machine": machine(), "sentences": len(pairs), "settings": results}))


def measure(
    name: str,
    chosen: argparse.Namespace,
    folder: Path,
    file: Path,
    references: list[str],
    beam: int,
    batch: int,
) -> object:
    """One setting: a table for people, and what goes into the JSON."""
    common = (str(file), str(beam), str(batch))
    contestants = [
        Contestant.start(name, sys.executable, "atonce_decoding.py", str(chosen.run), *common, *how)
        for name, how in (("atonce", ()), ("atonce --fast", ("fast",)))
    ]
    for kind in COMPUTE_TYPES:
        title = f"ctranslate2 {kind}"
        contestants.append(
            Contestant.start(title, sys.executable, "ctranslate2_decoding.py", str(folder), *common, kind)
        )
    peaks = contest.race(contestants, dict.fromkeys([one.name for one in contestants], 1), chosen.rounds)
    for one in contestants:
        one.stop()
    bleu = {
        one.name: bleu_of(file.with_suffix(suffix).read_text(encoding="utf-8").splitlines(), references)
        for one, suffix in zip(contestants, SUFFIXES, strict=True)
    }
    rows, results = [], {}
    for one in contestants:
        sentences, tokens = (statistics.median(one.rates(what)) for what in ("sentences", "tokens"))
        by_ours = [
            contest.ratios(ours.rates("sentences"), one.rates("sentences")) for ours in contestants[:2]
        ]
        peak = max(done["peak_bytes"] for done in one.rounds)
        rows.append(
            (
                one.name, f"{sentences:,.0f}", f"{tokens:,.0f}", f"{peak / 2**20:,.0f} MiB",
                f"{bleu[one.name]:.1f}",
                *(f"{middle:.2f} × ({least:.2f}–{greatest:.2f})" for middle, least, greatest in by_ours),
            )
        )  # fmt: skip
        results[one.name] = {
            "about": one.about, "sentences_per_second": sentences, "tokens_per_second": tokens,
            "peak_bytes": peak, "bleu": bleu[one.name], "atonce_is_faster": by_ours[0],
            "fast_is_faster": by_ours[1], "rounds": one.rounds,
        }  # fmt: skip
    header = ("", "sentences/s", "tokens/s", "peak memory", "BLEU", "atonce is faster", "--fast is faster")
    contest.show(f"{name}: {machine()}, {statistics.median(peaks):.0f} GFLOP/s", header, rows)
    return results


def bleu_of(outputs: list[str], references: list[str]) -> float:
    return float(sacrebleu.corpus_bleu(outputs, [references]).score)


if __name__ == "__main__":
    main()

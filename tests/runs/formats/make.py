"""How the run folders beside this file were made: small trainings by the version that first wrote a format.

    python tests/runs/formats/make.py FOLDER

Run it with a checkout of that version. `expected.json` holds what each model answered then; test_formats.py
opens the runs with today's code and compares. Never made anew for a format that has been released.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomli_w

import atonce
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SUMS = [
    (f"{first} plus {second}", f"{ONES[(a + b) // 10]} {ONES[(a + b) % 10]}")
    for a, first in enumerate(ONES)
    for b, second in enumerate(ONES)
]
PARITIES = [
    (source, "odd" if (index // 10 + index) % 2 else "even") for index, (source, _) in enumerate(SUMS)
]
BLOCK = {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 32}
MODELS: dict[str, dict[str, Any]] = {
    "gru": {
        "dim": 16,
        "encoder": {"kind": "gru", "bidirectional": True},
        "decoder": {"kind": "gru", "attention": "additive"},
    },
    "transformer": {"dim": 16, "encoder": BLOCK, "decoder": BLOCK},
    "classifier": {"dim": 16, "encoder": {"kind": "gru"}, "decoder": {"kind": "classifier"}},
}
ASKED = ["two plus two", "nine plus six", "one  plus zero", ""]


def main(folder: Path) -> None:
    for name, model in MODELS.items():
        with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
            table = Path(temporary) / "sums.tsv"
            pairs = PARITIES if name == "classifier" else SUMS
            table.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
            task = {"task": "classification"} if name == "classifier" else {"repeats": "sources"}
            data = {
                "kind": "tsv",
                "path": table.name,
                "columns": [1, 2],
                "valid_size": 5,
                "test_size": 5,
                **task,
            }
            training = {"steps": 300, "batch_tokens": 256, "validate_every": 290, "warmup": 10}
            recipe = Path(temporary) / "recipe.toml"
            recipe.write_text(
                tomli_w.dumps(
                    {
                        "data": data,
                        "vocabulary": {"kind": "words", "size": 300},
                        "model": model,
                        "training": training,
                    }
                )
            )
            atonce.train(recipe, out=Path(temporary) / name)
            shutil.copytree(Path(temporary) / name, folder / name)
        (folder / name / "expected.json").write_text(json.dumps(answers(folder / name), indent=1) + "\n")


def answers(run: Path) -> dict[str, Any]:
    """What a model says of `ASKED`."""
    model = atonce.load(run, device="cpu")
    if isinstance(model, Classifier):
        return {"labels": [one.label for one in model.classify(ASKED[:3])]}
    assert isinstance(model, Translator)
    found = {beam: model.translate(ASKED, beam=beam) for beam in (1, 4)}
    return {
        str(beam): [{"text": one.text, "score": round(one.score, 4)} for one in outputs]
        for beam, outputs in found.items()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

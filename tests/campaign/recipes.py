"""Recipes that ship, shrunk, with one to three keys changed for the worse; then one step, or a reason.

What is refused leaves no folder behind that would be in the way of the next try.
"""

import random
import re
import shutil
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w

from atonce.config import Config
from atonce.runs.recipe import Recipe, load, names
from campaign.forked import Ended, run_forked
from campaign.outcome import Outcome

PAIRS = "".join(f"a{i} b{i * 7 % 13} the c\tx{i} y{i * 5 % 11}\n" for i in range(120))
LABELS = "".join(f"a{i} b{i * 7 % 13} the c\tk{i % 3}\n" for i in range(120))
DATA: dict[str, dict[str, Any]] = {
    "dates": {"kind": "dates", "pairs": 200, "valid_size": 5, "test_size": 5},
    "tsv": {"kind": "tsv", "path": "p.tsv", "columns": [1, 2], "valid_size": 5, "test_size": 5},
    "labels": {
        **{"kind": "tsv", "path": "l.tsv", "columns": [1, 2], "task": "classification"},
        **{"valid_size": 5, "test_size": 5},
    },
    "digits": {"kind": "digits", "valid_size": 20, "test_size": 20},
    "digit-strings": {"kind": "digit-strings", "images": 100, "valid_size": 5, "test_size": 5},
}
SMALL = {"digits": "digits", "fashion-mnist": "digits", "digit-strings": "digit-strings"}
WHOLE = [
    0,
    1,
    2,
    3,
    5,
    7,
    17,
    33,
    64,
    300,
    1000,
    4096,
    10**5,
    10**6,
    10**9,
    2**31,
    2**63,
    2**64,
    -1,
    -(10**6),
]
REAL = [0.0, 0.5, 0.999999, 1.0, 1.5, -0.5, 1e-30, 5e-324, 1e5, 1e10, 1e38, 1e39, 1e308]
REAL += [float("nan"), float("inf"), float("-inf")]
TEXTS = [
    "",
    " ",
    "x",
    "1",
    "nan",
    "²",
    "\0",
    "ä" * 50,
    "p.tsv",
    ".",
    "/nothing",
    "~nosuch/x",
    "a\0b",
    "\ufeff",
]
OTHERS: list[Any] = [True, False, [], [1], [1, 2, 3], ["a"], {}, {"a": 1}, {"kind": "transformer"}]
OTHERS += [[[[[1]]]], {"kind": {"kind": "gru"}}]
WORDS = re.findall(
    r"\S+",
    """
    feedforward convolution rnn gru lstm mingru minlstm transformer ssru classifier whole rows
    columns patches bpe unigram words characters dates tsv csv jsonl files digits
    digit-strings none additive dot general muon adamw linear cosine inverse_sqrt constant
    translation classification summarization reading float32 bfloat16 score loss pre post rms
    rotary learned swiglu gelu
    """,
)
SLOW = {
    *["steps", "minutes", "accumulate", "pairs", "images", "valid_size", "test_size", "longest", "shortest"],
    *["layers", "dim", "feed_forward", "channels", "kernel", "size", "beam"],
}
"""Keys that may be large, and then take long: what is tried of them is small, or far out of bounds."""


def keys_of_sections() -> list[tuple[str, ...]]:
    """Every key of every config, in the section where it may stand; of others' kinds, too."""
    at = {
        "models": (("model",), ("model", "encoder"), ("model", "decoder"), ("model", "image")),
        "data": (("data",), ("vocabulary",)),
        "runs": (("training",), ("decoding",), ()),
    }
    found = set()
    pending = [Config]
    while pending:
        config = pending.pop()
        pending += config.__subclasses__()
        _, package, *_ = f"{config.__module__}.".split(".")
        found |= {(*section, key) for section in at.get(package, ()) for key in config.model_fields}
    return sorted(found)


KEYS = keys_of_sections()


def shrunk(name: str, draw: random.Random) -> dict[str, Any]:
    """A recipe that ships, so small that a step takes no time, every key written out."""
    recipe = load(name)
    values = recipe.model_dump(mode="json", exclude_none=True)
    kind = SMALL.get(recipe.data.kind) or draw.choice(["dates", "tsv"])
    values["data"] = dict(DATA[kind])
    if recipe.data.task == "summarization" and kind == "tsv":
        values["data"]["task"] = "summarization"
    if kind in ("dates", "tsv") and draw.random() < 0.1:
        values["data"], values["model"]["decoder"] = dict(DATA["labels"]), {"kind": "classifier"}
    values["model"]["dim"] = 16
    for side in ("encoder", "decoder", "image"):
        section = values["model"].get(side, {})
        section |= {key: least for key, least in (("layers", 1), ("feed_forward", 16)) if key in section}
        if "channels" in section:
            section["channels"] = [4, 4]
    values["training"].pop("minutes", None)
    values["training"] |= {"steps": 1, "batch_tokens": 256, "validation_sentences": 5}
    values["vocabulary"]["size"] = 320
    return Recipe.parse(values, origin=name).model_dump(mode="json", exclude_none=True)


def changed(values: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], str]:
    """The recipe with one to three keys changed, and which."""
    values, said = deepcopy(values), []
    for _ in range(draw.choice([1, 1, 1, 2, 2, 3])):
        path = _path(values, draw)
        section: Any = values
        for key in path[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                break
        if not isinstance(section, dict):
            continue
        if draw.random() < 0.07 and path[-1] in section and path[-1] != "steps":
            del section[path[-1]]
            said.append(f"{'.'.join(path)} deleted")
        else:
            section[path[-1]] = _worse(path[-1], section.get(path[-1]), draw)
            said.append(f"{'.'.join(path)} = {section[path[-1]]!r}")
    return values, "; ".join(said)


def _path(values: dict[str, Any], draw: random.Random) -> tuple[str, ...]:
    how = draw.random()
    if how < 0.06:
        return draw.choice(["training", "data", "model", "zzz"]), "".join(draw.choices("abcxyz_-. \n", k=5))
    if how < 0.12:
        return (draw.choice(["training", "data", "model", "vocabulary", "decoding", "format", "about"]),)
    return draw.choice(list(_leaves(values))) if how < 0.75 else draw.choice(KEYS)


def _leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _worse(key: str, old: Any, draw: random.Random) -> Any:
    number = isinstance(old, int | float) and not isinstance(old, bool)
    if number and draw.random() < 0.35:
        new: Any = draw.choice([old * 2, old / 2, old + 1, old * 4, old - 1])
        new = int(new) if isinstance(old, int) else new
    elif number and draw.random() < 0.65:
        new = draw.choice(WHOLE if isinstance(old, int) else REAL)
    elif isinstance(old, str) and draw.random() < 0.6:
        new = draw.choice(WORDS)
    else:
        new = draw.choice(draw.choice([WHOLE, REAL, TEXTS, OTHERS, WORDS]))
    if key in SLOW and isinstance(new, int | float) and 64 < new <= 10**9:
        new = draw.choice([0, 1, 2, 50, 10**8, 10**10])
    return new


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One step of each."""
    (folder / "p.tsv").write_text(PAIRS, encoding="utf-8")
    (folder / "l.tsv").write_text(LABELS, encoding="utf-8")
    for number in numbers:
        draw = random.Random(f"recipes-{seed}-{number}")
        name = draw.choice(names())
        values, said = changed(shrunk(name, draw), draw)
        (folder / "r.toml").write_text(tomli_w.dumps(values), encoding="utf-8")
        shutil.rmtree(folder / "run", ignore_errors=True)
        ended = run_forked(["train", "r.toml", "--out", "run"], folder, seconds=90)
        verdict, fine = verdict_of(ended, folder / "run")
        if verdict == "hang" and asks_for_long(values) and (folder / "run" / "recipe.toml").exists():
            verdict, fine = "still training, as it was asked to", True
        yield Outcome(number, f"{name}: {said}", verdict, fine, "" if fine else ended.stderr[-400:])


def asks_for_long(values: dict[str, Any]) -> bool:
    """Whether a recipe has so many updates that they take minutes: more than 64, or what is usual."""
    training = values.get("training")
    steps = training.get("steps") if isinstance(training, dict) else None
    return not isinstance(steps, int) or steps > 64


def verdict_of(ended: Ended, run: Path) -> tuple[str, bool]:
    """How a training ended, and whether that is right."""
    if ended.verdict == "refused" and (run / "recipe.toml").exists() and "--resume" not in ended.stderr:
        learned = (run / "log.jsonl").exists() or any(run.glob("nonfinite-*"))
        if not learned:
            return "refused, and a folder is left that blocks the next try", False
    return ended.verdict, ended.fine

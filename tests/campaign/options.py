"""Every command with odd options, arguments and texts: it does what it was asked for, or says why not.

Without `--fast`, whose code takes half a minute to compile where nothing is kept.
"""

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import tiny
from campaign.forked import GIB, run_forked
from campaign.outcome import Outcome

NUMBERS = (
    "0", "-1", "1", "3.5", "1e3", "1e-320", "1e300", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "2147483648",
    "18446744073709551616", "0x10",
    "１２", "١٢", "1_000", " 1 ", "1,2", "true", "None", "-", "--", "", "\udcff",
    "a\0b", "1\n", "=", "-0", "+1", "1.0",
)  # fmt: skip
TEXTS = (
    "", " ", "-5 degrees", "-5", "-", "--", "--out", "-hello", "--no-such-option", "a\0b", "a\nb\r\n",
    "\udcff",
    "\ud800",
    "🎉" * 50, "ä" * 3000, "e\u0301\u0301", "<b>&amp;</b>", "\x1b[31mred", "\u202eabc",
    "\ufeff3 May",
    "3 May 2001", "[bold]x[/]", "%s {} $HOME `id`", "=", "\u2028", "\uffff",
)  # fmt: skip
PATHS = (
    "", ".", "..", "-", "--", "/dev/null", "no/such/folder/x", "~nobody/x", "x" * 300, "a\0b", "\udcff.txt",
    "in.txt",
    "empty.txt", "latin1.txt", "/proc/self/mem", "http://localhost/x", "ünï", " ", "x\ny", "../runs",
    "../runs/texts/x",
    "x.svg", "x.png.gz", "x.HTML", "x.bmp", "x.json", ".svg",
)  # fmt: skip
CHOICES = (
    "",
    "mean",
    "max",
    "all",
    "png",
    "shown",
    "growth",
    "ctranslate2",
    "no such",
    "\udcff",
    "-1",
    "1",
    "99",
    "--",
)
SET = ("training.seed", "training.learning_rate", "decoding.beam", "x", "")
RUN, FILE = "../runs/texts", "in.txt"
LONG = ("1", "3.5", "1e3", "2147483648", "1.0", " 1 ", "+1", "1_000", "１２", "١٢")
"""Numbers of minutes or steps that are right, and too many to wait for."""

COMMANDS: dict[str, tuple[list[str], dict[str, tuple[str, ...]]]] = {
    "translate": ([RUN, FILE], {
        "--beam": NUMBERS, "--nbest": NUMBERS, "--sample": NUMBERS, "--seed": NUMBERS, "--threads": NUMBERS,
        "--json": (),
    }),
    "summarize": ([RUN, FILE], {"--beam": NUMBERS, "--seed": NUMBERS}),
    "classify": ([RUN, FILE], {"--top": NUMBERS, "--json": (), "--threads": NUMBERS}),
    "read": ([RUN, FILE], {"--beam": NUMBERS, "--nbest": NUMBERS, "--json": ()}),
    "evaluate": ([RUN], {
        "--source": PATHS, "--reference": PATHS, "--beam": NUMBERS, "--against": PATHS, "--json": (),
    }),
    "heatmap": ([RUN, "3 May", "--out", "map.json"], {
        "--out": PATHS, "--target": TEXTS, "--layer": (*CHOICES, *NUMBERS), "--head": (*CHOICES, *NUMBERS),
        "--end": CHOICES, "--tokens": (), "--words": (),
    }),
    "context": ([RUN, "--word", "May", "--corpus", FILE], {
        "--word": TEXTS, "--corpus": PATHS, "--layer": (*CHOICES, *NUMBERS), "--out": PATHS,
        "--uses": NUMBERS,
        "--nearest": NUMBERS, "--ignore-case": (), "--json": (),
    }),
    "measure": (["linear", "--lengths", "2,4"], {
        "--lengths": (*NUMBERS, "2,2", "4,-8", "2,,4", "1,2", "2,4,99999999999"),
        "--clock-lengths": NUMBERS,
        "--out": PATHS, "--picture": CHOICES, "--json": (),
    }),
    "train": (["../recipe.toml", "--out", "run", "--set", "training.steps=1"], {
        "--set": (*(f"training.steps={one}" for one in NUMBERS if one not in LONG),
                  *(f"{key}={value}" for key in SET for value in NUMBERS)),
        "--model": (*TEXTS, "transfomer"), "--minutes": tuple(one for one in NUMBERS if one not in LONG),
        "--out": tuple(one for one in PATHS if one not in ("..", ".", "../runs")), "--threads": NUMBERS,
        "--resume": (), "--json": (),
    }),
    # What follows would go on for long, and is refused in the end in any case.
    "compare": (["../recipe.toml", "--out", "all", "--steps", "1", "--baseline", "none"], {
        "--models": TEXTS, "--minutes": NUMBERS, "--steps": NUMBERS, "--seeds": NUMBERS, "--weights": NUMBERS,
        "--set": TEXTS, "--resume": (), "--own-widths": (),
    }),
    "demo": (["--recipe", "none", "--out", "demo"], {"--minutes": NUMBERS, "--json": ()}),
    "serve": ([RUN, "--host", "256.256.256.256", "--port", "0"], {
        "--port": NUMBERS, "--wait": NUMBERS, "--queue": NUMBERS, "--timeout": NUMBERS,
        "--batch-tokens": NUMBERS,
        "--max-body": NUMBERS, "--max-texts": NUMBERS, "--max-characters": NUMBERS, "--token-file": PATHS,
        "--threads": NUMBERS,
    }),
    "export": ([RUN, "no/such/\0folder", "--to", "ctranslate2"], {
        "--to": CHOICES, "--quantization": CHOICES,
    }),
    "distill": ([RUN, "new"], {"--beam": tuple(one for one in NUMBERS if one not in LONG), "--by": PATHS,
                               "--more": PATHS}),
    "recipes": ([], {"--json": (), "--keys": (), "--jsom": (), "--": ()}),
}  # fmt: skip
ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {}, {}, {}, {"COLUMNS": "0"}, {"COLUMNS": "1"}, {"COLUMNS": "-3"}, {"COLUMNS": "9" * 40},
    {"COLUMNS": "wide"},
    {"NO_COLOR": "", "FORCE_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "tr_TR", "LC_ALL": "C"},
)  # fmt: skip


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Run the cases of these numbers, against one tiny run that is made at first."""
    runs = folder / "runs"
    _make(runs)
    for number in numbers:
        words, environment = case(seed, number)
        place = folder / f"case-{number}"
        _lay(place)
        try:
            # The drawing library reserves address space for more than it uses.
            drawn = any(".svg" in word or ".png" in word for word in words)
            limit = (64 if drawn else 8) * GIB
            ended = run_forked(words, place, seconds=120, memory=limit, environment=environment)
            done = (
                f"{' '.join(f'{name}={value}' for name, value in environment.items())} atonce {shown(words)}"
            )
            detail = "" if ended.fine else ended.stderr[-600:]
            yield Outcome(number, done.strip(), ended.verdict, ended.fine, detail)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def case(seed: int, number: int) -> tuple[list[str], dict[str, str]]:
    """The words of a command line, and what is added to the environment."""
    draw = random.Random(f"options {seed} {number}")
    command = draw.choice(list(COMMANDS))
    words, options = COMMANDS[command]
    words = list(words)
    if words and draw.random() < 0.3:
        place = draw.randrange(len(words))
        if place == 0 or not words[place - 1].startswith("--out"):
            words[place] = draw.choice(draw.choice((TEXTS, PATHS)) if command != "train" else TEXTS)
    for option in draw.sample(list(options), min(len(options), draw.choice((1, 1, 1, 2, 3)))):
        values = options[option]
        if not values:
            words.append(option)
        elif draw.random() < 0.2:
            words.append(f"{option}={draw.choice(values)}")
        else:
            words += [option, draw.choice(values)]
    if command in ("translate", "heatmap", "recipes") and draw.random() < 0.1:
        draw.shuffle(words)
    return [command, *words], draw.choice(ENVIRONMENTS)


def shown(words: Sequence[str]) -> str:
    """Words as they can be printed; long ones cut."""
    return " ".join(
        ascii(word if len(word) < 60 else f"{word[:50]}… ({len(word)} characters)") for word in words
    )


def _make(runs: Path) -> None:
    """A tiny run of dates."""
    from atonce.studies.experiment import train

    runs.mkdir(parents=True)
    tiny.write_recipe(runs.parent / "recipe.toml", training={"steps": 1, "validate_every": 1})
    train(runs.parent / "recipe.toml", runs / "texts", quiet=True)


def _lay(place: Path) -> None:
    """The files that a command may name."""
    place.mkdir()
    (place / FILE).write_text("3 May 2001\n4 May 2001\n\n5 May\n", encoding="utf-8")
    (place / "empty.txt").write_bytes(b"")
    (place / "latin1.txt").write_bytes("3 août\n".encode("latin-1"))

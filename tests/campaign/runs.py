"""Damaged run folders: one file of a run is not what was stored, and then a command, or the server, opens it.

Right is what the undamaged run gives, to the byte, or three lines that name the file. Runs without sums, as
older versions wrote them, cannot know of a weight that is another number: there the question is how it ends.
"""

import json
import math
import os
import random
import shutil
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from safetensors.torch import load_file, save_file

import tiny
from campaign.forked import GIB, Ended, run_forked
from campaign.outcome import Outcome

BROKEN_OFF = 7
"""Updates after which the training of a run that is resumed was killed."""
SHOWN = 31
"""Exit code of the server's hook where it says of a run that it is damaged."""
MOST_MEMORY = 2 * GIB
FEW = {"steps": 12, "validate_every": 6, "save_every": 3}
TEXT, WORD = "3 May 2001", "2083"


@dataclass(frozen=True)
class Kind:
    """A kind of run: what it is trained on, and the commands that open it."""

    recipe: dict[str, Any]
    commands: tuple[str, ...]


KINDS = {
    "texts": Kind(
        tiny.values(training=FEW),
        ("translate", "evaluate", "heatmap", "serve", "distill", "context", "export", "resume", "log"),
    ),
    "recurrent": Kind(tiny.values(model=tiny.GRU, training=FEW), ("resume", "translate", "serve", "measure")),
    "labels": Kind(
        tiny.values(
            data={"kind": "digits"},
            model={**tiny.GRU, "image": {"kind": "rows"}, "decoder": {"kind": "classifier"}},
            training=FEW,
        ),
        ("classify", "evaluate", "serve", "resume", "image"),
    ),
    "images": Kind(
        tiny.values(
            data={"kind": "digit-strings", "images": 100, "valid_size": 8, "test_size": 8},
            vocabulary={"kind": "characters", "size": 300},
            model={**tiny.GRU, "image": {"kind": "convolution", "channels": [4]}},
            training=FEW,
        ),
        ("read", "evaluate", "serve", "resume"),
    ),
}
ARGUMENTS: Mapping[str, Sequence[str]] = {
    "translate": ("translate", "run", "text.txt"),
    "evaluate": ("evaluate", "run", "--json"),
    "heatmap": ("heatmap", "run", TEXT, "--out", "out.json"),
    "image": ("heatmap", "run", "image.png", "--out", "out.json"),
    "distill": ("distill", "run", "out"),
    "context": ("context", "run", "--word", WORD),
    "export": ("export", "run", "out", "--to", "ctranslate2"),
    "measure": ("measure", "run", "--lengths", "4,8"),
    "classify": ("classify", "run", "image.png"),
    "read": ("read", "run", "image.png"),
    "resume": ("train", "recipe.toml", "--out", "run", "--resume", "--json"),
}
BLOCK = 8
"""Cases one after the other that are of one kind of run."""


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """The cases of these numbers."""
    bench = Bench(folder)
    for number in numbers:
        yield bench.case(number, random.Random(f"{seed}-{number}"))


class Bench:
    """Whole runs of each kind, and what each command gives for them."""

    def __init__(self, folder: Path) -> None:
        from PIL import Image

        self.folder = folder
        (folder / "text.txt").write_text(f"{TEXT}\nThursday, 7 June 1990\n")
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(folder / "image.png")
        self._expected: dict[tuple[str, str], str] = {}

    def case(self, number: int, draw: random.Random) -> Outcome:
        """Damage one file of one run, and let one command open it."""
        kind = list(KINDS)[number // BLOCK % len(KINDS)]
        command = draw.choice(KINDS[kind].commands)
        has_sums = draw.random() < 0.7
        expected = self.expected(kind, command)
        target = self._fresh(kind, command)
        if not has_sums:
            for sums in target.rglob("sums.json"):
                sums.unlink()
        files = sorted(path for path in target.rglob("*") if path.is_file())
        path = draw.choice(files)
        damage = damaged(path, draw)
        ended = self._ended(command)
        done = f"{kind}, {'with' if has_sums else 'no'} sums, {path.relative_to(target)}: {damage}; {command}"
        return self._judged(number, done, ended, command, expected, path, has_sums=has_sums)

    def _judged(
        self, number: int, done: str, ended: Ended, command: str, expected: str, path: Path, *, has_sums: bool
    ) -> Outcome:
        verdict = "refused" if ended.code == SHOWN else ended.verdict
        detail = " | ".join(ended.stderr.strip().splitlines()[-4:])
        fine = verdict in ("ok", "refused")
        if verdict == "ok" and self._outcome(command, ended) != expected:
            verdict, fine = ("ok" if not has_sums else "another result"), not has_sums
        elif verdict == "refused" and ended.code == 2 and not _is_named(path, ended.stderr):
            verdict, fine = "does not name the file", False
        if ended.peak > MOST_MEMORY:
            verdict, fine = f"{ended.peak / GIB:.1f} GiB", False
        return Outcome(number, done, verdict, fine, "" if fine else detail)

    def expected(self, kind: str, command: str) -> str:
        """What the undamaged run gives."""
        if (kind, command) not in self._expected:
            self._fresh(kind, command)
            ended = self._ended(command)
            assert ended.code == 0, (kind, command, ended.stderr)
            self._expected[kind, command] = self._outcome(command, ended)
        return self._expected[kind, command]

    def _fresh(self, kind: str, command: str) -> Path:
        """A copy of a run, as `run`: whole, or broken off where it is to be resumed."""
        base = self.folder / f"{kind}-{'broken' if command == 'resume' else 'whole'}"
        if not base.exists():
            self._train(base, KINDS[kind], broken_off=command == "resume")
        (self.folder / "recipe.toml").write_text(tomli_w.dumps(KINDS[kind].recipe), encoding="utf-8")
        for name in ("run", "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "out.json").unlink(missing_ok=True)
        return Path(shutil.copytree(base, self.folder / "run"))

    def _train(self, base: Path, kind: Kind, *, broken_off: bool) -> None:
        def training() -> None:
            from atonce.runs.recipe import Recipe
            from atonce.studies.experiment import train as experiment
            from atonce.training.callbacks import OnStep, TrainingEvent
            from atonce.training.train import train

            recipe = Recipe.parse(kind.recipe, origin="a campaign")
            if not broken_off:
                experiment(recipe, base, quiet=True)
                return

            def watch(report: TrainingEvent) -> None:
                if report.update.step == BROKEN_OFF:
                    os._exit(0)

            train(recipe, base, callbacks=[OnStep(watch)], quiet=True)

        ended = run_forked((), self.folder, seconds=120, run=training)
        assert ended.code == 0, ended.stderr

    def _ended(self, command: str) -> Ended:
        hook = {"serve": lambda: serve(self.folder / "run"), "log": lambda: read_log(self.folder / "run")}
        return run_forked(ARGUMENTS.get(command, ()), self.folder, seconds=60, run=hook.get(command))

    def _outcome(self, command: str, ended: Ended) -> str:
        """All that came of a command, but for how long it took."""
        found: dict[str, object] = {"said": ended.stdout}
        if command == "resume":
            learned = tiny.what_was_learned(self.folder / "run")
            found = {**learned, "said": ""}
        for path in [self.folder / "out.json", *sorted((self.folder / "out").rglob("*"))]:
            if path.is_file():
                found[str(path)] = path.read_bytes()
        return repr(found)


def _is_named(path: Path, stderr: str) -> bool:
    """Whether the file is named, or the folder that is read or trained as one."""
    folders = [parent.name for parent in path.parents if parent.name.startswith("step-")]
    return any(name in stderr for name in [path.name, *folders, "examples", "prepared data", "tokenizer"])


def serve(run: Path) -> None:
    """Open a run as the server does, and ask it everything."""
    from starlette.testclient import TestClient

    from atonce.errors import AtonceError
    from atonce.serve.app import build_app
    from atonce.serve.registry import ModelRegistry

    try:
        app = build_app(ModelRegistry.open([run]))
    except AtonceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    with TestClient(app, raise_server_exceptions=False) as client:
        answers = [client.get("/v1/models"), client.get("/v1/runs")]
        runs = answers[1].json()["runs"] if answers[1].status_code == 200 else []
        if (run / "tokenizer.model").exists() and not (run / "image.json").exists():
            answers.append(client.post("/v1/translate", json={"texts": [TEXT], "alignment": True}))
            answers.append(client.post("/v1/look", json={"text": TEXT}))
    for answer in answers:
        if answer.status_code != 200:
            sys.exit(f"{answer.status_code}: {answer.text[:300]}")
    for one in runs:
        one.pop("training")
        if one["damage"]:
            sys.exit(SHOWN)
    print([answer.text for answer in (answers[0], *answers[2:])], json.dumps(runs))


def read_log(run: Path) -> None:
    """Read a log as reports do."""
    from atonce.errors import AtonceError
    from atonce.runs.folder import LOGGED, RunFolder

    try:
        print(RunFolder.open(run).read_log(LOGGED))
    except AtonceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


# What becomes of a file. Each changes it and says what it did.

WRONG: list[Any] = [
    *(None, "x", "²", "", True, -1, 0, 1, 1.5, 1e300, 10**18, -(10**18), 10**400),
    *([], {}, [1], {"a": 1}, [[]], math.nan, math.inf, "\ud800"),
]


def damaged(path: Path, draw: random.Random) -> str:
    """Damage a file in one of the ways there are for files of its kind."""
    ways: list[Callable[[Path, random.Random], str]] = [_flip, _cut, _drop, _instead, _rewritten]
    by_suffix: Mapping[str, list[Callable[[Path, random.Random], str]]] = {
        ".safetensors": [_tensor, _tensor, _header],
        ".json": [_json, _json, _json],
        ".jsonl": [_line, _line],
        ".toml": [_toml, _toml, _toml],
        ".bin": [_numbers],
    }
    while True:
        before = path.read_bytes()
        said = draw.choice([*ways, *by_suffix.get(path.suffix, [])])(path, draw)
        if not path.is_file() or path.is_symlink() or path.stat().st_size > 1 << 30:
            return said
        if path.read_bytes() != before:
            return said


def _flip(path: Path, draw: random.Random) -> str:
    content = bytearray(path.read_bytes())
    at, bit = draw.randrange(len(content) or 1), 1 << draw.randrange(8)
    if content:
        content[at] ^= bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at} flipped"


def _cut(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    lines = [at for at in range(len(content)) if content[at : at + 1] == b"\n"][:200]
    at = draw.choice([draw.randrange(len(content) or 1), draw.choice(lines or [0]) + 1])
    path.write_bytes(content[:at])
    return f"cut at {at}"


def _drop(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    at, count = draw.randrange(len(content) or 1), draw.randrange(1, 9)
    path.write_bytes(content[:at] + content[at + count :])
    return f"{count} bytes gone at {at}"


def _rewritten(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    name, new = draw.choice(
        [
            ("empty", b""),
            ("doubled", content + content),
            ("one byte more", content + b"\xff"),
            ("a line end more", content + b"\n"),
            ("zeros", bytes(len(content))),
            ("random", draw.randbytes(200)),
            ("CRLF", content.replace(b"\n", b"\r\n")),
            ("a mark before", b"\xef\xbb\xbf" + content),
            ("UTF-16", content.decode("latin-1").encode("utf-16")),
            ("LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
            ("deep", b"[" * 100_000),
            ("deep objects", b'{"a":' * 100_000),
            ("deep TOML", b"a = " + b"[" * 5_000),
            ("a deep key", b"a." * 50_000 + b"b = 1"),
            ("many values", b"[" + b"[]," * (1 << 25) + b"[]]"),
            ("a long number", b"1" * 5_000),
            ("a long number in TOML", b"a = " + b"1" * 5_000),
            ("NaN", b"NaN"),
        ]
    )
    path.write_bytes(new)
    return name


def _instead(path: Path, draw: random.Random) -> str:
    """Something else than a file stands in its place."""
    path.unlink()
    name = draw.choice(["missing", "folder", "loop", "dangling", "pipe", "zeros without end", "terabyte"])
    if name == "folder":
        path.mkdir()
    elif name == "loop":
        path.symlink_to(path.name)
    elif name == "dangling":
        path.symlink_to("nowhere")
    elif name == "pipe":
        os.mkfifo(path)
    elif name == "zeros without end":
        path.symlink_to("/dev/zero")
    elif name == "terabyte":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    return name


def _tensor(path: Path, draw: random.Random) -> str:
    """One tensor is of another type, shape, name or value; metadata are lost."""
    tensors = load_file(path)
    name = draw.choice(sorted(tensors))
    one = tensors[name]
    way, new = draw.choice(
        [
            ("missing", None),
            ("float16", one.to(torch.float16)),
            ("float64", one.to(torch.float64)),
            ("int64", one.to(torch.int64)),
            ("bool", one.to(torch.bool)),
            ("NaN", torch.full_like(one.float(), torch.nan)),
            ("inf", torch.full_like(one.float(), torch.inf)),
            ("larger by half", (one.float() * 1.5).to(one.dtype)),
            ("one more", torch.zeros(one.numel() + 1)),
            ("none", torch.zeros(0)),
            ("a number", torch.zeros(())),
            ("another name", one),
            ("transposed", one.T.contiguous() if one.ndim == 2 else one.reshape(1, -1)),
            ("beside", one.clone()),
        ]
    )
    if way in ("missing", "another name"):
        del tensors[name]
    if new is not None:
        tensors[{"another name": f"x{name}", "beside": "optimizer/0/x/y/z"}.get(way, name)] = new
    save_file(tensors, path)
    return f"{name}: {way}"


def _header(path: Path, draw: random.Random) -> str:
    content = path.read_bytes()
    length = draw.choice([0, 1, 1 << 20, 99_000_000, 1 << 40, 1 << 62, (1 << 64) - 1])
    path.write_bytes(struct.pack("<Q", length) + content[8:])
    return f"a header of {length} bytes"


def _numbers(path: Path, draw: random.Random) -> str:
    content = bytearray(path.read_bytes())
    if len(content) >= 8:
        at = draw.randrange(len(content) // 8) * 8
        content[at : at + 8] = draw.choice(
            [b"\xff" * 8, b"\0" * 8, b"\0" * 7 + b"\x80", b"\xff" * 7 + b"\x7f"]
        )
    path.write_bytes(content)
    return "8 bytes of another number"


def _json(path: Path, draw: random.Random) -> str:
    value = json.loads(path.read_bytes())
    places = list(_places(value))
    place = draw.choice(places)
    if place and draw.random() < 0.2:
        path.write_text(json.dumps(_put(value, place, None, delete=True), indent=2))
        return f"{place} deleted"
    new = draw.choice(WRONG)
    path.write_text(json.dumps(_put(value, place, new), indent=2))
    return f"{place} is {new!r:.30}"


def _line(path: Path, draw: random.Random) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    at = draw.randrange(len(lines) or 1)
    if not lines:
        path.write_bytes(b"\n")
        return "a line end"
    way = draw.choice(["twice", "gone", "blank", "value", "value", "swapped"])
    if way == "twice":
        lines.insert(at, lines[at])
    elif way == "gone":
        del lines[at]
    elif way == "blank":
        lines.insert(at, b"\n")
    elif way == "swapped":
        lines.reverse()
    else:
        value = json.loads(lines[at])
        place, new = draw.choice(list(_places(value))), draw.choice(WRONG)
        lines[at] = json.dumps(_put(value, place, new)).encode() + b"\n"
        way = f"{place} is {new!r:.30}"
    path.write_bytes(b"".join(lines))
    return f"line {at} {way}"


def _toml(path: Path, draw: random.Random) -> str:
    import tomllib

    value = tomllib.loads(path.read_text(encoding="utf-8"))
    place = draw.choice([place for place in _places(value) if place])
    new = draw.choice([one for one in WRONG if one is not None and one != "\ud800"])
    path.write_text(tomli_w.dumps(_put(value, place, new)), encoding="utf-8")
    return f"{'.'.join(map(str, place))} is {new!r:.30}"


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*place, key))
    if isinstance(value, list):
        for key in range(min(len(value), 20)):
            yield from _places(value[key], (*place, key))


def _put(value: Any, place: tuple[Any, ...], new: Any, *, delete: bool = False) -> Any:
    if not place:
        return new
    value = json.loads(json.dumps(value))
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    if delete:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return value

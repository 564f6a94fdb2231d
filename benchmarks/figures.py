"""Every figure of README.md and docs/: what it is measured by, and whether it still holds.

    python benchmarks/figures.py                      check that figures.toml has each of them; list commands
    python benchmarks/figures.py --run dates laws     measure those again, and say which do not hold any more
    python benchmarks/figures.py --run all --peer joeynmt=PYTHON --peer eole=PYTHON

The exit code is 1 if a figure does not hold. Those that depend on the machine are judged on one of the same
kind (`machines` in figures.toml), which should be idle; on another they are printed beside. Runs and results
stay in runs/figures/NAME.
"""

import argparse
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from documents import ROOT, Block, Document, documents
from rich.console import Console
from rich.table import Table

FIGURES = ROOT / "benchmarks/figures.toml"
RUNS = Path("runs/figures")

NUMBER = re.compile(r"(?<![\w^.,/])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
UNIT = re.compile(
    r"\s?(?:[%×]|[µmn]?s\b|seconds?\b|minutes?\b|hours?\b|[KMG]i?B\b|M\b|million\b|GFLOP|MFLOP|BLEU\b|chrF\b|points?\b"
    r"|times\b|pairs\b|tokens\b|sentences\b|answers\b|updates\b|weights\b)"
)
"""What makes a number in running text a figure, when it comes after it."""
SCORE = re.compile(r"(?:BLEU|chrF|TER|ROUGE-\w|accuracy)(?: of)? $")
"""And when it comes before it."""
ELSE = {
    "a version": re.compile(r"(?:torch|Python|sacreBLEU|CTranslate2|[A-Z]\w+==?) ?\d[\d.]*"),
    "a name": re.compile(r"\b[A-Za-z]+-\d[\d.]*"),
    "a date": re.compile(r"\d{1,2} (?:[A-Z][a-z]+) \d{4}"),
    "a confidence level": re.compile(r"\b9\d % (?:confidence )?interval"),
    "the size of a picture": re.compile(r"\b\d+ × \d+\b"),
    "a setting": re.compile(r"(?:beam|penalty|width|vocabulary|n =) \d[\d,.]*"),
}
"""Numbers that are no figures, wherever they stand."""
WORD = re.compile(r"[^\W\d_]{2,}")
CODE = re.compile(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->|https?://\S+")


@dataclass(frozen=True)
class Value:
    """Where a number is in what was measured, and how far from it the one in the text may be."""

    path: tuple[str, ...]
    divided_by: tuple[str, ...] | float
    tolerance: float
    in_per_cent: bool

    @classmethod
    def parse(cls, text: str) -> "Value | None":
        """From `result > key > key / 1e6 ± 2 %`; `-` is a setting, which nothing measures.

        What it is divided by may be a path, too.
        """
        if text == "-":
            return None
        path, _, allowed = text.partition(" ± ")
        path, _, divisor = path.partition(" / ")
        tolerance, _, _ = allowed.partition(" %")
        by = tuple(divisor.split(" > ")) if " > " in divisor else float(divisor or 1)
        return cls(tuple(path.split(" > ")), by, float(tolerance or 0), allowed != tolerance)

    def of(self, results: Mapping[str, Any]) -> float:
        """What was measured. Raises KeyError where it is not there."""
        by = self.divided_by
        return _found(results, self.path) / (_found(results, by) if isinstance(by, tuple) else by)

    def holds(self, said: str, measured: float, *, exactly: bool = False) -> bool:
        """As it is rounded in the text, within the tolerance."""
        decimals = len(said.partition(".")[2])
        allowed = 0.0 if exactly else self.tolerance * (abs(measured) / 100 if self.in_per_cent else 1)
        return abs(number(said) - measured) <= allowed + 0.500001 * 10**-decimals

    @property
    def allowed(self) -> str:
        """In words."""
        return f"± {self.tolerance:g}{' %' * self.in_per_cent}" if self.tolerance else "as rounded"


def _found(found: Any, path: Sequence[str]) -> float:
    """The number at the end of a path; of a text, the first in it."""
    for key in path:
        found = _inside(found, key)
    return number(NUMBER.findall(found)[0]) if isinstance(found, str) else float(found)


def _inside(found: Any, key: str) -> Any:
    """One step of a path: a key, a place of a list, or `key=value` of what is in a list."""
    if isinstance(found, list):
        name, _, wanted = key.partition("=")
        return next(one for one in found if str(one[name]) == wanted) if wanted else found[int(key)]
    return found[key]


def number(text: str) -> float:
    """As people write it."""
    return float(text.replace(",", "").replace("−", "-"))


@dataclass(frozen=True)
class Statement:
    """A text with figures, and where each of its numbers comes from, in turn."""

    document: str
    text: str
    values: tuple[Value | None, ...]
    machine: str

    @property
    def numbers(self) -> list[str]:
        """All that are in it, but for those in code."""
        return [found.group() for found in NUMBER.finditer(masked(self.text))]


@dataclass(frozen=True)
class Tables:
    """Tables of a document that a command writes as they are."""

    document: str
    result: str
    sections: tuple[str, ...]
    sha256: str
    columns: Mapping[str, float] | None
    """How far each column may be off, in per cent; others are not judged. None: all cells are as written."""
    machine: str

    def rows(self, document: Document) -> list[Block]:
        """Those of the sections, or all."""
        return [
            one
            for one in document.blocks
            if one.cells and (one.section in self.sections or not self.sections)
        ]

    def hash(self, document: Document) -> str:
        """Of what is written."""
        return hashlib.sha256("\n".join(one.text for one in self.rows(document)).encode()).hexdigest()


@dataclass(frozen=True)
class Measurement:
    """Commands, and what is said of what they give."""

    name: str
    minutes: float
    machine: str
    commands: tuple[str, ...]
    results: Mapping[str, str]
    after: tuple[str, ...]
    threads: int
    """0: as many as there are cores."""
    recorded: Mapping[str, str]
    """Files of the repository that hold what was measured: the text is checked against them at any time."""
    says: tuple[Statement, ...]
    tables: tuple[Tables, ...]

    @classmethod
    def parse(cls, name: str, given: dict[str, Any]) -> "Measurement":
        machine = given.get("machine", "any")
        says = tuple(
            Statement(
                one["in"],
                " ".join(one["text"].split()),
                tuple(
                    Value.parse(f"{one['at']} > {value}" if one.get("at") and value != "-" else value)
                    for value in one["values"]
                ),
                one.get("machine", machine),
            )
            for one in given.get("says", ())
        )
        tables = tuple(
            Tables(
                one["in"], one["result"], tuple(one.get("sections", ())), one["sha256"], one.get("columns"),
                one.get("machine", machine),
            )
            for one in given.get("tables", ())
        )  # fmt: skip
        return cls(
            name, given.get("minutes", 0), machine, tuple(given.get("commands", ())),
            given.get("results", {}), tuple(given.get("after", ())), given.get("threads", 0),
            given.get("recorded", {}), says, tables,
        )  # fmt: skip


def measurements() -> dict[str, Measurement]:
    """All of figures.toml, by name."""
    given = tomllib.loads(FIGURES.read_text(encoding="utf-8"))["measured"]
    return {name: Measurement.parse(name, one) for name, one in given.items()}


def masked(text: str) -> str:
    """The text with code and links blanked out, as long as before."""
    return CODE.sub(lambda found: " " * len(found.group()), text)


def figures_in(block: Block) -> Iterator[tuple[int, str]]:
    """Where a block says a number that somebody must have measured, and the number.

    That is one with decimals or a thousand's comma, with a unit, behind the name of a score, or in a cell of
    a table that is no sentence. Other whole numbers are names or counts, such as "the last 3 layers".
    """
    if block.not_measured or (block.cells and block.cells == block.header):
        return
    text = masked(block.text)
    other = [found.span() for pattern in ELSE.values() for found in pattern.finditer(text)]
    first_column = text.find("|", 1) if block.cells else len(text)
    for found in NUMBER.finditer(text):
        start, end = found.span()
        if any(first <= start and end <= last for first, last in other):
            continue
        plain = not ("." in found.group() or "," in found.group())
        unmarked = not (UNIT.match(text, end) or (SCORE.search(text, 0, start) and found.group() != "0"))
        in_words = start < first_column or len(WORD.findall(_cell_at(text, start))) > 4
        if not (plain and unmarked and in_words):
            yield start, found.group()


def _cell_at(text: str, place: int) -> str:
    """Of a row."""
    return text[text.rfind("|", 0, place) + 1 :].partition("|")[0]


def problems(known: Mapping[str, Measurement]) -> Iterator[str]:
    """What is wrong with figures and figures.toml as they are written, without measuring: a line for each."""
    read = {document.name: document for document in documents()}
    for one in known.values():
        for statement in one.says:
            yield from _problems_of(one, statement, read)
        for table in one.tables:
            document = read[table.document]
            if table.hash(document) != table.sha256:
                yield (
                    f"{table.document}: tables are not as {one.name!r} measured them; after measuring again "
                    f"say sha256 = {table.hash(document)!r} in figures.toml"
                )
        yield from _other_than_recorded(one)
    for document in read.values():
        yield from _uncovered(document, known.values())
        for line, test in document.held_by:
            if not (ROOT / test).is_file():
                yield f"{document.name}:{line}: there is no test {test!r}"


def _problems_of(one: Measurement, statement: Statement, read: Mapping[str, Document]) -> Iterator[str]:
    where = f"figures.toml, {one.name!r}"
    if statement.document not in read:
        yield f"{where}: there is no {statement.document}"
    elif not any(statement.text in block.text for block in read[statement.document].blocks):
        yield f"{where}: {statement.document} does not say {statement.text!r}"
    if len(statement.numbers) != len(statement.values):
        yield (
            f"{where}: {len(statement.values)} values for {len(statement.numbers)} numbers "
            f"({', '.join(statement.numbers)}) in {statement.text!r}; a setting is '-'"
        )
    for value in statement.values:
        if value is not None and value.path[0] not in {*one.results, *one.recorded, "said"}:
            yield f"{where}: no result is called {value.path[0]!r}"


def _other_than_recorded(one: Measurement) -> Iterator[str]:
    if not one.recorded:
        return
    results = {name: read_result(ROOT / path) for name, path in one.recorded.items()}
    for statement in one.says:
        for said, value in zip(statement.numbers, statement.values, strict=False):
            if value is not None and not value.holds(said, measured := value.of(results), exactly=True):
                yield (
                    f"{statement.document} says {said} in {statement.text!r}; "
                    f"{one.recorded[value.path[0]]} has {measured:g}"
                )


def _uncovered(document: Document, known: Sequence[Measurement] | Any) -> Iterator[str]:
    """Figures that figures.toml does not know."""
    texts = [one.text for each in known for one in each.says if one.document == document.name]
    rows = [
        row
        for each in known
        for one in each.tables
        if one.document == document.name
        for row in one.rows(document)
    ]
    for block in document.blocks:
        if block in rows:
            continue
        spans = [found.span() for text in texts for found in re.finditer(re.escape(text), block.text)]
        for place, figure in figures_in(block):
            if not any(start <= place < end for start, end in spans):
                yield (
                    f"{document.name}:{block.line}: nothing says how {figure!r} is measured in "
                    f"{block.text[:80]!r}: add it to benchmarks/figures.toml; if it is no figure, put it in "
                    "`code`, or <!-- not measured: WHY --> or <!-- held by: tests/FILE --> before it"
                )


def read_result(path: Path) -> Any:
    """JSON, the tables of a Markdown file, or what a run folder holds."""
    if path.is_dir():
        return _read_run(path)
    if path.suffix == ".md":
        return Document.read(path).tables()
    return json.loads(path.read_text(encoding="utf-8"))


def _read_run(folder: Path) -> dict[str, Any]:
    """Scores, data, minutes of training, and how many weights there are."""
    log = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    return {
        "minutes": json.loads(log[-1])["seconds"] / 60,
        "weights": sum(math.prod(shape) for shape in shapes),
        **{name: json.loads((folder / f"{name}.json").read_text()) for name in ("data", "scores")},
    }


def cpu() -> dict[str, str]:
    """What Linux says of the first core, as `lscpu` does; elsewhere nothing."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def this_machine(about: Mapping[str, str]) -> str:
    """The kind of machine in figures.toml that this is, or nothing."""
    flags = set(about.get("flags", "").split())
    for name, one in tomllib.loads(FIGURES.read_text(encoding="utf-8"))["machines"].items():
        same = about.get("vendor_id") == one["vendor"] and set(one["flags"]) <= flags
        if same and not set(one["without"]) & flags and len(os.sched_getaffinity(0)) == one["cores"]:
            return str(name)
    return ""


def run(one: Measurement, peers: Mapping[str, str]) -> dict[str, Any]:
    """Run the commands of one. Raises KeyError for a peer that is missing, CalledProcessError."""
    out = RUNS / one.name
    shutil.rmtree(out, ignore_errors=True)
    RUNS.mkdir(parents=True, exist_ok=True)
    said = ""
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(one.threads)} if one.threads else {})}
    for command in one.commands:
        words = shlex.split(command.format(out=out, runs=RUNS, **peers))
        begins = {
            "atonce": [sys.executable, "-m", "atonce"],
            "python": [sys.executable],
        }.get(words[0], [words[0]])
        print(f"$ {shlex.join(words)}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [*begins, *words[1:]], stdout=subprocess.PIPE, text=True, check=True, env=environment
        )
        said = done.stdout
    results = {name: read_result(Path(path.format(out=out, runs=RUNS))) for name, path in one.results.items()}
    if said.lstrip().startswith("{"):
        results["said"] = json.loads(said.splitlines()[-1])
        (RUNS / f"{one.name}.json").write_text(said.splitlines()[-1] + "\n", encoding="utf-8")
    return results


@dataclass(frozen=True)
class Verdict:
    """One figure, measured again."""

    measurement: str
    text: str
    """What it is: its path among results, or its cell."""
    said: str
    measured: str
    allowed: str
    holds: bool | None
    """None: the figure is of another kind of machine."""


def judge(one: Measurement, results: Mapping[str, Any], machine: str) -> Iterator[Verdict]:
    """Every figure that is said of one measurement, beside what was measured now."""
    for statement in one.says:
        judged = statement.machine in ("any", machine)
        for said, value in zip(statement.numbers, statement.values, strict=True):
            if value is not None:
                now = value.of(results)
                holds = value.holds(said, now) if judged else None
                decimals = len(said.partition(".")[2])
                path = " > ".join(value.path)
                yield Verdict(one.name, path, said, f"{now:,.{decimals}f}", value.allowed, holds)
    for tables in one.tables:
        yield from _judge_tables(one.name, tables, results, judged=tables.machine in ("any", machine))


def _judge_tables(
    name: str, tables: Tables, results: Mapping[str, Any], *, judged: bool
) -> Iterator[Verdict]:
    document = Document.read(ROOT / tables.document)
    now = results[tables.result]
    for section, rows in document.tables().items():
        for row, cells in rows.items():
            for column, said in cells.items():
                within = None if tables.columns is None else tables.columns.get(column)
                if (tables.sections and section not in tables.sections) or not said.strip("–"):
                    continue
                text = f"{section} | {row} | {column}"
                measured = now.get(section, {}).get(row, {}).get(column, "–")
                if tables.columns is None:
                    yield Verdict(
                        name, text, said, measured, "the same", said == measured if judged else None
                    )
                elif within is not None:
                    was, found = NUMBER.search(said), NUMBER.search(measured)
                    same = was and found and math.isclose(
                        number(was.group()), number(found.group()), rel_tol=within / 100
                    )  # fmt: skip
                    yield Verdict(
                        name, text, said, measured, f"± {within:g} %", bool(same) if judged else None
                    )


def show(verdicts: Sequence[Verdict]) -> None:
    """A table: what does not hold is last, where it is read."""
    table = Table(box=None, pad_edge=False)
    for column in ("measurement", "figure", "said", "now", "allowed", "holds"):
        table.add_column(
            column,
            justify="right" if column in ("said", "now") else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    words = {True: "yes", False: "NO", None: "another machine"}
    for one in sorted(verdicts, key=lambda one: one.holds is False):
        table.add_row(one.measurement, one.text[-70:], one.said, one.measured, one.allowed, words[one.holds])
    Console(width=140, markup=False, highlight=False).print(table)


def show_list(known: Mapping[str, Measurement]) -> None:
    """What can be measured, and by what."""
    for one in known.values():
        figures = sum(value is not None for statement in one.says for value in statement.values)
        kind = f"on {one.machine}" if one.machine != "any" else "any machine"
        tables = f", {len(one.tables)} set of tables" if one.tables else ""
        print(f"{one.name}: {figures} figures{tables}; {kind}, {one.minutes:g} minutes")
        for command in one.commands:
            print(f"    {command}")


BUSY = 0.5
"""Processes that want to run, from which on others are in the way."""
MISSING = (LookupError, StopIteration, OSError, ValueError, ArithmeticError, subprocess.CalledProcessError)
"""What is raised where a command fails, a peer is not given, or a result is not where it is looked for."""


def measure_again(names: Sequence[str], known: Mapping[str, Measurement], peers: Mapping[str, str]) -> bool:
    """Run, judge and show. False if a figure does not hold, or could not be measured."""
    about = cpu()
    machine, verdicts, failed = this_machine(about), [], []
    if (load := os.getloadavg()[0]) > BUSY:
        print(f"This machine is not idle (load {load:.1f}): speeds and minutes may be off.", file=sys.stderr)
    wanted: list[str] = []
    for name in names:
        missing = [one for one in known[name].after if one not in names and not (RUNS / one).exists()]
        wanted += [one for one in (*missing, name) if one not in wanted]
    for place, name in enumerate(wanted, 1):
        print(f"[{place}/{len(wanted)}] {name}: about {known[name].minutes:g} minutes", file=sys.stderr)
        try:
            verdicts += judge(known[name], run(known[name], peers), machine)
        except MISSING as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
    show(verdicts)
    broken = [one for one in verdicts if one.holds is False]
    judged = sum(one.holds is not None for one in verdicts)
    words = [about.get(key, "") for key in ("model name", "cpu family", "model")]
    kind = machine or "of no kind that figures.toml knows"
    print("\nThis machine: {}, family {}, model {}: {}.".format(*words, kind))
    print(f"{judged - len(broken)} of {judged} figures hold.")
    for failure in failed:
        print(f"NOT MEASURED: {failure}")
    return not broken and not failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", nargs="+", metavar="NAME", help="measure these again, or all")
    parser.add_argument("--peer", action="append", default=[], metavar="PEER=PYTHON", help="joeynmt, eole")
    chosen = parser.parse_args()
    known = measurements()
    found = list(problems(known))
    for problem in found:
        print(problem, file=sys.stderr)
    if chosen.run is None:
        show_list(known)
        sys.exit(bool(found))
    names = list(known) if chosen.run == ["all"] else chosen.run
    if unknown := set(names) - set(known):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    peers = dict(one.split("=", 1) for one in chosen.peer)
    sys.exit(not measure_again(names, known, peers) or bool(found))


if __name__ == "__main__":
    main()

"""What README and docs say can be done, can: commands, snippets, links and names are those that there are.

Every command is parsed by the real parser; those in RUN_AS are run, on tiny runs. Figures are held by
`benchmarks/figures.py`, whose check is at the end.
"""

import argparse
import contextlib
import difflib
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import typing
import venv
import zipfile
from collections.abc import Collection, Iterator
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from shutil import copy, copytree
from types import ModuleType
from typing import Any

import click
import pytest
import typer.main
from packaging.requirements import Requirement

import tiny
from atonce.cli.app import app
from atonce.config import Config
from atonce.runs.recipe import Recipe, load

ROOT = Path(__file__).parents[1]


def _loaded(path: str) -> ModuleType:
    """A script, under a name that is nobody's: tests have folders that are called the same."""
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((ROOT / path).parent))
        spec.loader.exec_module(module)
    return module


figures = _loaded("benchmarks/figures.py")
documents = sys.modules["documents"]
OTHERS = ("ARCHITECTURE.md", "benchmarks/NOTES.md")
"""Whose commands, links and names hold, too. Their figures are a diary's, of the day they were measured."""
DOCUMENTS = [*documents.documents(), *(documents.Document.read(ROOT / name) for name in OTHERS)]
COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

OPTIONS_OF_OTHERS = {"--nproc-per-node", "--nnodes", "--rdzv-endpoint", "--max-restarts"}
"""Options in text that are no options of ours."""
NOT_COMMANDS = {"text", "console", "markdown", "json", "toml", "python"}
"""Languages of blocks of which no line is a command; a block without a language may be of commands."""


def _commands() -> Iterator[tuple[str, str]]:
    """Where each line of a command is, and the line: from blocks, and from code within text."""
    for document in DOCUMENTS:
        for fence in document.fences:
            if fence.language in NOT_COMMANDS:
                continue
            lines = fence.text.replace("\\\n", " ").splitlines()
            of_commands = any(documents.program(line) in documents.PROGRAMS for line in lines)
            for number, line in enumerate(lines, fence.line + 1):
                first = documents.program(line)
                if not first or line.lstrip().startswith(("#", "{")):
                    continue
                near = difflib.get_close_matches(first, documents.PROGRAMS, cutoff=0.75)
                if of_commands or near:
                    yield f"{document.name}:{number}", line
        for number, code in document.code:
            if " " in code and documents.program(code) in documents.PROGRAMS:
                yield f"{document.name}:{number}", code


LINES = [pytest.param(line, id=f"{place} {line[:50]}") for place, line in _commands()]


def parted(line: str) -> tuple[list[list[str]], str]:
    """The commands on a line, as words, and what is said about them beside."""
    command, *about = documents.BESIDE.split(line.strip(), maxsplit=1)
    parts = re.split(r" (?:·|&&) ", command)
    return [list(_words(part)) for part in parts], " ".join(about)


def _words(command: str) -> Iterator[str]:
    """Without redirection; of what is optional or a choice, the first; N is a number."""
    words = iter(shlex.split(command))
    for word in words:
        if word in "<>":
            next(words)
        elif word not in ("…", "…]"):
            word = word.removesuffix("…")
            if word.startswith("[") or (word.endswith("]") and "[" not in word):
                word = word.strip("[]")
            yield {"N": "1"}.get(word, word.split("|")[0] if word.upper() != "|" else word)


def options_of(command: click.Command) -> set[str]:
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts)}


def check_atonce(words: list[str], about: str) -> None:
    """Parsed as if it was called; recipes by name are loaded, with what is changed in them."""
    name, *arguments = words
    assert name in COMMANDS, f"there is no command {name!r}"
    if not arguments:
        return  # it is only named
    context = COMMANDS[name].make_context(name, arguments)
    recipe = context.params.get("recipe")
    if isinstance(recipe, str) and recipe.islower() and not recipe.endswith(".toml"):
        load(recipe, context.params.get("set_") or (), model=context.params.get("model"))
    for option in re.findall(r"(?<!\S)--[a-z-]+", about):
        assert option in options_of(COMMANDS[name]), f"atonce {name} has no {option}"


class _Parsed(Exception):
    pass


def check_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's own parser takes it; nothing after that is run."""
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser: argparse.ArgumentParser, *_: Any) -> typing.NoReturn:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                parse(parser, words[1:])
            except SystemExit as exit:
                raise AssertionError(said.getvalue()) from exit
        raise _Parsed

    path = ROOT / words[0]
    assert path.is_file(), f"there is no {words[0]}"
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    with pytest.raises(_Parsed):
        _loaded(words[0]).main()


def check_pip(words: list[str]) -> None:
    """Extras are those of pyproject.toml, and pins of what we pin, too, are ours."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert words[0] == "install"
    for word in words[1:]:
        if extras := re.fullmatch(r"(?:atonce|\.)\[(.+)\]", word):
            assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
        if word.startswith("torch=="):
            assert word == f"torch=={pins['torch']}"


def test_extras_are_there_wherever_they_are_named() -> None:
    for document in DOCUMENTS:
        for extras in set(re.findall(r"(?:atonce|\.)\[([a-z,]+)\]", document.path.read_text())):
            check_pip(["install", f"atonce[{extras}]"])


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        assert re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), f"make has no target {word!r}"


@pytest.mark.parametrize("line", LINES)
def test_commands_are_as_the_parsers_have_them(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, about = parted(line)
    for words in commands:
        match [documents.program(words[0]), *words[1:]]:
            case ["atonce", *rest]:
                check_atonce(rest, about)
            case ["torchrun", *rest] if "-m" in rest:
                module = rest.index("-m")
                assert set(rest[:module:2]) <= OPTIONS_OF_OTHERS
                assert rest[module + 1] == "atonce"
                check_atonce(rest[module + 2 :], about)
            case ["python", "-m", "atonce", *rest]:
                check_atonce(rest, about)
            case ["python", *rest]:
                check_script(rest, monkeypatch)
            case ["pip", *rest]:
                check_pip(rest)
            case ["make", *rest]:
                check_make(rest)
            case ["python3.11", "-m", "venv", _]:
                pass
            case ["curl", url, *_]:
                assert f"/{url.partition('/')[2]}" in routes()
            case _:
                pytest.fail(f"no command known here: {line!r}; is the block ```text?")


@cache
def routes() -> set[str]:
    """The paths that a server answers."""
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from atonce.serve.app import build_app
    from atonce.serve.limits import Limits
    from atonce.serve.registry import ModelRegistry

    documented = {"/openapi.json", "/docs"}  # of FastAPI, which does not list them
    with TestClient(build_app(ModelRegistry([]), Limits())) as client:
        return {*client.get("/openapi.json").json()["paths"], *documented}


CODE = [(document.name, line, code) for document in DOCUMENTS for line, code in document.code]


def test_options_within_text_are_of_some_command_or_script() -> None:
    known = {option for command in COMMANDS.values() for option in options_of(command)} | OPTIONS_OF_OTHERS
    scripts = "\n".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    for name, line, code in CODE:
        if code.startswith("--"):
            for option in re.findall(r"(?<!\S)--[a-z-]+", code):
                assert option in known or f'"{option}"' in scripts, f"{name}:{line}: no command has {option}"


def test_routes_within_text_are_those_of_the_server() -> None:
    named = [(name, line, code.split()[-1]) for name, line, code in CODE if re.search(r"(^|\s)/[a-z]", code)]
    assert named
    for name, line, path in named:
        assert path in routes(), f"{name}:{line}: the server has no {path}"


SECTIONS = tuple(Recipe.model_fields)


def keys(config: Any, before: str) -> Iterator[str]:
    """Every key of a section, whichever of its kinds has it."""
    if isinstance(config, type) and issubclass(config, Config):
        for name, field in config.model_fields.items():
            yield f"{before}.{name}"
            yield from keys(field.annotation, f"{before}.{name}")
    for part in typing.get_args(config):
        yield from keys(part, before)


KEYS = {key for name in SECTIONS for key in keys(Recipe.model_fields[name].annotation, name)}


def test_keys_of_recipes_within_text() -> None:
    assert {"training.minutes", "model.encoder.kind", "data.source"} <= KEYS
    for name, line, code in CODE:
        for key in re.findall(rf"(?<!\S)(?:{'|'.join(SECTIONS)})(?:\.[a-z_]+)+(?![\w./(])", code):
            if key not in ("data.json", "model.safetensors"):  # files of a run
                assert key in KEYS, f"{name}:{line}: recipes have no key {key}"


def test_changes_of_recipes_within_text() -> None:
    for _, _, code in CODE:
        changes = re.findall(rf"(?:{'|'.join(SECTIONS)})\.[a-z_.]+=\S+", code)
        if changes and not code.startswith("atonce"):
            load("tatoeba", changes)


def _toml() -> Iterator[Any]:
    for document in DOCUMENTS:
        for fence in document.fences:
            if fence.language == "toml":
                yield pytest.param(fence.text, id=f"{document.name}:{fence.line}")


@pytest.mark.parametrize("text", list(_toml()))
def test_recipes_are_recipes(text: str) -> None:
    """A section that says no kind is one of what the tests train."""
    Recipe.parse(tiny.values(**tomllib.loads(text)), origin="the docs")


def test_json_is_json() -> None:
    for document in DOCUMENTS:
        for fence in document.fences:
            for line in fence.text.splitlines():
                if fence.language == "" and line.startswith("{"):
                    json.loads(line)
            if fence.language == "json":
                json.loads(fence.text)


def anchors(path: Path) -> set[str]:
    """Of the headings of a file, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_and_pictures_are_there(document: Any) -> None:
    for line, link in document.links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.path.parent / path if path else document.path
        assert target.exists(), f"{document.name}:{line}: there is no {link}"
        if anchor:
            assert anchor in anchors(target), f"{document.name}:{line}: no heading #{anchor}"


def test_all_documents_are_named_by_another() -> None:
    for document in DOCUMENTS[1:]:
        others = [other for other in DOCUMENTS if other is not document]
        linked = [
            (other.path.parent / link.partition("#")[0]).resolve()
            for other in others
            for _, link in other.links
        ]
        assert document.path in linked or any(document.name in other.path.read_text() for other in others)


def test_the_parts_that_the_readme_lists_are_those_of_the_code() -> None:
    from atonce.models import config

    (said,) = (block.text for block in DOCUMENTS[0].blocks if block.text.startswith("Encoders"))
    encoders, decoders = said.partition("decoders")[::2]
    attention = re.search(r"attention (`.+?)[,)] with", decoders)
    assert attention is not None
    named = re.findall(r"`([a-z]+)`", encoders)
    decoding = re.findall(r"`([a-z]+)`", decoders.partition("go together")[0].replace(attention[1], ""))

    def kinds(union: Any) -> set[str]:
        found = [one.model_fields["kind"].annotation for one in typing.get_args(typing.get_args(union)[0])]
        return {kind for literal in found for kind in typing.get_args(literal)}

    assert set(named) == kinds(config.EncoderConfig)
    assert set(decoding) == kinds(config.DecoderConfig) - {"classifier"}
    annotation = config.RecurrentDecoderConfig.model_fields["attention"].annotation
    assert re.findall(r"`([a-z]+)`", attention[1]) == list(typing.get_args(annotation))


def test_versions_are_those_that_are_pinned() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    for document in DOCUMENTS:
        for block in document.blocks:
            for name, version in re.findall(r"\b(torch|sacreBLEU) (\d+\.\d+\.\d+)", block.text):
                assert version == pins[name.lower()], f"{document.name}:{block.line}"


# Figures: what benchmarks/figures.py says without measuring, and how it judges.


def test_every_figure_is_as_figures_toml_has_it() -> None:
    assert list(figures.problems(figures.measurements())) == []


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """README and docs, to be changed."""
    for name in ("README.md", "docs", "benchmarks/README.md", "benchmarks/figures.toml"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(exist_ok=True)
        copytree(source, target) if source.is_dir() else copy(source, target)
    (tmp_path / "tests").symlink_to(ROOT / "tests")  # which hold some of what is said
    for module in (figures, documents):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "benchmarks/figures.toml")
    return tmp_path


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("README.md", "| 33.1 |", "| 33.2 |", "does not say"),
        ("README.md", "0.87 ×", "1.04 ×", "does not say"),
        ("README.md", "## How good", "It is 3.5 times as fast.\n\n## How good", "nothing says how '3.5'"),
        ("README.md", "3 minutes each", "2 minutes each", "does not say"),
        ("docs/clock.md", "| 35 µs |", "| 36 µs |", "tables are not as 'clock' measured them"),
        ("docs/measure.md", "| LSTM | n | 7 n |", "| LSTM | n | 6 n |", "not as 'laws' measured them"),
        ("docs/measure.md", "What is counted", "What is counted\nUp to 12 % more", "nothing says how '12'"),
        ("benchmarks/figures.toml", '"report > minutes"]', "]", "a setting is '-'"),
        ("benchmarks/figures.toml", "gru > weights", "gur > weights", "no result is called 'gur'"),
    ],
)
def test_a_changed_figure_is_noticed(copied: Path, name: str, old: str, new: str, said: str) -> None:
    changed(copied / name, old, new)
    assert said in "\n".join(figures.problems(figures.measurements()))


def test_a_figure_that_is_changed_in_both_places_is_not_what_was_recorded(copied: Path) -> None:
    """Where the repository has what was measured."""
    for name in ("README.md", "benchmarks/figures.toml"):
        changed(copied / name, "27.1 BLEU", "28.1 BLEU")
    (problem,) = figures.problems(figures.measurements())
    assert problem.endswith("docs/comparison/report.json has 27.1182")


@pytest.mark.parametrize(
    "comment", ["<!-- not measured: a setting -->", "<!-- not measured: settings -->\n\n## Of"]
)
def test_numbers_that_nobody_measured_are_said_to_be_such(copied: Path, comment: str) -> None:
    """For the block after the comment, or for the section, and no further."""
    (copied / "docs/new.md").write_text(f"# New\n\n{comment}\n\nIt waits 20 ms.\n\n## More\n\nOr 30 ms.\n")
    (problem,) = figures.problems(figures.measurements())
    assert problem.startswith("docs/new.md:")
    assert "nothing says how '30' is measured" in problem


MEASURED = """
[machines.here]
vendor = "any"
flags = []
without = []
cores = 1
[measured.speed]
minutes = 1
commands = ["python -c 'print({})'"]
[[measured.speed.says]]
in = "README.md"
text = "2.0 times as fast, 50 % of 4"
values = ["said > ours / said > theirs ± 10 %", "said > list > name=a > share ± 5", "-"]
{}
"""


@pytest.mark.parametrize(
    ("ours", "theirs", "more", "code", "words"),
    [
        (4, 2.0, "", 0, "2 of 2 figures hold"),
        (4.3, 2.0, "", 0, "2 of 2 figures hold"),
        (5, 2.0, "", 1, "1 of 2 figures hold"),
        (5, 2.0, 'machine = "elsewhere"', 0, "0 of 0 figures hold"),
        (4, 0, "", 1, "NOT MEASURED: speed: ZeroDivisionError"),
    ],
)
def test_figures_are_measured_again(
    ours: float,
    theirs: float,
    more: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = f'__import__("json").dumps(dict(ours={ours}, theirs={theirs}, list=[dict(name="a", share=47)]))'
    (tmp_path / "figures.toml").write_text(MEASURED.format(said.replace('"', '\\"'), more))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures.toml")
    monkeypatch.setattr(figures, "problems", lambda known: [])
    monkeypatch.setattr(sys, "argv", ["figures.py", "--run", "all"])
    with pytest.raises(SystemExit) as exit:
        figures.main()
    assert exit.value.code == code
    assert words in capsys.readouterr().out


def test_tables_are_judged_cell_by_cell() -> None:
    one = figures.measurements()["clock"]
    results = {name: figures.read_result(ROOT / path) for name, path in one.recorded.items()}
    assert all(verdict.holds for verdict in figures.judge(one, results, "intel"))
    assert {verdict.holds for verdict in figures.judge(one, results, "amd")} == {None}
    results["clock"]["Layers, forward, one sequence"]["GRU"]["gained"] = "0.30 ×"
    (wrong,) = [
        verdict
        for verdict in figures.judge(one, results, "intel")
        if verdict.holds is False and "|" in verdict.text and "Layers" in verdict.text
    ]
    assert (wrong.text, wrong.said) == ("Layers, forward, one sequence | GRU | gained", "0.89 ×")


def test_a_test_that_holds_a_figure_is_there(copied: Path) -> None:
    text = "# New\n\n<!-- held by: tests/test_{}.py -->\nIt takes 20 ms.\n"
    (copied / "docs/new.md").write_text(text.format("docs"))
    assert list(figures.problems(figures.measurements())) == []
    (copied / "docs/new.md").write_text(text.format("doc"))
    (problem,) = figures.problems(figures.measurements())
    assert problem == "docs/new.md:3: there is no test 'tests/test_doc.py'"


def test_who_reads_a_figure_reads_which_machine_it_is_of() -> None:
    """In its section."""
    words = {"intel": "Intel", "amd": "AMD", "any": ""}
    for one in figures.measurements().values():
        for statement in one.says:
            (document,) = (read for read in DOCUMENTS if read.name == statement.document)
            of_section = {block.section for block in document.blocks if statement.text in block.text}
            said = " ".join(block.text for block in document.blocks if block.section in of_section)
            measured = any(value is not None for value in statement.values)
            assert not measured or words[statement.machine] in said, statement.text


def test_every_machine_is_said_and_every_placeholder_known() -> None:
    machines = {*tomllib.loads(figures.FIGURES.read_text())["machines"], "any"}
    known = figures.measurements()
    for one in known.values():
        assert {one.machine, *(statement.machine for statement in one.says)} <= machines
        assert set(one.after) <= set(known)
        for command in one.commands:
            command.format(out="OUT", runs="RUNS", joeynmt="PYTHON", eole="PYTHON")


FIGURE_COMMANDS = [
    pytest.param(
        command.format(out="OUT", runs="RUNS", joeynmt="PYTHON", eole="PYTHON"), id=f"{name} {command}"
    )
    for name, one in figures.measurements().items()
    for command in one.commands
]


@pytest.mark.parametrize("line", FIGURE_COMMANDS)
def test_commands_that_measure_are_as_the_parsers_have_them(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = shlex.split(line)
    if program == "atonce":
        check_atonce(words, "")
    else:
        monkeypatch.setattr(_loaded("benchmarks/contest.py"), "chosen_peers", dict)
        check_script(words, monkeypatch)


# Commands and snippets are run, on runs that are tiny.

NOT_RUN = {
    "compare": "a process for each model: tests/cli/test_cli_compare.py",
    "demo": "tests/cli/test_cli_demo.py",
    "serve": "tests/serve/test_server.py",
}
"""Commands that are only parsed here, and where they are run."""
DATES = "3 May 1999\n4 May 2001\n12 June 2010\n"


def _run_lines() -> list[Any]:
    """Each command of ours once that can be run in seconds."""
    seen = {}
    for place, line in _commands():
        for words in parted(line)[0]:
            program, *rest = words
            named_only = rest[1:] == [] and rest[:1] != ["recipes"]
            if program == "atonce" and not named_only and rest[0] not in NOT_RUN and "--claims" not in rest:
                seen.setdefault(tuple(rest), f"{place} {' '.join(rest)}")
    return [pytest.param(list(words), id=name) for words, name in seen.items()]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: dict[str, Path]) -> Path:
    """A folder in which the files are that commands and snippets name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("atonce.fast.can_compile", lambda: False)  # nothing is compiled
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/en-de").symlink_to(runs["texts"])
    (tmp_path / "FILE").write_text(DATES)
    (tmp_path / "F").write_text(DATES)
    tiny.write_recipe(tmp_path / "RECIPE.toml")
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage/layers.py").write_text(
        "import torch\n\n\ndef MyLayer(x):\n    return torch.tanh(x)\n"
    )
    return tmp_path


def as_run(words: list[str], runs: dict[str, Path], place: Path) -> list[str]:
    """The same command with what is there for what it names, and budgets of seconds."""
    name = words[0]
    kind = {"classify": "labels", "read": "images"}.get(name, "texts")
    run = str(place / "new-run") if name == "train" else str(runs[kind])
    there = {
        "RUN": run,
        "RUN2": run,
        "runs/en-de": run,
        "TEACHER": run,
        "STUDENT": run,
        "FOLDER": "new",
        "DIR": "new",
        "text": "3 May 1999",
        "W": "May",
    }
    there |= {"PICTURES": str(place / "PICTURES.png"), "PICTURE": "3 May 1999", "LAYER": "rnn"}
    there |= {"transformer": "gru"} if name == "measure" else {}
    recipes = {path.stem for path in (ROOT / "src/atonce/recipes").glob("*.toml")} | {"RECIPE"}
    there |= {word: run for word in words if word.startswith("runs/")}
    there |= {word: "RECIPE.toml" for word in words if word in recipes or word.endswith(".toml")}
    there |= {"exported": "new", "new.txt": "FILE"}
    given = [there.get(word, word) for word in words]
    if name == "train":
        given += ["--set", "training.steps=2"]
    if name == "measure":
        named = [word for word in given[1:] if re.fullmatch(r"[a-z-]+(\.\w+:\w+)?", word) and word[0] != "-"]
        given += [*([] if named else ["rnn"]), "--lengths", "2,4,8"]
        given += ["--clock-lengths", "2"] if "--clock" in given else []
    return given


@pytest.mark.parametrize("words", _run_lines())
def test_commands_run(
    words: list[str],
    runs: dict[str, Path],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if words[0] in ("classify", "read"):
        picture(runs["labels" if words[0] == "classify" else "images"], place / "PICTURES.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DATES.encode())))
    given = as_run(words, runs, place)
    app(given, standalone_mode=False)
    assert capsys.readouterr().out
    for option, name in pairwise(given):
        if option == "--out":
            assert (place / name).exists()


def picture(run: Path, path: Path) -> None:
    """A test image of a run, as a file."""
    from PIL import Image

    from atonce.data.images import ImagePair
    from atonce.data.prepare import open_prepared

    pair = open_prepared(run).test_pairs[0]
    assert isinstance(pair, ImagePair)
    Image.fromarray(255 - pair.source).save(path)


def test_requests_are_answered_with_what_is_said(runs: dict[str, Path]) -> None:
    """The line after a request is an answer of the same form."""
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from atonce.serve.app import build_app
    from atonce.serve.limits import Limits
    from atonce.serve.registry import ModelRegistry

    asked = 0
    with TestClient(build_app(ModelRegistry.open([runs["texts"]]), Limits())) as client:
        for lines in (fence.text.splitlines() for document in DOCUMENTS for fence in document.fences):
            for line, answer in pairwise(lines):
                if documents.program(line) == "curl" and answer.startswith("{"):
                    _, url, *options = shlex.split(line)
                    body = options[options.index("-d") + 1]
                    given = client.post("/" + url.partition("/")[2], json=json.loads(body)).json()
                    assert form(given) == form(json.loads(answer))
                    asked += 1
    assert asked


def form(value: Any) -> Any:
    """The keys and kinds of a JSON value."""
    if isinstance(value, dict):
        return {key: form(one) for key, one in value.items()}
    return [form(value[0])] if isinstance(value, list) else type(value)


SHORTER = {
    "minutes=15": "minutes=0.02",
    "training.steps=200": "training.steps=2",
    "training.steps=300": "training.steps=2",
    "data.pairs=6000": "data.pairs=1000",
    "data.pairs=3000": "data.pairs=1000",
    '["lstm", "transformer"]': '["rnn"], [2, 4, 8]',
}
"""What is written otherwise when a snippet is run, so that it takes seconds."""


def _snippets() -> Iterator[Any]:
    """Of a notebook, all cells as one program; else each by itself."""
    for document in DOCUMENTS:
        cells = [fence for fence in document.fences if fence.language == "python"]
        if document.name.startswith("docs/notebooks/"):
            text = "\n\n".join(cell.text for cell in cells)
            cells = [documents.Fence(cells[0].line, "python", text)]
        for cell in cells:
            yield pytest.param(document, cell, id=f"{document.name}:{cell.line}")


SNIPPETS = [*_snippets()]


@pytest.mark.parametrize(("document", "fence"), SNIPPETS)
def test_snippets_run_and_print_what_they_say(
    document: Any, fence: Any, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe beside them is theirs. A comment behind `print(...)` is what is printed."""
    for other in document.fences:
        if other.language == "toml":
            (place / "mine.toml").write_text(other.text)
    words = [*"abcdefgh", "device", "configured", "the", "is"]
    for side in ("en", "de"):
        lines = [" ".join([*words[n % 7 : n % 5 + 6], str(n)]) for n in range(3000)]
        (place / f"train.{side}").write_text("\n".join(lines) + "\n")
    code = fence.text
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    exec(compile(code, f"{document.name}:{fence.line}", "exec"), {"__name__": "snippet"})
    printed = " ".join(capsys.readouterr().out.split())
    for said in re.findall(r"^print\(.*\)  # (.+)$", code, re.MULTILINE):
        assert " ".join(said.split()) in printed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the package's wheel and what it depends on, with one extra."""
    backend = pytest.importorskip("hatchling.build", reason="wheels are built with hatchling")
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(io.StringIO()):
        wheel = folder / backend.build_wheel(str(folder))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (about,) = site.glob("atonce-*.dist-info")
    for distribution in dependencies(metadata.Distribution.at(about)):
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(distribution.locate_file(top))
    return folder / "venv/bin/python"


def dependencies(of: metadata.Distribution) -> Collection[metadata.Distribution]:
    """What is installed with `atonce[serve]`, without what else there is for developers."""
    found: dict[str, metadata.Distribution] = {}
    todo = list(of.requires or ())
    while todo:
        one = Requirement(todo.pop())
        name = one.name.lower().replace("_", "-")
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": "serve"})):
            found[name] = metadata.distribution(name)
            todo += found[name].requires or ()
    return found.values()


def test_the_wheel_has_types_recipes_and_the_page(installed: Path) -> None:
    (package,) = installed.parents[1].glob("lib/python*/site-packages/atonce")
    for name in ("py.typed", "__init__.pyi", "recipes/dates.toml", "serve/page/index.html"):
        assert (package / name).is_file(), name
    code = "import atonce; print(atonce.__file__, atonce.Recipe.load('dates').about)"
    said = subprocess.run(
        [installed, "-I", "-c", code], cwd=package, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith(str(package))


def test_snippets_have_types_for_who_installed_the_wheel(installed: Path, tmp_path: Path) -> None:
    """All at once, strictly, by no settings of ours."""
    for number, (_, fence) in enumerate(snippet.values for snippet in SNIPPETS):
        (tmp_path / f"snippet_{number}.py").write_text(fence.text)
    (tmp_path / "wrong.py").write_text(
        "import atonce\n\natonce.measure(3)\natonce.Translator.load('run').classify(['text'])\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-pretty"]
    command += ["--python-executable", str(installed), "--cache-dir", str(ROOT / ".mypy_cache/of_the_wheel")]
    others = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [*command, *sorted(path.name for path in tmp_path.glob("*.py"))],
        cwd=tmp_path,
        env=others,
        capture_output=True,
        text=True,
    )
    *errors, _ = done.stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in errors] == ["[arg-type]", "[attr-defined]"], done.stdout
    assert all(line.startswith("wrong.py:") for line in errors), done.stdout

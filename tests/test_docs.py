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
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import typer.main

import tiny
from atonce.cli.main import app
from atonce.config import Config
from atonce.runs.recipe import Recipe, load

ROOT = Path(__file__).parents[1]


def _loaded(name: str) -> ModuleType:
    """A file of benchmarks/, under a name that is nobody's: tests have folders that are called the same."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / f"benchmarks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


documents = _loaded("documents")
DOCUMENTS = list(documents.documents())
COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

OPTIONS_OF_OTHERS = {"--nproc-per-node"}
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
            if word.startswith("[") or word.endswith("]"):
                word = word.strip("[]")
            yield {"N": "1"}.get(word, word.split("|")[0] if word.upper() != "|" else word)


def options_of(command: click.Command) -> set[str]:
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts)}


def check_atonce(words: list[str], about: str) -> None:
    """Parsed as if it was called; recipes by name are loaded, with what is changed in them."""
    name, *arguments = words
    assert name in COMMANDS, f"there is no command {name!r}"
    context = COMMANDS[name].make_context(name, arguments)
    recipe = context.params.get("recipe")
    if isinstance(recipe, str) and recipe.islower() and not recipe.endswith(".toml"):
        load(recipe, context.params.get("set_") or (), model=context.params.get("model"))
    for option in re.findall(r"(?<!\S)--[a-z-]+", about):
        assert option in options_of(COMMANDS[name]), f"atonce {name} has no {option}"


class _Parsed(Exception):
    pass


def check_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark's own parser takes it; nothing after that is run."""
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
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    with pytest.raises(_Parsed):
        _loaded(path.stem).main()


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
    from atonce.serve.served import Models

    documented = {"/openapi.json", "/docs"}  # of FastAPI, which does not list them
    with TestClient(build_app(Models([]), Limits())) as client:
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
        for key in re.findall(rf"(?<!\S)(?:{'|'.join(SECTIONS)})\.[a-z_.]+\b(?![/(])", code):
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


def test_all_documents_are_linked_from_the_readme_or_from_one_another() -> None:
    linked = {
        (document.path.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for _, link in document.links
    }
    assert {document.path for document in DOCUMENTS} - linked <= {ROOT / "README.md"}


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

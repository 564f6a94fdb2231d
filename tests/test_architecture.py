"""The house: imports point downwards, and every module has a floor."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import atonce

ROOT = Path(atonce.__file__).parent
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
DOORS = {"__init__", "__main__"}
"""The front door itself may lead anywhere; it imports what is asked for."""
FILES = sorted(ROOT.rglob("*.py"))
NAMED_BY_USERS = {"studies/measurement/targets.py"}
"""Where a module is imported whose name a user gives: what is to be measured."""


def floors() -> dict[str, int]:
    """The floor of each part of the package, 0 being the highest; several may share one."""
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {
        part.strip().removeprefix("atonce."): number
        for number, layer in enumerate(layers)
        for part in layer.split("|")
    }


UNCHECKED = {"call", "chain", "rules", "shadows", "side_channels", "tracer"}
"""Of atonce.measure: what is called for each operation that is measured, hundreds of thousands of times."""


def test_shapes_are_checked_under_test_but_in_the_inner_loop_of_measuring() -> None:
    options = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]["addopts"]
    (packages,) = (one.partition("=")[2] for one in options if one.startswith("--jaxtyping-packages="))
    *checked, _ = packages.split(",")
    measure = {path.name.removesuffix(".py") for path in (ROOT / "measure").iterdir()}
    measure -= {"__pycache__", "__init__", *UNCHECKED}
    parts = {part_of(path) for path in FILES} - DOORS - {"measure"}
    assert sorted(checked) == sorted(
        {f"atonce.{part}" for part in parts} | {f"atonce.measure.{name}" for name in measure}
    )


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def called_by_name(node: ast.AST) -> list[ast.expr]:
    """What `import_module` or `__import__` is called with, the module's name first; nothing in other code."""
    if not isinstance(node, ast.Call):
        return []
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return given[:1] if function in ("import_module", "__import__") else []


def imported(path: Path) -> set[str]:
    """The parts of the package that a file imports from, anywhere in it, also by a name in a text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [str(one.value) for one in called_by_name(node) if isinstance(one, ast.Constant)]
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "atonce":
            names = [f"atonce.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("atonce.")}
    return found


def test_every_part_has_a_floor_and_every_floor_a_part() -> None:
    assert {part_of(path) for path in FILES} - DOORS == set(floors())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    floor, here = floors(), part_of(path)
    if here in DOORS:
        return
    for there in imported(path):
        assert there == here or floor[there] > floor[here], (
            f"{there} does not lie below {here}; move what they share below both"
        )


def test_arrows_hidden_in_texts_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "import importlib\nfrom importlib import import_module\n"
        "importlib.import_module('atonce.studies.demo')\nimport_module(name='atonce.serve.app')\n"
        "__import__('atonce.cli.main')\nimport_module('json')\nfrom atonce.data import pairs\n"
    )
    assert imported(file) == {"studies", "serve", "cli", "data"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_imported_by_name_are_named_where_they_are(path: Path) -> None:
    """A name that is put together could be any: only what users name is imported so."""
    if part_of(path) in DOORS or str(path.relative_to(ROOT)) in NAMED_BY_USERS:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert all(isinstance(one, ast.Constant) for one in called_by_name(node)), ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_named_for_an_idea(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_nobody_comes_in_through_the_front_door() -> None:
    """Within the package, names are imported from the file that defines them; of the package, only files."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "atonce":
                assert all((ROOT / f"{alias.name}.py").is_file() for alias in node.names), path


def test_where_to_look_there_are_the_files() -> None:
    text = (PROJECT.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split("## Where to look")[1].split("\n## ")[0]
    named = re.findall(r"`([\w/]+\.py)`", section)
    assert len(named) > 40
    assert [path for path in named if not (ROOT / path).is_file()] == []

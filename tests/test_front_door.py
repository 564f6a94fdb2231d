"""The public names, and what it costs to come through the door."""

import ast
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import atonce
from atonce.errors import AtonceError

HEAVY = {"torch", "numpy", "safetensors", "sentencepiece", "sacrebleu", "altair", "vl_convert", "babel"}
HEAVY |= {"pandas", "pooch", "jinja2"}

FAULTS = {
    "--help": [],
    "no command": [],
    "unknown command": ["trian"],
    "help of a command": ["train", "--help"],
    "unknown option": ["train", "dates", "--out", "run", "--setp", "x"],
    "missing option": ["train", "dates"],
    "missing argument": ["translate"],
    "a number out of range": ["translate", "run", "--beam", "0"],
    "no number": ["train", "dates", "--out", "run", "--minutes", "soon"],
    "unknown recipe": ["train", "date", "--out", "run"],
    "unknown key": ["train", "dates", "--out", "run", "--set", "training.step=3"],
    "impossible value": ["train", "dates", "--out", "run", "--set", "training.steps=0"],
    "missing recipe file": ["train", "no.toml", "--out", "run"],
    "only one text": ["evaluate", "run", "--source", "text"],
}
FAULTS["--help"] = ["--help"]

AFTERWARDS = """
import sys
{before}
print(*sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)
"""

RUN = """
sys.argv = ["atonce", *{arguments!r}]
from atonce.cli.main import main
try:
    main()
except SystemExit as exit:
    print("exit code", exit.code, file=sys.stderr)
"""


def imported(before: str) -> tuple[str, str]:
    """What is imported after this code, in a process of its own; and what it wrote to stderr before."""
    code = AFTERWARDS.format(before=before, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, modules = done.stderr.splitlines()
    return modules, "\n".join(said)


EXPECTED = {
    *("train", "load", "evaluate", "compare", "demo", "distill"),
    *("heatmap", "context", "recorded_attention", "measure"),
    *("Translator", "ImageReader", "Classifier", "Recipe", "Tokenizer", "build_model", "beam_search"),
    *("AtonceError", "Translation", "Heatmap", "Experiment"),
}


def test_the_names_are_sorted_and_what_people_look_for_is_among_them() -> None:
    assert atonce.__all__ == sorted(atonce.__all__)
    assert set(atonce.__all__) >= EXPECTED


@pytest.mark.parametrize("name", [name for name in atonce.__all__ if name != "measure"])
def test_every_name_is_documented_and_comes_from_where_it_is_defined(name: str) -> None:
    found = getattr(atonce, name)
    assert found.__doc__
    assert found.__name__ == name
    assert found.__module__ == atonce._HOMES[name]


def test_the_stub_says_of_measure_what_it_has() -> None:
    stub = ast.parse(Path(typing.cast(str, atonce.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    (measure,) = (node for node in stub.body if isinstance(node, ast.ClassDef))
    said = {node.targets[0].id for node in measure.body if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]
    assert said == {*atonce.measure.__all__, "__call__"}
    assert callable(atonce.measure)


def of_the_package(annotation: object) -> Iterator[type]:
    """The classes of ours in an annotation."""
    if isinstance(annotation, type) and annotation.__module__.startswith("atonce."):
        yield annotation
    for part in typing.get_args(annotation):
        yield from of_the_package(part)


FUNCTIONS = [name for name in atonce.__all__ if name.islower() and name != "measure"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_public_function_gives_back_is_public(name: str) -> None:
    """So that whoever writes a function around it can write down its type."""
    given = typing.get_type_hints(inspect.unwrap(getattr(atonce, name)))["return"]
    assert {one.__name__ for one in of_the_package(given)} <= set(atonce.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'atonce' has no attribute 'trian'"):
        _ = atonce.trian  # type: ignore[attr-defined]


def test_the_error_that_everybody_catches() -> None:
    assert atonce.AtonceError is AtonceError


@pytest.mark.parametrize("module", ["atonce", "atonce.cli.main", "atonce.runs.recipe"])
def test_importing_is_light(module: str) -> None:
    assert imported(f"import {module}") == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_help_and_argument_errors_import_nothing_heavy(fault: str) -> None:
    modules, said = imported(RUN.format(arguments=FAULTS[fault]))
    assert modules == ""
    assert "Traceback" not in said
    assert said.endswith(f"exit code {0 if 'help' in fault else 2}")


def test_no_heat_map_format_is_found_out_before_torch() -> None:
    modules, said = imported(RUN.format(arguments=["heatmap", "run", "text", "--out", "map.bmp"]))
    assert "torch" not in modules.split()
    assert said.splitlines()[0].startswith("error: cannot save a heat map as 'map.bmp'")


def test_what_measures_is_a_folder_that_comes_when_asked() -> None:
    modules, said = imported("import atonce; atonce.measure.work_span, atonce.measure.growth")
    assert said == ""
    assert "torch" in modules
    assert atonce.measure.__all__ == ["Growth", "Law", "WorkSpan", "growth", "work_span"]


def test_a_notebook_completes_the_public_names_and_no_others() -> None:
    shown = {name for name in dir(atonce) if not name.startswith("_")}
    assert shown == set(atonce.__all__)


@pytest.mark.parametrize(
    "before",
    ["from atonce.measure import growth", "import atonce.measure.work_span", "from atonce import measure"],
)
def test_the_folder_that_measures_can_be_called_however_it_was_imported(before: str) -> None:
    call = "atonce.measure is measure and measure(['rnn'], [4, 8]).growth.layers[0].growth.span"
    code = f"import atonce\n{before}\nfrom atonce import measure\nprint({call}, measure.work_span.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 n work_span\n"


def test_the_version_is_printed_and_nothing_heavy_is_imported_for_it() -> None:
    code = "import sys" + RUN.format(arguments=["--version"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"atonce {atonce.__version__}\n"
    assert imported(code) == ("", "exit code 0")


def test_each_kind_is_loaded_by_its_class(runs: dict[str, Path]) -> None:
    kinds = {"texts": atonce.Translator, "labels": atonce.Classifier, "images": atonce.ImageReader}
    for name, run in runs.items():
        assert type(kinds[name].load(run, device="cpu")) is kinds[name]
        for other in {*kinds} - {name}:
            with pytest.raises(AtonceError, match=f"{run} is not for {kinds[other].tasks[0]}"):
                kinds[other].load(run)


def test_a_recipe_is_made_in_python() -> None:
    data = {"kind": "files", "source": "a.en", "target": "a.de"}
    recipe = atonce.Recipe.parse({"data": data, "training": {"steps": 3}})
    assert (recipe.data.kind, recipe.training.steps) == ("files", 3)
    assert atonce.Recipe.load("dates", ["training.steps=3"]).training.steps == 3
    with pytest.raises(AtonceError, match=r"training.steps cannot be -1 in the recipe"):
        atonce.Recipe.parse({"data": data, "training": {"steps": -1}})

"""The public names, and what it costs to come through the door."""

import subprocess
import sys
import typing

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


def test_the_names_are_those_that_are_exported() -> None:
    assert atonce.__all__ == sorted(atonce.__all__)
    assert atonce.__all__ == [
        *(
            "AtonceError",
            "compare",
            "context",
            "demo",
            "distill",
            "evaluate",
            "heatmap",
            "load",
            "recorded_attention",
        ),
        "train",
    ]
    assert set(atonce._HOMES) == set(atonce.__all__)


@pytest.mark.parametrize("name", atonce.__all__)
def test_every_name_is_there_documented_and_where_type_checkers_look_for_it(name: str) -> None:
    found = getattr(atonce, name)
    assert found.__doc__
    assert found.__module__ == atonce._HOMES[name]
    source = typing.cast(str, atonce.__file__)
    with open(source, encoding="utf-8") as file:
        assert f"from {atonce._HOMES[name]} import {name}\n" in file.read()


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
    assert shown == {*atonce.__all__, "measure"}


@pytest.mark.parametrize(
    "before",
    ["from atonce.measure import growth", "import atonce.measure.work_span", "from atonce import measure"],
)
def test_the_folder_that_measures_can_be_called_however_it_was_imported(before: str) -> None:
    call = "atonce.measure is measure and measure(['rnn'], [4, 8]).growth.layers[0].growth.span"
    code = f"import atonce\n{before}\nfrom atonce import measure\nprint({call}, measure.work_span.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 n work_span\n"

"""The documentation site: it is built without a warning, and what there is to look up is in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import atonce
from atonce.cli.app import app

pytest.importorskip("sphinx", reason="the docs extra is not installed")
pytest.importorskip("myst_parser", reason="the docs extra is not installed")
pytest.importorskip("furo", reason="the docs extra is not installed")
pytest.importorskip("fastapi")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does."""
    out = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(ROOT / "docs/site/build.py"), str(out), "-W", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def page(site: Path, name: str) -> str:
    return (site / "html" / name).read_text(encoding="utf-8")


def test_every_page_of_the_repository_is_there(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        assert (site / "html" / path.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    for name in ("readme", "architecture", "changelog", "contributing", "security"):
        assert (site / f"html/project/{name}.html").is_file()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    said = page(site, "reference/python.html")
    for name in atonce.__all__:
        assert f'id="atonce.{name}"' in said, name
    for name in ("measure.work_span", "measure.growth", "Translator.translate", "Translator.load"):
        assert f'id="atonce.{name}"' in said, name
    assert 'id="atonce.Translation.score"' in said
    assert "Log-probability in nats" in said


def test_every_command_with_every_option_is_in_the_reference(site: Path) -> None:
    said = page(site, "reference/commands.html")
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        section = said.partition(f'id="command-{name}"')[2].partition("<section")[0]
        for one in command.params:
            for option in one.opts if one.param_type_name == "option" else [one.name.upper()]:
                assert f">{option}<" in section or option == "--help", f"{name} {option}"


def test_every_key_of_a_recipe_is_in_the_reference_and_in_the_schema(site: Path) -> None:
    said = page(site, "recipes.html")
    written = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    sections = [part.partition("]") for part in written.split("\n## [")[1:]]
    keys = {
        f"{name}.{row.split('`')[1]}"
        for name, _, rest in sections
        for row in rest.splitlines()
        if row[:3] == "| `"
    }
    assert len(keys) > 50
    for key in keys:
        assert f">{key}<" in said, key
    schema = json.loads((site / "html/recipe.schema.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(atonce.Recipe.model_fields)


def test_every_route_and_message_is_in_the_reference(site: Path) -> None:
    said, known = page(site, "reference/rest.html"), json.loads(page(site, "openapi.json"))
    assert len(known["paths"]) > 5
    for path, methods in known["paths"].items():
        for method in methods:
            assert f"<h2>{method.upper()} {path}<" in said
    for name in known["components"]["schemas"]:
        assert f'id="message-{name.lower()}"' in said, name


def test_notebooks_are_notebooks(site: Path) -> None:
    for path in (ROOT / "docs/notebooks").glob("*.md"):
        notebook = json.loads((site / f"html/{path.stem}.ipynb").read_text(encoding="utf-8"))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert len(cells) == path.read_text(encoding="utf-8").count("```python\n")
        compile("\n".join(cells), path.name, "exec")

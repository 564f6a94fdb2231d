import itertools
import os
import re
import sys
from pathlib import Path

import pytest

import tiny
from atonce.decoding.load import load
from atonce.disk import owned
from atonce.errors import RecipeError, RunError, TrainingError
from atonce.models.architectures import architecture
from atonce.runs.folder import RunFolder
from atonce.studies import demo as demo_module
from atonce.studies.demo import MODELS, Demo, demo

MINUTES = 0.01


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_recipe(tmp_path_factory.mktemp("recipe") / "recipe.toml")


@pytest.fixture(scope="module")
def made(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demo(tmp_path_factory.mktemp("made") / "it's a demo", recipe=recipe, minutes=MINUTES, quiet=True)


def test_both_runs_can_be_used(made: Demo) -> None:
    folder = made.report.parent
    assert {path.name for path in folder.iterdir()} == {*MODELS, "report.html"}
    for name in MODELS:
        run = RunFolder.open(folder / name)
        assert (run.recipe.training.minutes, run.recipe.training.steps) == (MINUTES, None)
        assert len(load(run.path).translate(["3 May 2001"])) == 1
    kinds = [RunFolder.open(folder / name).recipe.model.encoder.kind for name in MODELS]
    assert kinds == ["gru", "transformer"]


def test_the_report_shows_both_and_loads_nothing(made: Demo) -> None:
    page = made.report.read_text(encoding="utf-8")
    for title, evaluation in made.evaluations.items():
        assert title in page
        for value in (evaluation.scores.bleu, evaluation.scores.chrf, evaluation.scores.ter):
            assert f"{value:.1f}" in page
    for name in MODELS:
        assert str(Path(name)) in page
    assert ".unfinished" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_the_next_commands_are_right(made: Demo) -> None:
    """They name the runs where they are, quoted for a shell."""
    folder = made.report.parent
    quoted = "'" + str(folder / "transformer").replace("'", "'\"'\"'") + "'"
    assert any(f"atonce translate {quoted}" in command for command in made.next_commands)
    assert any(f"atonce heatmap {quoted}" in command for command in made.next_commands)


def test_a_second_demo_takes_the_place_of_the_first(recipe: Path, tmp_path: Path) -> None:
    for minutes in (MINUTES, 2 * MINUTES):
        again = demo(tmp_path, recipe=recipe, minutes=minutes, quiet=True)
        assert {path.name for path in tmp_path.iterdir()} == {*MODELS, "report.html"}
        assert RunFolder.open(tmp_path / MODELS[0]).recipe.training.minutes == minutes
    assert again.report.stat().st_size > 0


def test_the_first_stays_until_the_second_is_done(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("the first report")
    for name in MODELS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text("the first run")
    before = tiny.everything_in(tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise TrainingError("it broke", why="a test", fix="none")

    monkeypatch.setattr(demo_module, "_report", broken)
    with pytest.raises(TrainingError):
        demo(tmp_path, recipe=recipe, minutes=MINUTES, quiet=True)
    kept = {name: content for name, content in tiny.everything_in(tmp_path).items() if name[0] != "."}
    assert kept == before
    monkeypatch.undo()
    demo(tmp_path, recipe=recipe, minutes=MINUTES, quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == {*MODELS, "report.html"}


def test_runs_that_no_demo_made_are_not_replaced(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "recipe.toml").write_text("mine, trained for a week")
    before = tiny.everything_in(tmp_path)
    with pytest.raises(RunError, match="is already there") as caught:
        demo(tmp_path, recipe=recipe, minutes=MINUTES, quiet=True)
    assert "--out" in caught.value.fix
    assert tiny.everything_in(tmp_path) == before


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe is called"):
        demo(tmp_path / "demo", recipe="date")
    assert not list(tmp_path.iterdir())


class Killed(BaseException):
    """Not an Exception, as nobody may catch it."""


def a_small_demo(folder: Path, text: str) -> None:
    """What takes the place of a demo, as far as putting it in its place goes."""
    for name in MODELS:
        (folder / name / "examples").mkdir(parents=True)
        (folder / name / "recipe.toml").write_text(text)
    (folder / "report.html").write_text(text)


def texts_in(folder: Path) -> dict[str, str]:
    names = [*(f"{name}/recipe.toml" for name in MODELS), "report.html"]
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}


def test_killed_at_any_change_while_an_earlier_one_is_replaced(tmp_path: Path) -> None:
    """One of the two is whole at every moment, in one folder; and doing it again ends it."""
    models = [architecture(name) for name in MODELS]
    names = [*(f"{name}/recipe.toml" for name in MODELS), "report.html"]
    old, new = dict.fromkeys(names, "old"), dict.fromkeys(names, "new")
    count, killed_at, watched = 0, 0, False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if watched and event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link"):
            count += 1
            if count == killed_at:
                raise Killed

    sys.addaudithook(hook)
    for killed_at in itertools.count(1):
        folder = tmp_path / str(killed_at)
        a_small_demo(folder, "old")
        a_small_demo(folder / ".finished", "new")
        count, watched = 0, True
        try:
            demo_module._put_in_place(folder, models)
            break
        except Killed:
            pass
        finally:
            watched = False
        assert new in (texts_in(folder), texts_in(folder / ".finished")) or texts_in(folder) == old
        demo_module._put_in_place(folder, models)
        assert texts_in(folder) == new
        assert {path.name for path in folder.iterdir()} <= {*MODELS, "report.html", ".unfinished"}
    assert killed_at > 20


def test_two_in_one_folder(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.disk.PATIENCE", 0.1)
    with (
        owned(tmp_path / "demo", "makes a demo"),
        pytest.raises(RunError, match=f"process {os.getpid()} makes a demo here"),
    ):
        demo(tmp_path / "demo", recipe=recipe, minutes=MINUTES, quiet=True)
    assert not list(tmp_path.iterdir())

"""Law 9: stopped anywhere and resumed, a training comes to the same, bit for bit, as if never stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from atonce.runs.recipe import Recipe
from atonce.training import budget as budget_module
from atonce.training.train import Report, train

MODELS = {"transformer": tiny.TRANSFORMER, "gru-additive": tiny.GRU}


class Killed(BaseException):
    """Not an Exception, as nobody may catch it."""


def a_recipe(model: str, **training: Any) -> Recipe:
    """Whatever has a state is in it: dropout, average, accumulation, more than one epoch."""
    keys = {
        "steps": 20,
        "accumulate": 2,
        "average": 0.9,
        "save_every": 3,
        "validate_every": 7,
        "batch_tokens": 600,
    }
    return tiny.recipe(model=MODELS[model], training={**keys, **training})


def finish(recipe: Recipe, folder: Path, *, killed_after: list[int]) -> int:
    """Train until it is done, killed after so many steps of each sitting. Returns the number of sittings."""
    for sitting, steps in enumerate(killed_after, start=1):
        left = steps

        def watch(_: Report) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            train(recipe, folder, resume=True, watch=watch)
        except Killed:
            torch.rand(5)  # the next sitting is another process: it knows nothing of this one's random state
            continue
        return sitting
    train(recipe, folder, resume=True)
    return len(killed_after) + 1


@pytest.mark.parametrize("model", MODELS)
def test_killed_after_any_step(tmp_path: Path, prepared_dates: Path, model: str) -> None:
    recipe = a_recipe(model)
    train(recipe, tmp_path / "whole")
    tiny.begun(tmp_path / "killed", recipe, prepared_dates)
    whole = tiny.what_was_learned(tmp_path / "whole")
    assert whole["progress"]["position"][0] >= 1, "more than one epoch"
    # Before the first checkpoint, right after one, between two, and where the log is ahead of them.
    assert finish(recipe, tmp_path / "killed", killed_after=[1, 11, 2, 4, 1, 5, 3]) == 8
    killed = tiny.what_was_learned(tmp_path / "killed")
    assert killed == whole
    assert [entry["step"] for entry in killed["log"]] == [7, 10, 14, 20]


@pytest.mark.parametrize("training", [{"average": 0}, {"optimizer": "adamw"}, {"seed": 5, "patience": 1}])
def test_killed_in_other_trainings(tmp_path: Path, prepared_dates: Path, training: dict[str, Any]) -> None:
    recipe = a_recipe("gru-additive", steps=10, **training)
    for name in ("whole", "killed"):
        tiny.begun(tmp_path / name, recipe, prepared_dates)
    train(recipe, tmp_path / "whole", resume=True)
    finish(recipe, tmp_path / "killed", killed_after=[4, 2, 4, 3])
    assert tiny.what_was_learned(tmp_path / "killed") == tiny.what_was_learned(tmp_path / "whole")


def test_killed_before_any_write_and_after_it(
    tmp_path: Path, prepared_dates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file comes to its place by one call; the training is killed right before and right after each."""
    recipe = a_recipe("transformer", steps=4, save_every=2, validate_every=3)
    writes: list[str] = []
    move = Path.replace

    def counted(path: Path, target: Path) -> Path:
        writes.append(Path(target).name)
        return move(path, target)

    monkeypatch.setattr(Path, "replace", counted)
    train(recipe, tiny.begun(tmp_path / "whole", recipe, prepared_dates), resume=True)
    whole = tiny.what_was_learned(tmp_path / "whole")
    del writes[: writes.index("recipe.toml") + 1]
    assert {"model.safetensors", "step-00000002", "state.safetensors", "log.jsonl"} <= set(writes)

    for index, name in enumerate(list(writes)):
        for after in (False, True):
            folder = tiny.begun(tmp_path / f"{index}-{name}-{after}", recipe, prepared_dates)
            left = iter(range(index))

            def killing(path: Path, target: Path, left: Any = left, after: bool = after) -> Path:
                if next(left, None) is not None:
                    return move(path, target)
                if after:
                    move(path, target)
                raise Killed

            monkeypatch.setattr(Path, "replace", killing)
            with pytest.raises(Killed):
                train(recipe, folder, resume=True)
            monkeypatch.setattr(Path, "replace", move)
            train(recipe, folder, resume=True)
            assert tiny.what_was_learned(folder) == whole, folder


def test_resuming_what_is_finished_changes_nothing(tmp_path: Path, prepared_dates: Path) -> None:
    recipe = a_recipe("gru-additive", steps=4)
    train(recipe, tiny.begun(tmp_path / "run", recipe, prepared_dates), resume=True)
    before = tiny.everything_in(tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    assert tiny.everything_in(tmp_path / "run") == before


def test_resuming_what_was_never_begun_begins_it(tmp_path: Path) -> None:
    recipe = a_recipe("gru-additive", steps=4)
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole")
    assert tiny.what_was_learned(tmp_path / "run") == tiny.what_was_learned(tmp_path / "whole")


def test_a_log_line_cut_off_by_a_kill_is_written_again(tmp_path: Path, prepared_dates: Path) -> None:
    recipe = a_recipe("gru-additive", steps=10)
    for name in ("whole", "killed"):
        tiny.begun(tmp_path / name, recipe, prepared_dates)
    train(recipe, tmp_path / "whole", resume=True)
    finish(recipe, tmp_path / "killed", killed_after=[8])
    with (tmp_path / "killed" / "log.jsonl").open("a") as log:
        log.write('{"step": 8, "sec')
    train(recipe, tmp_path / "killed", resume=True)
    assert tiny.what_was_learned(tmp_path / "killed") == tiny.what_was_learned(tmp_path / "whole")


def test_what_a_kill_left_half_written_is_cleaned_up(tmp_path: Path, prepared_dates: Path) -> None:
    recipe = a_recipe("gru-additive", steps=10)
    finish(recipe, tiny.begun(tmp_path / "run", recipe, prepared_dates), killed_after=[8])
    half = [
        tmp_path / "run" / ".model.safetensors.partial-77",
        tmp_path / "run" / "checkpoints" / ".step-00000009.partial-77",
    ]
    half[0].write_bytes(b"half")
    half[1].mkdir()
    (half[1] / ".state.safetensors.partial-77").write_bytes(b"half")
    train(recipe, tmp_path / "run", resume=True)
    assert not any(path.exists() for path in half)


def test_a_time_budget_keeps_the_steps_that_were_planned(
    tmp_path: Path, prepared_dates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule is a function of the step: a slower machine in the second sitting changes nothing."""
    values = tiny.values(model=tiny.GRU, training={"minutes": 1.0, "save_every": 1, "validate_every": 500})
    del values["training"]["steps"]
    recipe = Recipe.parse(values, origin="a test")
    monkeypatch.setattr(budget_module.Budget, "observe", _always(25))
    for name in ("whole", "killed"):
        tiny.begun(tmp_path / name, recipe, prepared_dates)
    train(recipe, tmp_path / "whole", resume=True)
    finish(recipe, tmp_path / "killed", killed_after=[9])
    progress = tmp_path / "killed" / "checkpoints" / "step-00000025" / "progress.json"
    assert json.loads(progress.read_text())["planned_steps"] == 25
    assert tiny.what_was_learned(tmp_path / "killed") == tiny.what_was_learned(tmp_path / "whole")


def _always(steps: int) -> Any:
    """A speed from which so many steps are planned, as long as none are."""

    def observe(self: budget_module.Budget, step: int, seconds: float) -> None:
        if step == 6 and self.steps is None:
            self.steps = steps
        assert (self.steps or steps) == steps >= step

    return observe

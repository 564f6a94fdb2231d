"""Law 9: stopped anywhere and resumed, a training comes to the same, bit for bit, as if never stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe
from atonce.training import budget as budget_module
from atonce.training.callbacks import OnStep, TrainingEvent
from atonce.training.loop import Update
from atonce.training.train import train

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
    """Train until it is done, killed after so many steps of each session. Returns the number of sessions."""
    for session, steps in enumerate(killed_after, start=1):
        left = steps

        def watch(_: TrainingEvent) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            train(recipe, folder, resume=True, callbacks=[OnStep(watch)])
        except Killed:
            torch.rand(5)  # the next session is another process: it knows nothing of this one's random state
            continue
        return session
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

    tiny.begun(tmp_path / "whole", recipe, prepared_dates)
    monkeypatch.setattr(Path, "replace", counted)
    train(recipe, tmp_path / "whole", resume=True)
    whole = tiny.what_was_learned(tmp_path / "whole")
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


class Ticking:
    """A clock that goes on by as much each time it is looked at: so updates take as long in every run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.tick = 0.0, 0.01
        monkeypatch.setattr(budget_module, "perf_counter", self)

    def __call__(self) -> float:
        self.seconds += self.tick
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    return Ticking(monkeypatch)


def minutes(**training: Any) -> Recipe:
    """A training that is given time. There is a validation at half of it, and at its end."""
    values = tiny.values(model=tiny.GRU, training={"minutes": 0.05, "average": 0.9, **training})
    del values["training"]["steps"], values["training"]["validate_every"]
    return Recipe.parse(values, origin="a test")


@pytest.mark.parametrize("killed_after", [1, 9, 30])
def test_a_time_budget_is_resumed_bit_for_bit_up_to_the_kill(
    tmp_path: Path, prepared_dates: Path, clock: Ticking, killed_after: int
) -> None:
    """What was lost is done again, on a machine that is slower now: the very same updates."""
    recipe = minutes(save_every=4)
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    before: list[Update] = []
    after: list[Update] = []

    def killing(report: TrainingEvent) -> None:
        before.append(report.update)
        if len(before) == killed_after:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, run, resume=True, callbacks=[OnStep(killing)])
    clock.tick *= 1.7
    train(recipe, run, resume=True, callbacks=[OnStep(lambda report: after.append(report.update))])
    lost = [update for update in before if update.step >= after[0].step]
    again = after[: len(lost)]
    assert after[0].step == killed_after - killed_after % 4 + 1
    for key in ("step", "loss", "gradient_norm", "rate_factor", "position"):
        assert [getattr(one, key) for one in again] == [getattr(one, key) for one in lost], key
    last = RunFolder.open(run).read_log()[-1]
    assert last["share"] == 1
    assert last["step"] > killed_after + 5, "it went on after what was lost"


def test_a_checkpoint_keeps_how_long_the_validation_before_it_took(
    tmp_path: Path, prepared_dates: Path, clock: Ticking
) -> None:
    """A session that goes on from there has to keep as much free for the last one."""
    recipe = minutes()
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)

    def killing(report: TrainingEvent) -> None:
        if report.validation:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, run, resume=True, callbacks=[OnStep(killing)])
    (checkpoint,) = (run / "checkpoints").iterdir()
    kept = json.loads((checkpoint / "progress.json").read_text())
    assert kept["update_seconds"] > 0
    assert kept["validation_updates"] > 0


def test_a_finished_time_budget_does_not_go_on(tmp_path: Path, prepared_dates: Path, clock: Ticking) -> None:
    recipe = minutes()
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    train(recipe, run, resume=True)
    before = tiny.everything_in(run)
    train(recipe, run, resume=True)
    assert tiny.everything_in(run) == before


def test_a_paused_training_comes_to_the_same(tmp_path: Path, prepared_dates: Path) -> None:
    recipe = a_recipe("gru-additive", steps=10)
    for name in ("whole", "paused"):
        tiny.begun(tmp_path / name, recipe, prepared_dates)
    train(recipe, tmp_path / "whole", resume=True)
    steps: list[list[int]] = []
    for pause_at in (0.001, 0.002, None):
        steps.append([])
        train(
            recipe,
            tmp_path / "paused",
            resume=True,
            pause_at=pause_at,
            callbacks=[OnStep(lambda report: steps[-1].append(report.update.step))],
        )
    assert [step for session in steps for step in session] == list(range(1, 11)), "none twice"
    assert len(steps[0]) == 1
    assert tiny.what_was_learned(tmp_path / "paused") == tiny.what_was_learned(tmp_path / "whole")


def test_a_time_budget_of_an_older_version_keeps_the_steps_that_were_planned(
    tmp_path: Path, prepared_dates: Path, clock: Ticking
) -> None:
    """It turned minutes into steps once and for all, and kept that in its checkpoints, which had no sums."""
    recipe = minutes(save_every=2)
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)

    def killing(report: TrainingEvent) -> None:
        if report.update.step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, run, resume=True, callbacks=[OnStep(killing)])
    progress = run / "checkpoints" / "step-00000002" / "progress.json"
    values = json.loads(progress.read_text())
    for later in ("validation_updates", "threads", "sums", "sum"):
        del values[later]
    progress.write_text(json.dumps({**values, "planned_steps": 7}))
    train(recipe, run, resume=True)
    assert RunFolder.open(run).read_log()[-1]["step"] == 7

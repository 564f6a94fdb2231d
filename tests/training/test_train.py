"""A training as a whole: what it keeps, when it stops, what it leaves behind."""

import errno
import itertools
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from atonce.data.prepare import prepare
from atonce.decoding.predictor import Predictor
from atonce.decoding.translator import Translator
from atonce.errors import DataError, DiskError, RunError, TrainingError
from atonce.models.weights import weights_of
from atonce.runs.folder import RunFolder, load_tensors
from atonce.training import loop as loop_module
from atonce.training import train as train_module
from atonce.training.callbacks import OnStep, TrainingEvent, Validation
from atonce.training.loss import Loss, batch_loss, mean_loss
from atonce.training.train import train


def losses(
    monkeypatch: pytest.MonkeyPatch, values: list[float], scores: list[float] | None = None
) -> list[dict[str, torch.Tensor]]:
    """Let validations find these losses and scores. Returns the weights that each of them was shown."""
    shown: list[dict[str, torch.Tensor]] = []
    left = iter(zip(values, scores or [0.0] * len(values), strict=True))

    def pretended(system: Predictor, *_: Any, **__: Any) -> Validation:
        shown.append(weights_of(system.model))
        loss, score = next(left)
        return Validation(loss, "chrf", score)

    monkeypatch.setattr(train_module, "validate", pretended)
    return shown


def nan_from(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Let the losses of these steps be NaN."""
    count = 0

    def broken(model: Any, batch: Any, smoothing: float) -> Loss:
        nonlocal count
        loss = batch_loss(model, batch, smoothing)
        count += model.training
        return Loss(loss.smoothed * torch.nan, loss.nll) if count in steps else loss

    monkeypatch.setattr(loop_module, "batch_loss", broken)


def test_the_folder_says_all_about_the_run(tmp_path: Path) -> None:
    reports: list[TrainingEvent] = []
    run = train(tiny.recipe(), tmp_path / "run", callbacks=[OnStep(reports.append)])
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        *("recipe.toml", "tokenizer.model", "model.safetensors", "log.jsonl", "data.json"),
        *("examples", "checkpoints", "sums.json"),
    }
    assert [report.update.step for report in reports] == list(range(1, 13))
    assert [report.update.step for report in reports if report.validation] == [6, 12]
    log = run.read_log()
    assert [entry["step"] for entry in log] == [6, 10, 12]
    assert ["valid_loss" in entry for entry in log] == [True, False, True]
    assert all(entry["planned_steps"] == 12 and entry["skipped"] == 0 for entry in log)
    assert all(0 <= entry["padding_share"] < 1 < entry["target_tokens_per_second"] for entry in log)
    assert log[0]["loss"] == reports[5].update.loss


def test_the_kept_weights_are_those_that_were_validated(tmp_path: Path) -> None:
    run = train(tiny.recipe(), tmp_path / "run")
    translator = Translator.load(run.path)
    prepared = prepare(run.recipe.data, run.recipe.vocabulary, tmp_path / "again")
    logged = [entry["valid_loss"] for entry in run.read_log() if "valid_loss" in entry]
    loss = mean_loss(translator.model, prepared.valid, batch_tokens=256, smoothing=0.1)
    assert loss == pytest.approx(min(logged), rel=1e-6)


def test_the_kept_weights_are_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = losses(monkeypatch, [5.0, 3.0, 4.0, 3.0])
    run = train(tiny.recipe(training={"validate_every": 3}), tmp_path / "run")
    kept = run.load_weights()
    assert len(shown) == 4
    same = [all(torch.equal(kept[name], weight) for name, weight in weights.items()) for weights in shown]
    assert same == [False, True, False, False], "of two equally good, the first"


def test_the_best_may_be_that_with_the_highest_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = losses(monkeypatch, [3.0, 4.0, 5.0, 6.0], scores=[10.0, 30.0, 30.0, 20.0])
    run = train(tiny.recipe(training={"validate_every": 3, "keep": "score"}), tmp_path / "run")
    kept = run.load_weights()
    same = [all(torch.equal(kept[name], weight) for name, weight in weights.items()) for weights in shown]
    assert same == [False, True, False, False]


@pytest.mark.parametrize("average", [0.9, 0])
def test_with_an_average_it_is_the_average_that_is_validated_and_kept(tmp_path: Path, average: float) -> None:
    run = train(tiny.recipe(training={"average": average, "validate_every": 12}), tmp_path / "run")
    state = load_tensors(run.checkpoints / "step-00000012" / "state.safetensors")
    kept = run.load_weights()
    for name, weight in kept.items():
        assert torch.equal(weight, state[f"{'average' if average else 'model'}/{name}"])
    if average:
        assert any(not torch.equal(weight, state[f"model/{name}"]) for name, weight in kept.items())


def test_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses(monkeypatch, [5.0, 4.0, 4.5, 4.1, 1.0])
    recipe = tiny.recipe(training={"validate_every": 2, "patience": 2, "steps": 40})
    run = train(recipe, tmp_path / "run")
    assert run.read_log()[-1]["step"] == 8
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000008"]
    before = tiny.everything_in(run.path)
    train(recipe, run.path, resume=True)
    assert tiny.everything_in(run.path) == before, "what stopped early does not go on"


def test_without_patience_it_goes_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses(monkeypatch, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    run = train(tiny.recipe(training={"validate_every": 2}), tmp_path / "run")
    assert run.read_log()[-1]["step"] == 12


def test_without_validate_every_there_are_eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = losses(monkeypatch, [float(n) for n in range(8)])
    values = tiny.values(training={"steps": 15})
    del values["training"]["validate_every"]
    train(train_module.Recipe.parse(values, origin="a test"), tmp_path / "run")
    assert len(shown) == 8


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(tmp_path: Path) -> None:
    learned = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", 1 + 2**32), ("e", 2**64 - 1)):
        torch.rand(3)  # what was drawn before does not matter
        run = train(tiny.recipe(training={"seed": seed, "steps": 4}), tmp_path / name)
        learned.append(tiny.what_was_learned(run.path))
    assert learned[0] == learned[1]
    for one, other in itertools.combinations(learned[1:], 2):
        assert one["weights"] != other["weights"]


def test_skipped_steps_are_counted_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan_from(monkeypatch, 2, 7)
    run = train(tiny.recipe(), tmp_path / "run")
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["skipped"]) for entry in log] == [(2, 1), (6, 1), (7, 2), (10, 2), (12, 2)]
    assert [entry["loss"] is None for entry in log] == [True, False, True, False, False]


def test_nine_bad_steps_in_a_row_are_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan_from(monkeypatch, *range(2, 11))
    run = train(tiny.recipe(), tmp_path / "run")
    assert run.read_log()[-1]["skipped"] == 9


def test_ten_bad_steps_in_a_row_end_it_with_the_batches_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan_from(monkeypatch, *range(5, 100))
    recipe = tiny.recipe(training={"accumulate": 2, "steps": 50, "save_every": 1})
    with pytest.raises(TrainingError, match="training stopped at step 12") as caught:
        train(recipe, tmp_path / "run")
    path = tmp_path / "run" / "nonfinite-step-12.safetensors"
    assert len(str(caught.value).splitlines()) == 3
    assert str(path) in caught.value.fix
    batches = load_tensors(path)
    names = ("source", "source_mask", "target_in", "target_out", "target_mask")
    assert set(batches) == {f"{number}/{name}" for number in (1, 2) for name in names}
    assert batches["1/source"].shape == batches["1/source_mask"].shape
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000011" / "state.safetensors"
    assert all(tensor.isfinite().all() for tensor in load_tensors(checkpoint).values())


def test_a_second_training_does_not_overwrite_the_first(tmp_path: Path) -> None:
    train(tiny.recipe(training={"steps": 2}), tmp_path / "run")
    before = tiny.everything_in(tmp_path)
    with pytest.raises(RunError, match="already holds a run"):
        train(tiny.recipe(training={"steps": 3}), tmp_path / "run")
    assert tiny.everything_in(tmp_path) == before


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("also_gone", [(), ("data.json",), ("data.json", "checkpoints", "log.jsonl")])
def test_what_is_left_of_a_run_without_its_recipe_is_not_gone_on_with(
    tmp_path: Path, dates_run: RunFolder, sums: bool, resume: bool, also_gone: tuple[str, ...]
) -> None:
    run = Path(shutil.copytree(dates_run.path, tmp_path / "run"))
    for name in ("recipe.toml", *also_gone, *(() if sums else ("sums.json",))):
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    before = tiny.everything_in(tmp_path)
    with pytest.raises(RunError, match=r"recipe\.toml is missing"):
        train(tiny.recipe(model=tiny.GRU), run, resume=resume)
    assert tiny.everything_in(tmp_path) == before


def test_another_recipe_cannot_resume(tmp_path: Path) -> None:
    train(tiny.recipe(training={"steps": 2}), tmp_path / "run")
    before = tiny.everything_in(tmp_path)
    with pytest.raises(RunError, match="the recipe is not the one") as caught:
        train(tiny.recipe(training={"steps": 3}, model=tiny.GRU), tmp_path / "run", resume=True)
    assert "training.steps (2 before, 3 now)" in caught.value.why
    assert "model.encoder.kind" in caught.value.why
    assert tiny.everything_in(tmp_path) == before


def test_what_cannot_be_prepared_leaves_nothing_behind(tmp_path: Path) -> None:
    missing = {"kind": "files", "source": str(tmp_path / "no"), "target": str(tmp_path / "no")}
    recipe = train_module.Recipe.parse({**tiny.values(), "data": missing}, origin="a test")
    with pytest.raises(DataError, match="there is no file"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_was_in_the_folder_stays_if_it_cannot_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    recipe = train_module.Recipe.parse(
        {**tiny.values(), "data": {"kind": "files", "source": "/no", "target": "/no"}}, origin="a test"
    )
    with pytest.raises(DataError, match="there is no file"):
        train(recipe, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_trained_run_whose_data_are_gone_is_an_error_and_keeps_its_recipe(tmp_path: Path) -> None:
    recipe = tiny.recipe(training={"steps": 2})
    run = train(recipe, tmp_path / "run")
    (run.path / "data.json").unlink()
    before = tiny.everything_in(run.path)
    with pytest.raises(RunError, match="not whole"):
        train(recipe, run.path, resume=True)
    assert tiny.everything_in(run.path) == before


def test_a_disk_that_is_full_at_a_checkpoint_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny.recipe(training={"save_every": 2})
    writes = 0

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def watch(report: TrainingEvent) -> None:
        nonlocal writes
        if report.update.step == 7:
            monkeypatch.setattr("atonce.runs.folder.save_file", full)

    with pytest.raises(DiskError, match="cannot write") as caught:
        train(recipe, tmp_path / "run", callbacks=[OnStep(watch)])
    assert "No space left on device" in caught.value.why
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000006"]
    monkeypatch.undo()
    train(recipe, tmp_path / "run", resume=True)
    whole = train(recipe, tmp_path / "whole")
    assert tiny.what_was_learned(tmp_path / "run") == tiny.what_was_learned(whole.path)


def test_a_run_can_be_used_while_it_trains(tmp_path: Path) -> None:
    texts: list[str] = []

    def watch(report: TrainingEvent) -> None:
        if report.update.step == 8:
            texts.append(Translator.load(tmp_path / "run").translate(["3 May 2001"], beam=1)[0].text)

    train(tiny.recipe(), tmp_path / "run", callbacks=[OnStep(watch)])
    assert len(texts) == 1


def test_it_is_a_run_folder(tmp_path: Path) -> None:
    recipe = tiny.recipe(training={"steps": 1})
    assert RunFolder.open(train(recipe, tmp_path / "run").path).recipe == recipe


def test_a_run_has_one_owner_while_it_is_trained(
    tmp_path: Path, prepared_dates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second training of it is refused, and takes nothing away from the first."""
    monkeypatch.setattr("atonce.disk.PATIENCE", 0.1)
    recipe = tiny.recipe()
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    tiny.begun(tmp_path / "whole", recipe, prepared_dates)
    refused = []

    def intruding(_: TrainingEvent) -> None:
        for resume in (False, True):
            with pytest.raises(RunError) as caught:
                train(recipe, run, resume=resume)
            refused.append(caught.value.what)

    train(recipe, run, resume=True, callbacks=[OnStep(intruding)])
    assert set(refused) == {f"{run} is in use: process {os.getpid()} trains here"}
    train(recipe, tmp_path / "whole", resume=True)
    assert tiny.what_was_learned(run) == tiny.what_was_learned(tmp_path / "whole")
    assert not (run / ".lock").exists()


def test_a_full_disk_before_anything_is_trained_is_tried_again_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("atonce.data.prepare.prepare_pairs", full)
    with pytest.raises(DiskError) as caught:
        train(tiny.recipe(), tmp_path / "run", quiet=True)
    assert "--resume" not in caught.value.fix
    assert not list(tmp_path.iterdir())


def test_the_weights_have_the_rights_that_the_umask_says(dates_run: RunFolder) -> None:
    """safetensors writes files that nobody else may read."""
    for path in dates_run.path.rglob("*"):
        wanted = dates_run.path / "recipe.toml" if path.is_file() else dates_run.path / "examples"
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(wanted.stat().st_mode), path
        assert stat.S_IMODE(path.stat().st_mode) & 0o400

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from atonce.data.batches import DataPosition
from atonce.errors import RunError
from atonce.models.build import build_model
from atonce.runs.folder import load_tensors, save_tensors
from atonce.training.checkpoint import Learner, Progress, load_checkpoint, save_checkpoint
from atonce.training.optimizers import WeightAverage, build_optimizers

PROGRESS = Progress(
    step=3,
    position=DataPosition(1, 2),
    planned_steps=9,
    seconds=1.5,
    least_cost=2.25,
    validations_since_best=1,
)


def a_learner(dim: int = 8, *, average: bool = True, seed: int = 1) -> Learner:
    torch.manual_seed(seed)
    recipe = tiny.recipe(model={**tiny.GRU, "dim": dim})
    model = build_model(recipe.model, 40)
    learner = Learner(
        model, build_optimizers(model, recipe.training), WeightAverage(model, 0.9) if average else None
    )
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    for optimizer in learner.optimizers:
        optimizer.step()
    if learner.average:
        learner.average.update(model)
    return learner


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, a_learner(), PROGRESS)
    return tmp_path


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    learner = a_learner()
    save_checkpoint(tmp_path / "first", learner, PROGRESS)
    drawn = torch.rand(3)
    other = a_learner(seed=2)
    assert load_checkpoint(tmp_path / "first", other) == PROGRESS
    assert torch.equal(torch.rand(3), drawn), "the random state too"
    save_checkpoint(tmp_path / "first", learner, PROGRESS)
    load_checkpoint(tmp_path / "first", other)
    save_checkpoint(tmp_path / "second", other, PROGRESS)
    states = [tmp_path / name / "step-00000003" / "state.safetensors" for name in ("first", "second")]
    one, two = (tiny.tensor_bytes(state) for state in states)
    assert one == two
    assert any(name.startswith("optimizer/1/") for name in one)


def test_another_version_of_torch_may_know_other_options(tmp_path: Path) -> None:
    """What has its sum is what was written: that an optimiser has more options since is no damage."""
    learner = a_learner()
    for optimizer in learner.optimizers:
        optimizer.param_groups[0]["of_another_version"] = True
    save_checkpoint(tmp_path, learner, PROGRESS)
    assert load_checkpoint(tmp_path, a_learner(seed=2)) == PROGRESS


def test_no_folder_and_an_empty_one_hold_no_checkpoint(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "missing", a_learner()) is None
    assert load_checkpoint(tmp_path, a_learner()) is None


def test_older_ones_go_and_the_newest_counts(folder: Path) -> None:
    later = Progress(step=12, position=DataPosition(3, 0))
    save_checkpoint(folder, a_learner(seed=5), later)
    assert [path.name for path in folder.iterdir()] == ["step-00000012"]
    assert load_checkpoint(folder, a_learner()) == later


def test_the_newest_counts_while_the_older_is_still_there(folder: Path) -> None:
    """As after a kill between the writing of one and the removal of the other."""
    shutil.copytree(folder / "step-00000003", folder.parent / "kept")
    later = Progress(step=12, position=DataPosition(3, 0))
    save_checkpoint(folder, a_learner(seed=5), later)
    shutil.copytree(folder.parent / "kept", folder / "step-00000003")
    assert load_checkpoint(folder, a_learner()) == later
    assert [path.name for path in folder.iterdir()] == ["step-00000012"]


def test_half_written_ones_are_not_seen(folder: Path) -> None:
    partial = folder / ".step-00000099.partial-123"
    partial.mkdir()
    (partial / "state.safetensors").write_bytes(b"half")
    assert load_checkpoint(folder, a_learner()) == PROGRESS


def test_it_is_json_and_safetensors(folder: Path) -> None:
    files = sorted((folder / "step-00000003").iterdir())
    assert [file.name for file in files] == ["progress.json", "state.safetensors"]
    progress = json.loads(files[0].read_text())
    assert progress["step"] == 3
    assert progress["position"] == [1, 2]
    assert "random" in tiny.tensor_bytes(files[1])


DAMAGES = {
    "truncated": lambda folder: _write(folder / "state.safetensors", lambda old: old[: len(old) // 2]),
    "no tensors": lambda folder: (folder / "state.safetensors").unlink(),
    "no progress": lambda folder: (folder / "progress.json").unlink(),
    "broken JSON": lambda folder: _write(folder / "progress.json", lambda old: old[:-20]),
    "not UTF-8": lambda folder: _write(folder / "progress.json", lambda old: b"\xff" + old),
    "another JSON": lambda folder: _write(folder / "progress.json", lambda _: b"[1, 2]"),
    "a number": lambda folder: _write(folder / "progress.json", lambda _: b"3"),
    "unknown key": lambda folder: _write(folder / "progress.json", lambda old: b'{"x": 1,' + old[1:]),
    "fewer keys": lambda folder: _write(folder / "progress.json", lambda _: b'{"step": 3, "optimizers": []}'),
}


def _write(path: Path, change: object) -> None:
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_says_what_is_wrong_and_what_to_do(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder / "step-00000003")
    with pytest.raises(RunError) as caught:
        load_checkpoint(folder, a_learner())
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "damaged" in lines[0]
    assert "step-00000003" in lines[0]
    assert "restore it from a copy" in lines[2]


def test_one_bit_is_found_or_means_nothing(folder: Path) -> None:
    """The law, but for clocks: how long it took decides nothing where steps are given."""
    for name in ("state.safetensors", "progress.json"):
        path = folder / "step-00000003" / name
        whole = path.read_bytes()
        for at in range(0, len(whole), len(whole) // 15):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 2]) + whole[at + 1 :])
            progress = None
            with suppress(RunError):
                progress = load_checkpoint(folder, a_learner(seed=3))
            if progress is None:
                continue
            assert replace(progress, seconds=1.5) == PROGRESS
            assert name == "progress.json"
        path.write_bytes(whole)
    assert load_checkpoint(folder, a_learner()) == PROGRESS


def test_where_the_newest_is_damaged_the_one_before_is_gone_on_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder.with_name("kept-until-the-next")
    shutil.copytree(folder / "step-00000003", kept)
    save_checkpoint(folder, a_learner(seed=5), Progress(step=12, position=DataPosition(3, 0)))
    shutil.copytree(kept, folder / "step-00000003")
    _write(folder / "step-00000012" / "state.safetensors", lambda old: old[:-1] + bytes([old[-1] ^ 1]))
    learner = a_learner(seed=2)
    assert load_checkpoint(folder, learner) == PROGRESS
    assert [path.name for path in folder.iterdir()] == ["step-00000003"], "the other is trained again"
    said = capsys.readouterr().err
    assert "step-00000012 is damaged" in said
    assert "step-00000003" in said
    save_checkpoint(folder.parent / "again", learner, PROGRESS)
    one, two = (
        tiny.tensor_bytes(at / "step-00000003" / "state.safetensors")
        for at in (folder, folder.parent / "again")
    )
    assert one == two


def two_of_them(folder: Path) -> list[str]:
    """Step 3 and step 12, both whole, as a kill may leave them."""
    shutil.copytree(folder / "step-00000003", folder / "kept")
    save_checkpoint(folder, a_learner(seed=5), Progress(step=12, position=DataPosition(3, 0)))
    (folder / "kept").rename(folder / "step-00000003")
    return sorted(path.name for path in folder.iterdir())


def refusing(error: Exception) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


@pytest.mark.parametrize("name", ["safetensors", "sums", "progress"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.EACCES])
def test_what_the_system_does_not_give_is_not_called_damaged_nor_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    names = two_of_them(folder)
    place = {
        "safetensors": "atonce.runs.folder.load_file",
        "sums": "atonce.stored.sum_of_file",
        "progress": "atonce.stored.read_json",
    }[name]
    error = OSError(number, os.strerror(number), str(folder / "step-00000012"))
    monkeypatch.setattr(place, refusing(error))
    with pytest.raises(RunError) as caught:
        load_checkpoint(folder, a_learner())
    assert "damaged" not in str(caught.value)
    assert os.strerror(number) in caught.value.why
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_folder_that_may_not_be_listed_is_not_one_without_checkpoints(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", refusing(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(RunError, match="cannot read"):
        load_checkpoint(folder, a_learner())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
@pytest.mark.parametrize("place", ["atonce.runs.folder.load_file", "atonce.training.checkpoint.set_weights"])
def test_too_little_memory_is_not_called_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    names = two_of_them(folder)
    monkeypatch.setattr(place, refusing(error))
    with pytest.raises((MemoryError, RuntimeError)):
        load_checkpoint(folder, a_learner())
    assert sorted(path.name for path in folder.iterdir()) == names


def test_what_torch_cannot_do_with_a_whole_one_is_not_called_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = two_of_them(folder)
    monkeypatch.setattr(torch, "set_rng_state", refusing(RuntimeError("RNG state is wrong size\nC++ …")))
    with pytest.raises(RunError, match="as it was stored") as caught:
        load_checkpoint(folder, a_learner())
    assert caught.value.why == "RNG state is wrong size"
    assert sorted(path.name for path in folder.iterdir()) == names


def test_another_than_the_first_process_removes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = two_of_them(folder)
    load_checkpoint(folder, a_learner(), tidy=False)
    assert sorted(path.name for path in folder.iterdir()) == names
    (folder / "step-00000012" / "state.safetensors").write_bytes(b"")
    assert load_checkpoint(folder, a_learner(), tidy=False) == PROGRESS
    assert sorted(path.name for path in folder.iterdir()) == names
    assert capsys.readouterr().err == ""


def test_the_newest_is_the_one_of_the_largest_step(folder: Path) -> None:
    """From a hundred million on, names have a digit more."""
    for step in (99_999_999, 100_000_000, 100_000_001):
        progress = replace(PROGRESS, step=step)
        save_checkpoint(folder, a_learner(), progress)
        assert [path.name for path in folder.iterdir()] == [f"step-{step:08d}"]
        assert load_checkpoint(folder, a_learner()) == progress


def test_nothing_is_removed_where_all_are_damaged(folder: Path) -> None:
    shutil.copytree(folder / "step-00000003", folder / "step-00000012")
    for path in folder.glob("*/state.safetensors"):
        path.write_bytes(b"")
    before = tiny.everything_in(folder)
    with pytest.raises(RunError, match="step-00000012 is damaged"):
        load_checkpoint(folder, a_learner())
    assert tiny.everything_in(folder) == before


@pytest.fixture
def old(folder: Path) -> Path:
    """A checkpoint of a version before there were sums."""
    path = folder / "step-00000003" / "progress.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: values[key] for key in values if key not in ("sum", "sums")}))
    return folder


def test_a_loss_that_was_not_finite_is_no_damage(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_learner(), replace(PROGRESS, least_cost=float("inf")))
    assert load_checkpoint(tmp_path, a_learner()) == replace(PROGRESS, least_cost=float("inf"))


def test_an_old_one_is_gone_on_with(old: Path) -> None:
    assert load_checkpoint(old, a_learner(seed=2)) == PROGRESS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", -1), ("step", 3.0), ("step", "3"), ("step", True), ("step", 4), ("position", [1]),
        ("position", [1, -2]), ("position", "12"), ("planned_steps", 0), ("planned_steps", 1.5),
        ("seconds", None), ("seconds", "1"), ("seconds", -1), ("seconds", 1e400), ("least_cost", "x"),
        ("stopped_early", 1), ("skipped", None), ("threads", 1.5), ("threads", -1),
        ("optimizers", {}), ("optimizers", [[{}], [{}]]),
    ],
)  # fmt: skip
def test_old_progress_is_what_it_can_be(old: Path, key: str, value: object) -> None:
    path = old / "step-00000003" / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(RunError, match="step-00000003 is damaged") as error:
        load_checkpoint(old, a_learner())
    assert len(str(error.value).splitlines()) == 3


def test_old_options_of_an_optimiser_are_those_of_the_recipe(old: Path) -> None:
    path = old / "step-00000003" / "progress.json"
    path.write_text(path.read_text().replace('"lr": 0.015', '"lr": 0.016'))
    with pytest.raises(RunError, match="step-00000003 is damaged"):
        load_checkpoint(old, a_learner())


STATES = {
    "not finite": lambda name, one: {name: torch.full_like(one, torch.nan)},
    "of another type": lambda name, one: {name: one.double()},
    "of another shape": lambda name, one: {name: one.flatten()[:-1]},
    "of no training": lambda name, one: {f"x{name}": one},
}


@pytest.mark.parametrize("damage", STATES)
@pytest.mark.parametrize("part", ["model/", "average/", "optimizer/0/", "optimizer/1/"])
def test_an_old_state_is_what_it_can_be(old: Path, part: str, damage: str) -> None:
    path = old / "step-00000003" / "state.safetensors"
    tensors = load_tensors(path)
    name = next(name for name in sorted(tensors) if name.startswith(part) and tensors[name].ndim)
    one = tensors.pop(name)
    save_tensors(path, {**tensors, **STATES[damage](name, one)})
    with pytest.raises(RunError, match="step-00000003 is damaged") as error:
        load_checkpoint(old, a_learner())
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("other", [{"dim": 12}, {"average": False}])
def test_one_of_another_model(tmp_path: Path, other: dict[str, int]) -> None:
    save_checkpoint(tmp_path, a_learner(**other), PROGRESS)
    with pytest.raises(RunError, match="damaged") as caught:
        load_checkpoint(tmp_path, a_learner())
    assert len(str(caught.value).splitlines()) == 3

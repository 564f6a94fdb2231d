import re
import shutil
from pathlib import Path

import pytest
import torch

import atonce
import tiny
from atonce.decoding.opening import load_translator
from atonce.errors import DiskError, RunError
from atonce.runs.folder import RunFolder, load_tensors, save_tensors
from atonce.runs.recipe import FORMAT, dumps

RECIPE = tiny.recipe()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", RECIPE)


@pytest.fixture
def trained(dates_run: RunFolder, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(dates_run.path, tmp_path / "trained"))


def said(path: Path) -> list[str]:
    """The three lines about why the model of a run cannot be used."""
    with pytest.raises(RunError) as caught:
        load_translator(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    return lines


def test_create_and_open(run: RunFolder) -> None:
    opened = RunFolder.open(str(run.path))
    assert opened.recipe == RECIPE
    assert (run.path / "recipe.toml").read_text(encoding="utf-8") == dumps(RECIPE)


def test_create_twice(run: RunFolder) -> None:
    before = tiny.everything_in(run.path)
    with pytest.raises(RunError, match="already holds a run") as caught:
        RunFolder.create(run.path, tiny.recipe(model=tiny.GRU))
    assert "--resume" in caught.value.fix
    assert tiny.everything_in(run.path) == before


def test_create_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(DiskError, match="cannot write"):
        RunFolder.create(tmp_path / "run", RECIPE)
    assert (tmp_path / "run").read_text() == "a file"


def test_open_what_is_not_there(tmp_path: Path) -> None:
    what, why, fix = said(tmp_path / "no")
    assert what == f"{tmp_path / 'no'} is not a run folder"
    assert why == "  why: there is no such folder"
    assert "atonce train" in fix


def test_open_what_is_no_run(tmp_path: Path) -> None:
    assert said(tmp_path)[1] == "  why: it holds no recipe.toml"
    (tmp_path / "file").write_text("")
    assert said(tmp_path / "file")[0].startswith("cannot read")


@pytest.mark.parametrize(("newer", "shown"), [(FORMAT + 1, str(FORMAT + 1)), ('"2a"', "2a")])
def test_a_newer_format(trained: Path, newer: object, shown: str) -> None:
    recipe = trained / "recipe.toml"
    text = recipe.read_text().replace(f"format = {FORMAT}", f"format = {newer}")
    recipe.write_text(text + '\n[something_new]\nkey = "value"\n')
    what, why, fix = said(trained)
    assert what == f"{trained} was written by a newer atonce"
    assert why == f"  why: its format is {shown}, and this version reads up to {FORMAT}"
    assert fix == "  fix: pip install --upgrade atonce"


@pytest.mark.parametrize("content", [b"format = 1\n[data", b"\xff\xfe", b"format = = 1"])
def test_a_broken_recipe(trained: Path, content: bytes) -> None:
    (trained / "recipe.toml").write_bytes(content)
    assert said(trained)[0] == f"{trained / 'recipe.toml'} is damaged"


def test_no_weights_yet(trained: Path) -> None:
    for name in ("model.safetensors", "sums.json"):
        (trained / name).unlink()
    what, _, fix = said(trained)
    assert what == f"{trained} has no weights yet"
    assert "--resume" in fix


@pytest.mark.parametrize("content", [b"", b"half", b"\xff" * 1000])
def test_damaged_weights(trained: Path, content: bytes) -> None:
    (trained / "model.safetensors").write_bytes(content)
    assert said(trained)[0] == f"{trained / 'model.safetensors'} is damaged"


def test_weights_cut_off(trained: Path) -> None:
    path = trained / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert said(trained)[0] == f"{path} is damaged"


def test_weights_of_another_model(trained: Path) -> None:
    path = trained / "model.safetensors"
    RunFolder.open(trained).save_weights({"encoder.strange": torch.zeros(3)})
    what, why, _ = said(trained)
    assert what == f"{path} is damaged"
    assert "in the recipe's model" in why


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_tokenizer_that_is_missing_or_damaged(trained: Path, content: bytes | None) -> None:
    path = trained / "tokenizer.model"
    path.unlink() if content is None else path.write_bytes(content)
    assert said(trained)[0] == f"cannot read the tokenizer {path}"


def test_tensors_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3), "c": torch.zeros(0)}
    save_tensors(tmp_path / "x" / "t.safetensors", tensors)
    back = load_tensors(tmp_path / "x" / "t.safetensors")
    assert set(back) == set(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_the_log(run: RunFolder) -> None:
    assert run.read_log() == []
    for step in (1, 2, 3):
        run.log(step=step, text="é")
    assert run.read_log() == [{"step": step, "text": "é"} for step in (1, 2, 3)]
    run.rewind_log(2)
    assert [entry["step"] for entry in run.read_log()] == [1, 2]


@pytest.mark.parametrize("cut_off", ['{"step": 3', "{", '{"step": 3}'])
def test_a_last_line_that_was_cut_off_is_left_out(run: RunFolder, cut_off: str) -> None:
    run.log(step=2)
    with (run.path / "log.jsonl").open("a") as log:
        log.write(cut_off)
    assert run.read_log() == [{"step": 2}]
    run.rewind_log(2)
    run.log(step=3)
    assert run.read_log() == [{"step": 2}, {"step": 3}]


@pytest.mark.parametrize("content", [b"{\n{}\n", b"\xff\n", b"3\n", b'{"loss": 2}\n'])
def test_a_damaged_log(run: RunFolder, content: bytes) -> None:
    (run.path / "log.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=r"log\.jsonl is damaged"):
        run.read_log()


def test_sweep_takes_only_what_is_half_written(run: RunFolder) -> None:
    keep = run.checkpoints / "step-00000001" / "state.safetensors"
    keep.parent.mkdir(parents=True)
    keep.write_bytes(b"whole")
    (run.path / ".recipe.toml.partial-1").write_bytes(b"half")
    (run.checkpoints / ".step-00000002.partial-1").mkdir()
    run.sweep()
    assert set(tiny.everything_in(run.path)) == {
        *("recipe.toml", "sums.json", "checkpoints/step-00000001/state.safetensors")
    }
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000001"]


def test_nothing_is_pickled() -> None:
    """A run folder from a stranger can be opened: nothing in it can be code."""
    executes = re.compile(r"torch\.(load|save)\b|\b(pickle|dill|joblib|shelve|marshal)\b|allow_pickle")
    for path in Path(atonce.__file__).parent.rglob("*.py"):
        assert not executes.search(path.read_text(encoding="utf-8")), path


def test_no_file_of_a_run_is_a_pickle_or_an_archive(dates_run: RunFolder) -> None:
    for name, content in tiny.everything_in(dates_run.path).items():
        assert not content.startswith((b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")), name

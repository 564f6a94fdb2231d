import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import atonce
import tiny
from atonce import stored
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.errors import DiskError, RunError
from atonce.runs.folder import RunFolder, load_tensors, save_tensors
from atonce.runs.json_lines import JsonLines
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
        Translator.load(path)
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


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a." * 500 + b"b = 1", "it goes deeper than 16 sections"),
        (b"a = " + b"[" * 100 + b"]" * 100, "it goes deeper than 16 sections"),
        (b"a = 1" + b"0" * 30, "more than 20 digits"),
        (b"# as long as no recipe\n" * 100_000, "it has 2,300,000 bytes"),
    ],
)
def test_a_recipe_that_would_take_the_memory(trained: Path, content: bytes, why: str, sums: bool) -> None:
    (trained / "recipe.toml").write_bytes(content)
    if not sums:
        (trained / "sums.json").unlink()
    what, said_why, _ = said(trained)
    assert what == f"{trained / 'recipe.toml'} is damaged"
    assert why in said_why


def test_no_weights_yet(trained: Path) -> None:
    for name in ("model.safetensors", "sums.json", "log.jsonl"):
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


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (lambda whole: whole.replace(b"\n", b"\r\n"), "CRLF"),
    ],
)
def test_what_git_made_of_weights_is_told(trained: Path, change: Callable[[bytes], bytes], why: str) -> None:
    path = trained / "model.safetensors"
    RunFolder.open(trained).save_weights({"weight": torch.full((3,), 10, dtype=torch.uint8)})  # line ends
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RunError) as caught:
        RunFolder.open(trained).load_weights()
    assert caught.value.what == f"{path} is damaged"
    assert why in caught.value.why


def test_weights_of_another_model(trained: Path) -> None:
    path = trained / "model.safetensors"
    RunFolder.open(trained).save_weights({"encoder.strange": torch.zeros(3)})
    what, why, _ = said(trained)
    assert what == f"{path} is damaged, or tokenizer.model or recipe.toml beside it"
    assert "in the model that is made by these" in why


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_tokenizer_that_is_missing_or_damaged(trained: Path, content: bytes | None) -> None:
    path = trained / "tokenizer.model"
    path.unlink() if content is None else path.write_bytes(content)
    assert said(trained)[0] == f"{path} is damaged"


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


def test_the_sum_of_a_log_is_that_of_all_its_lines(run: RunFolder) -> None:
    """As in the checkpoints of earlier versions, which read all lines for it."""
    assert run.sums_of_lines() == {}
    run.rewind_log(0)
    for count in range(4):
        entries = [{"step": step, "loss": step / 3, "text": "é"} for step in range(count)]
        assert run.sums_of_lines()["log.jsonl"] == {"lines": count, "sha256": stored.digest(entries)}
        assert RunFolder.open(run.path).sums_of_lines() == run.sums_of_lines()
        run.log(step=count, loss=count / 3, text="é", seconds=count * 0.1)


def test_a_checkpoint_does_not_read_the_log_again(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.log(step=1)
    run.rewind_log(1)
    with monkeypatch.context() as patch:
        patch.setattr(stored, "lines", lambda _: pytest.fail("it was read"))
        run.log(step=2)
        assert run.sums_of_lines()["log.jsonl"]["lines"] == 2
    (run.path / "log.jsonl").write_text('{"step": 3}\n')
    found = {"lines": 1, "sha256": stored.digest([{"step": 3}])}
    assert run.sums_of_lines()["log.jsonl"] == found, "somebody else wrote there"
    (run.path / "log.jsonl").write_text('{"step": 3}\n{"st')
    assert run.sums_of_lines()["log.jsonl"] == found
    (run.path / "log.jsonl").write_text("{}\n")
    assert run.sums_of_lines() == {}


def test_a_log_may_be_of_any_length(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 1000)
    for module in ("folder", "json_lines"):
        monkeypatch.setattr(f"atonce.runs.{module}.MOST_LISTED", 1000)
    for step in range(1, 1001):
        run.log(step=step, loss=1.5)
    steps = [entry["step"] for entry in run.read_log(["loss"])]
    assert 15 < len(steps) < 60
    assert (steps[0], steps[-1]) == (1, 1000)
    assert len({after - before for before, after in itertools.pairwise(steps[:-1])}) == 1
    run.rewind_log(700)
    assert run.read_log()[-1]["step"] == 700
    assert run.sums_of_lines()["log.jsonl"]["lines"] == 700
    with pytest.raises(RunError, match="more than 1,000 bytes"):
        JsonLines(run.path / "log.jsonl", required="step", if_deleted="").read()


def test_a_line_without_an_end_is_not_read(run: RunFolder) -> None:
    (run.path / "log.jsonl").touch()
    os.truncate(run.path / "log.jsonl", 1 << 40)
    with pytest.raises(RunError, match=r"log\.jsonl is damaged") as caught:
        run.read_log()
    assert "it has a line of 67,108,864 bytes or more" in caught.value.why


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
    (keep.parent / ".progress.json.partial-1-1").mkdir()
    (run.checkpoints / ".step-00000002.partial-1").mkdir()
    run.sweep()
    assert set(tiny.everything_in(run.path)) == {
        *("recipe.toml", "sums.json", "checkpoints/step-00000001/state.safetensors")
    }
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000001"]
    assert [path.name for path in keep.parent.iterdir()] == ["state.safetensors"]


def test_nothing_is_pickled() -> None:
    """A run folder from a stranger can be opened: nothing in it can be code."""
    executes = re.compile(r"torch\.(load|save)\b|\b(pickle|dill|joblib|shelve|marshal)\b|allow_pickle")
    for path in Path(atonce.__file__).parent.rglob("*.py"):
        assert not executes.search(path.read_text(encoding="utf-8")), path


def test_no_file_of_a_run_is_a_pickle_or_an_archive(dates_run: RunFolder) -> None:
    for name, content in tiny.everything_in(dates_run.path).items():
        assert not content.startswith((b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")), name


def flipped(path: Path, at: int, bit: int = 4) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(content)


def test_one_bit_of_any_file_is_found_or_means_nothing(trained: Path) -> None:
    """The law: three lines that name the file, or what the whole run gives."""
    texts = ["3 May 2001", "Donnerstag, 7. Juni 1990"]
    expected = Translator.load(trained).outputs(texts)
    names = ("recipe.toml", "tokenizer.model", "model.safetensors", "sums.json", "data.json")
    for path in (trained / name for name in names):
        whole = path.read_bytes()
        for at in range(0, len(whole), len(whole) // 7):
            flipped(path, at)
            if path.name == "data.json":  # which a translator does not read
                assert Translator.load(trained).outputs(texts) == expected
            elif path.name == "sums.json":  # where a blank or two may be others
                with suppress(RunError):
                    assert Translator.load(trained).outputs(texts) == expected
            else:
                assert str(path) in said(trained)[0]
            path.write_bytes(whole)


def test_one_bit_of_the_prepared_data_is_found(trained: Path) -> None:
    for path in [trained / "data.json", *(trained / "examples").rglob("*.*")]:
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            flipped(path, at)
            with pytest.raises(RunError) as error:
                open_prepared(trained)
            assert path.name in str(error.value)
            path.write_bytes(whole)
    open_prepared(trained)


def test_a_recipe_cut_short_is_no_recipe_with_defaults(trained: Path) -> None:
    path = trained / "recipe.toml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: lines.index("[decoding]\n")]), encoding="utf-8")
    what, why, fix = said(trained)
    assert what == f"{path} is damaged"
    assert "bytes long" in why
    assert f"delete {trained / 'sums.json'}" in fix
    (trained / "sums.json").unlink()
    assert RunFolder.open(trained).recipe.decoding.beam == 4, "as it is then"


def test_a_model_or_a_recipe_that_was_there_is_missing(trained: Path) -> None:
    (trained / "model.safetensors").unlink()
    assert said(trained)[0] == f"{trained / 'model.safetensors'} is damaged"
    (trained / "recipe.toml").unlink()
    assert said(trained)[1] == "  why: it is missing"


def test_what_else_lies_in_the_folder_may_be_kept_from_us(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to nothing, for which no right can be had, or what a mount's root has."""
    (trained / "notes").symlink_to("/gone")
    (trained / "lost+found").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, rights: "lost" not in str(path) and real(path, rights))
    Translator.load(trained)
    open_prepared(trained)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model", "recipe.toml"])
def test_a_link_to_nothing_is_not_called_another_users(trained: Path, name: str) -> None:
    (trained / name).unlink()
    (trained / name).symlink_to("/gone")
    assert "another user" not in " ".join(said(trained))


def test_a_copy_under_another_name_is_as_good(trained: Path, tmp_path: Path) -> None:
    shutil.move(trained, tmp_path / "elsewhere")
    Translator.load(tmp_path / "elsewhere")
    open_prepared(tmp_path / "elsewhere")


@pytest.fixture
def old(trained: Path) -> Path:
    """As versions before there were sums left it."""
    (trained / "sums.json").unlink()
    (progress,) = trained.glob("checkpoints/*/progress.json")
    values = json.loads(progress.read_text())
    progress.write_text(json.dumps({key: values[key] for key in values.keys() - {"sum", "sums"}}))
    return trained


TENSORS = {
    "NaN": lambda one: torch.full_like(one, torch.nan),
    "infinite": lambda one: torch.full_like(one, -torch.inf),
    "of half precision": lambda one: one.half(),
    "of whole numbers": lambda one: one.long(),
    "of another shape": lambda one: one[:-1],
    "a number": lambda one: one.sum(),
}


@pytest.mark.parametrize("damage", TENSORS)
def test_an_old_run_has_weights_that_can_be(old: Path, damage: str) -> None:
    path = old / "model.safetensors"
    weights = load_tensors(path)
    name = sorted(weights)[0]
    save_tensors(path, {**weights, name: TENSORS[damage](weights[name]).clone()})
    what, why, _ = said(old)
    assert what in (f"{path} is damaged", f"{path} is damaged, or tokenizer.model or recipe.toml beside it")
    assert name in why


def test_an_old_run_opens_as_before(old: Path, dates_run: RunFolder) -> None:
    assert Translator.load(old).outputs(["3 May"]) == Translator.load(dates_run.path).outputs(["3 May"])
    open_prepared(old)
    assert RunFolder.open(old).read_log() == dates_run.read_log()


@pytest.mark.parametrize(
    ("name", "old_text", "new"),
    [
        ("data.json", '"train_pairs": ', '"train_pairs": 1'),
        ("data.json", '"about": "', '"about": 3, "x": "'),
        ("examples/train/examples.json", '"pairs": ', '"pairs": -'),
        ("examples/train/examples.json", "uint16", "object"),
        ("examples/test.jsonl", '{"source": "', '{"source": 3, "x": "'),
        ("examples/test.jsonl", '{"source": "', '{"source": "\\ud800'),
    ],
)
def test_old_prepared_data_are_what_they_can_be(old: Path, name: str, old_text: str, new: str) -> None:
    path = old / name
    text = path.read_text(encoding="utf-8")
    assert old_text in text
    path.write_text(text.replace(old_text, new, 1), encoding="utf-8")
    with pytest.raises(RunError) as error:
        open_prepared(old)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("number", [-1, 1 << 40, 0])
def test_old_offsets_that_lead_elsewhere(old: Path, number: int) -> None:
    path = old / "examples" / "train" / "offsets.bin"
    offsets = np.fromfile(path, np.int64)
    offsets[2] = number
    offsets.tofile(path)
    with pytest.raises(RunError, match="is damaged"):
        open_prepared(old)


def test_old_ids_that_are_no_tokens(old: Path) -> None:
    path = old / "examples" / "train" / "pieces.bin"
    tokens = np.fromfile(path, np.uint16)
    tokens[3] = 60_000
    tokens.tofile(path)
    with pytest.raises(RunError, match="is damaged"):
        open_prepared(old)


STRANGE = {
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "terabyte": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.parametrize("instead", STRANGE)
@pytest.mark.parametrize("name", ["recipe.toml", "tokenizer.model", "model.safetensors"])
@pytest.mark.parametrize("sums", [True, False])
def test_what_is_no_file_is_not_waited_for(trained: Path, name: str, instead: str, sums: bool) -> None:
    if not sums:
        (trained / "sums.json").unlink()
    (trained / name).unlink()
    STRANGE[instead](trained / name)
    with pytest.raises(RunError) as error:
        Translator.load(trained)
    assert str(trained) in str(error.value)


def test_a_log_that_is_not_what_was_written_by_the_last_checkpoint(trained: Path) -> None:
    path = trained / "log.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    first = json.loads(lines[0])
    path.write_text("".join([json.dumps({**first, "loss": first["loss"] + 1e-4}) + "\n", *lines[1:]]))
    with pytest.raises(RunError, match=r"log\.jsonl is damaged"):
        RunFolder.open(trained).read_log()
    path.write_text("".join(lines[:-1]))
    with pytest.raises(RunError, match=r"log\.jsonl is damaged"):
        RunFolder.open(trained).read_log()
    path.write_text("".join([*lines, '{"step": 99, "seconds": 1e9}\n']))
    assert len(RunFolder.open(trained).read_log()) == len(lines) + 1, "it may have grown since"


@pytest.mark.parametrize(
    "line", ['{"step": 1, "loss": "x"}', '{"step": true}', '{"step": 1e400}', '{"step": 1, "seconds": null}']
)
def test_numbers_of_a_log_are_numbers(run: RunFolder, line: str) -> None:
    (run.path / "log.jsonl").write_text(line + "\n")
    with pytest.raises(RunError, match=r"log\.jsonl is damaged"):
        run.read_log()


@pytest.mark.parametrize(
    "text",
    [
        '{"signatures": 3}',
        '{"signatures": {"bleu": 1}}',
        '{"bleu": "x", "signatures": {"bleu": "s"}}',
        "[]",
        "[",
    ],
)
def test_scores_that_are_none(run: RunFolder, text: str) -> None:
    (run.path / "scores.json").write_text(text)
    with pytest.raises(RunError, match=r"scores\.json is damaged"):
        run.read_scores()

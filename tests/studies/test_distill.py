import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.disk import owned
from atonce.errors import DataError, DiskError, RunError
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import load
from atonce.studies import distill as module
from atonce.studies.distill import distill, student_of
from atonce.studies.experiment import train


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def distilled(dates_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distill(dates_run.path, tmp_path_factory.mktemp("distilled") / "text", beam=2, quiet=True).parent


@pytest.fixture(scope="module")
def student(distilled: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    recipe = load(distilled / "recipe.toml", ["training.steps=2", "training.validate_every=2"])
    return train(recipe, tmp_path_factory.mktemp("students") / "student", quiet=True).run


def test_each_source_has_what_people_wrote_and_what_the_teacher_writes(
    distilled: Path, dates_run: RunFolder
) -> None:
    prepared, teacher = open_prepared(dates_run.path), Translator.load(dates_run.path)
    sources, targets = lines(distilled / "train.source"), lines(distilled / "train.target")
    assert len(sources) == len(targets) == 2 * len(prepared.train)
    assert sources[::2] == sources[1::2]
    first = [prepared.tokenizer.decode(tokens.tolist()) for tokens in prepared.train[0]]
    assert [sources[0], targets[0]] == first
    assert targets[1::2] == teacher.outputs(sources[1::2], beam=2)


def test_what_is_judged_by_stays_as_people_wrote_it(distilled: Path, dates_run: RunFolder) -> None:
    prepared = open_prepared(dates_run.path)
    for split, pairs in (("valid", prepared.valid_pairs), ("test", prepared.test_pairs)):
        assert lines(distilled / f"{split}.source") == [pair.source for pair in pairs]
        assert lines(distilled / f"{split}.target") == [pair.target for pair in pairs]


def test_a_student_learns_from_it(distilled: Path, student: RunFolder) -> None:
    recipe = load(distilled / "recipe.toml")
    assert (recipe.model.encoder.layers, recipe.model.decoder.layers) == (4, 2)
    assert recipe.model.dim == tiny.TRANSFORMER["dim"]
    assert recipe.training.steps == 3 * tiny.TRAINING["steps"]
    assert Translator.load(student.path).translate(["3 May 1999"])


def test_a_student_knows_the_languages_of_its_teacher(tmp_path: Path) -> None:
    teacher = load("tatoeba", ["data.target=fr"])
    assert student_of(teacher, tmp_path).data.languages == ("en", "fr")
    assert student_of(load("dates"), tmp_path).data.languages == (None, None)


def test_further_text_is_translated_too(dates_run: RunFolder, tmp_path: Path) -> None:
    prepared, teacher = open_prepared(dates_run.path), Translator.load(dates_run.path)
    (tmp_path / "more").write_text("3 May  1999\n\n 4 June 2001\n", encoding="utf-8")
    recipe = distill(dates_run.path, tmp_path / "text", beam=1, more=tmp_path / "more", quiet=True)
    sources = lines(recipe.parent / "train.source")
    assert sources[2 * len(prepared.train) :] == ["3 May 1999", "4 June 2001"]
    assert lines(recipe.parent / "train.target")[-2:] == teacher.outputs(sources[-2:], beam=1)


def test_another_run_may_translate(runs: dict[str, Path], student: RunFolder, tmp_path: Path) -> None:
    recipe = distill(runs["texts"], tmp_path / "text", by=student.path, beam=1, quiet=True)
    sources = lines(recipe.parent / "train.source")[1::2]
    outputs = Translator.load(student.path).outputs(sources, beam=1)
    assert lines(recipe.parent / "train.target")[1::2] == outputs
    with pytest.raises(RunError, match="trained for"):
        distill(runs["labels"], tmp_path / "other", by=student.path, quiet=True)


def test_further_text_that_cannot_be_read_leaves_nothing(dates_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        distill(dates_run.path, tmp_path / "text", more=tmp_path / "nowhere", quiet=True)
    assert tiny.everything_in(tmp_path) == {}


def test_a_folder_that_is_there_is_left_alone(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(RunError, match="there already"):
        distill(dates_run.path, tmp_path, quiet=True)
    assert tiny.everything_in(tmp_path) == {"mine": b"precious"}


@pytest.mark.parametrize("folder", [".", "/", "..", "./"])
def test_a_folder_without_a_name_is_there_already(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(RunError, match="is there already"):
        distill(dates_run.path, folder, quiet=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_a_run_whose_report_has_no_sum_of_its_text(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the stored examples tell it from another text."""
    monkeypatch.setattr(module, "AT_ONCE", 50)
    run = tmp_path / "run"
    shutil.copytree(dates_run.path, run)
    (run / "sums.json").unlink()
    report = json.loads((run / "data.json").read_text())
    del report["training_sha256"]
    (run / "data.json").write_text(json.dumps(report))
    with monkeypatch.context() as patched:
        killed_after(100, patched)
        with pytest.raises(Killed):
            distill(run, tmp_path / "text", beam=1, quiet=True)
    tokens = run / "examples" / "train" / "pieces.bin"
    ids = np.fromfile(tokens, np.uint16)
    ids[0] = ids[1]
    ids.tofile(tokens)
    with monkeypatch.context() as patched:
        translated = killed_after(10**9, patched)
        distill(run, tmp_path / "text", beam=1, quiet=True)
    assert sum(translated) == len(open_prepared(run).train), "another text is begun anew"


def test_only_texts_of_texts(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not for translation or summarization"):
        distill(runs["labels"], tmp_path / "new", quiet=True)
    assert not (tmp_path / "new").exists()


class Killed(BaseException):
    """Not an Exception, as nobody may catch it."""


def killed_after(texts: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill distillations once so many texts are translated. Gives how many were, each time."""
    translated: list[int] = []
    outputs = Translator.outputs

    def counting(self: Translator, sources: list[str], **options: Any) -> list[str]:
        if sum(translated) >= texts:
            raise Killed
        translated.append(len(sources))
        return outputs(self, sources, **options)

    monkeypatch.setattr(Translator, "outputs", counting)
    return translated


def test_one_that_was_killed_goes_on_where_it_was(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 50)
    options: dict[str, Any] = {"beam": 1, "quiet": True}
    total = len(open_prepared(dates_run.path).train)
    folder = tmp_path / "text"
    distill(dates_run.path, folder, **options)
    whole = tiny.everything_in(folder)
    shutil.rmtree(folder)

    with monkeypatch.context() as patched:
        killed_after(100, patched)
        with pytest.raises(Killed):
            distill(dates_run.path, folder, **options)
    assert [path.name for path in tmp_path.iterdir()] == [".text.unfinished"]
    with (tmp_path / ".text.unfinished" / "corpus" / "train.source").open("a") as file:
        file.write("what was being wri")
    with monkeypatch.context() as patched:
        translated = killed_after(10**9, patched)
        distill(dates_run.path, folder, **options)
    assert sum(translated) == total - 100
    assert tiny.everything_in(tmp_path) == {f"text/{name}": content for name, content in whole.items()}


@pytest.mark.parametrize("changed", ["beam", "text", "kept"])
def test_what_is_kept_of_another_or_damaged_is_begun_anew(
    dates_run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: str,
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 50)
    with monkeypatch.context() as patched:
        killed_after(100, patched)
        with pytest.raises(Killed):
            distill(dates_run.path, tmp_path / "text", beam=1)
    unfinished = tmp_path / ".text.unfinished"
    if changed == "text":
        path = unfinished / "corpus" / "train.target"
        path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    elif changed == "kept":
        (unfinished / "kept.json").write_text("{}")
    distill(dates_run.path, tmp_path / "text", beam=2 if changed == "beam" else 1)
    assert "begun anew" in capsys.readouterr().err
    distill(dates_run.path, tmp_path / "whole", beam=2 if changed == "beam" else 1)
    for side in ("source", "target"):
        assert lines(tmp_path / "text" / f"train.{side}") == lines(tmp_path / "whole" / f"train.{side}")
    assert {path.name for path in tmp_path.iterdir()} == {"text", "whole"}


def test_one_that_was_killed_when_all_was_done_leaves_nothing(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(source: Path, target: Path) -> None:
        source.replace(target)
        raise Killed

    monkeypatch.setattr(module, "move", dying)
    with pytest.raises(Killed):
        distill(dates_run.path, tmp_path / "text", beam=1, quiet=True)
    whole = tiny.everything_in(tmp_path / "text")
    with pytest.raises(RunError, match="there already"):
        distill(dates_run.path, tmp_path / "text", beam=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    assert tiny.everything_in(tmp_path / "text") == whole


def test_a_full_disk_is_told_with_what_goes_on(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        with pytest.raises(DiskError) as caught:
            distill(dates_run.path, tmp_path / "text", beam=1, quiet=True)
    assert caught.value.fix == "make room, then run the same command again: it goes on where it was"
    distill(dates_run.path, tmp_path / "text", beam=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_two_into_one_place(dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.disk.PATIENCE", 0.1)
    with (
        owned(tmp_path / ".text.unfinished", "distills"),
        pytest.raises(RunError, match=f"process {os.getpid()} distills here"),
    ):
        distill(dates_run.path, tmp_path / "text", quiet=True)
    assert not list(tmp_path.iterdir())

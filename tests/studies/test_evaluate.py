import shutil
from pathlib import Path

import pytest

from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError
from atonce.evaluation.significance import paired_bootstrap
from atonce.evaluation.translation import score
from atonce.runs.folder import RunFolder
from atonce.studies.evaluate import evaluate, pairs_to_score


def test_the_scores_are_those_of_the_outputs(dates_run: RunFolder) -> None:
    pairs = open_prepared(dates_run.path).test_pairs
    translations = Translator.load(dates_run.path).translate([pair.source for pair in pairs])
    outputs = [translation.text for translation in translations]
    done: list[int] = []
    evaluation = evaluate(dates_run.path, on_progress=done.append)
    assert list(evaluation.outputs) == outputs
    assert evaluation.scores == score(outputs, [pair.target for pair in pairs])
    assert evaluation.against is None
    assert sum(done) == len(pairs) == 6


def test_a_text_of_ones_own(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("3 May 2001\n\n4 May 2001\n")
    (tmp_path / "r").write_text("2001-05-03\n\n2001-05-04\n")
    evaluation = evaluate(dates_run.path, source=tmp_path / "s", reference=str(tmp_path / "r"))
    assert evaluation.scores.sentences == 3
    assert evaluation.outputs[1] == ""
    assert evaluation.scores.exact == pytest.approx(100 / 3), "what is empty on both sides is exact"


def test_texts_that_are_cut_and_one_alone(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("one\ntwo\n")
    (tmp_path / "r").write_text("one\n")
    with pytest.raises(DataError, match="has 2 lines"):
        pairs_to_score(dates_run, tmp_path / "s", tmp_path / "r")
    for alone in ({"source": tmp_path / "s"}, {"reference": tmp_path / "r"}):
        with pytest.raises(RecipeError, match="only one of source and reference"):
            evaluate(dates_run.path, **alone)


def test_against_another_run(dates_run: RunFolder, tmp_path: Path) -> None:
    evaluation = evaluate(dates_run.path, against=dates_run.path)
    references = [pair.target for pair in open_prepared(dates_run.path).test_pairs]
    assert evaluation.against == paired_bootstrap(evaluation.outputs, evaluation.outputs, references)
    assert "against" in evaluation.to_dict()
    with pytest.raises(RunError, match="not a run folder"):
        evaluate(dates_run.path, against=tmp_path)


def test_everything_is_scored_in_the_language_of_the_references(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("3 May 2001\n4 May 2001\n")
    (tmp_path / "r").write_text("二零零一年五月三日\n二零零一年五月四日\n", encoding="utf-8")
    evaluation = evaluate(
        dates_run.path, source=tmp_path / "s", reference=tmp_path / "r", against=dates_run.path
    )
    values = evaluation.to_dict()
    assert values["language"]["tag"] == "zh"
    assert values["language"]["origin"] == "script"
    for metric in ("bleu", "ter"):
        signature = values["signatures"][metric]
        assert ("tok:zh" if metric == "bleu" else "asian:yes") in signature
        assert values["against"]["metrics"][metric]["signature"].startswith(signature)


def test_the_beam_is_the_recipes_unless_given(dates_run: RunFolder) -> None:
    assert evaluate(dates_run.path).beam == 1
    wide = evaluate(dates_run.path, beam=3)
    assert wide.to_dict()["beam"] == wide.beam == 3
    pairs = open_prepared(dates_run.path).test_pairs
    outputs = Translator.load(dates_run.path).translate([pair.source for pair in pairs], beam=3)
    assert list(wide.outputs) == [output.text for output in outputs]


def test_a_run_without_its_data_scores_other_texts(dates_run: RunFolder, tmp_path: Path) -> None:
    """A run that was given away without its examples still works."""
    run = Path(shutil.copytree(dates_run.path, tmp_path / "run"))
    shutil.rmtree(run / "examples")
    (tmp_path / "text").write_text("3 May 2001\n")
    evaluate(run, source=tmp_path / "text", reference=tmp_path / "text")
    with pytest.raises(RunError, match=r"test\.jsonl is damaged\s+why: it is missing"):
        evaluate(run)
    (run / "sums.json").unlink()  # as runs of earlier versions
    with pytest.raises(RunError, match="not whole"):
        evaluate(run)

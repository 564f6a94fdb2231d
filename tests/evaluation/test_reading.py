import pytest
import sacrebleu

from atonce.errors import DataError
from atonce.evaluation.reading import score_readings

OUTPUTS, REFERENCES = ["123", "4567", "89"], ["123", "4568", "89"]


def test_exact_matches_and_sacrebleus_chrf() -> None:
    scores = score_readings(OUTPUTS, REFERENCES)
    assert scores.exact == pytest.approx(200 / 3)
    assert scores.chrf == sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES]).score
    assert scores.items == 3
    assert set(scores.signatures) == {"exact", "chrf"}
    assert scores.as_dict()["exact"] == scores.exact


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(DataError):
        score_readings([], [])

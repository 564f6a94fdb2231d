import pytest

from atonce.errors import DataError
from atonce.evaluation.classification import score_labels


def test_accuracy_is_the_share_of_right_labels() -> None:
    scores = score_labels(["a", "b", "b", "c"], ["a", "b", "c", "c"])
    assert scores.accuracy == 75
    assert scores.items == 4
    assert scores.as_dict()["accuracy"] == 75
    assert scores.columns == {"accuracy": 75}


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(DataError):
        score_labels([], [])
    with pytest.raises(DataError):
        score_labels(["a"], ["a", "b"])

"""A run is opened as what it was trained for: the same pipeline in training, Python and commands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atonce.data.images import ImagePair
from atonce.data.prepare import open_prepared
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.opening import load, load_classifier, load_reader, load_translator
from atonce.decoding.translator import Translator
from atonce.errors import RunError


def test_each_is_what_it_was_trained_for(runs: dict[str, Path]) -> None:
    assert {name: type(load(run)) for name, run in runs.items()} == {
        "texts": Translator,
        "labels": Classifier,
        "images": ImageReader,
    }


@pytest.mark.parametrize(
    ("opener", "good"),
    [
        (load_translator, "texts"),
        (load_classifier, "labels"),
        (load_reader, "images"),
    ],
)
def test_another_kind_is_refused_with_the_right_command(
    runs: dict[str, Path], opener: Callable[[Path], object], good: str
) -> None:
    opener(runs[good])
    for name, run in runs.items():
        if name != good:
            with pytest.raises(RunError, match="does not make") as error:
                opener(run)
            right = {"texts": "translate", "labels": "classify", "images": "read"}[name]
            assert error.value.fix == f"use: atonce {right} {run}"


def images_of(run: Path) -> list[np.ndarray]:
    return [pair.source for pair in open_prepared(run).test_pairs if isinstance(pair, ImagePair)]


def test_probabilities_sum_to_one_and_the_likeliest_is_the_label(runs: dict[str, Path]) -> None:
    classifier = load_classifier(runs["labels"])
    images = images_of(runs["labels"])
    for found in classifier.classify(images[:5]):
        shares = list(found.probabilities.values())
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert next(iter(found.probabilities)) == found.label
        assert set(found.probabilities) == set("0123456789")
    assert classifier.outputs(images) == [found.label for found in classifier.classify(images)]


@pytest.mark.parametrize("name", ["labels", "images"])
def test_an_image_does_not_depend_on_its_neighbours(runs: dict[str, Path], name: str) -> None:
    system, images = load(runs[name]), images_of(runs[name])
    assert system.outputs(images[:6]) == [system.outputs([image])[0] for image in images[:6]]
    assert system.outputs([]) == []


def test_best_readings_are_distinct_and_sorted(runs: dict[str, Path]) -> None:
    reader = load_reader(runs["images"])
    for reading in reader.read_images(images_of(runs["images"])[:3], nbest=3):
        scores = [one.score for one in reading.alternatives]
        assert scores == sorted(scores, reverse=True)
        assert len({one.text for one in reading.alternatives}) == len(scores)
        assert reading.text == reading.alternatives[0].text


def test_how_many_are_done_is_told(runs: dict[str, Path]) -> None:
    for name in ("labels", "images"):
        done: list[int] = []
        images = images_of(runs[name])
        load(runs[name]).outputs(images, advance=done.append)
        assert sum(done) == len(images)

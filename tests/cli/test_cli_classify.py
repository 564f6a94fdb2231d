"""`atonce classify` and `atonce read`: pictures in, a line each out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from atonce.data.images import ImagePair
from atonce.data.prepare import open_prepared
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.studies.experiment import train
from command import Command


def saved(run: Path, folder: Path, count: int = 3) -> tuple[list[Path], list[np.ndarray]]:
    """Test images as files, and their pixels."""
    pairs = [pair for pair in open_prepared(run).test_pairs if isinstance(pair, ImagePair)][:count]
    paths = [folder / f"{number}.png" for number in range(count)]
    for path, pair in zip(paths, pairs, strict=True):
        Image.fromarray(255 - pair.source).save(path)  # ink on white paper
    return paths, [pair.source for pair in pairs]


def test_a_line_for_each_picture_with_the_likeliest_labels(
    atonce: Command, runs: dict[str, Path], tmp_path: Path
) -> None:
    paths, images = saved(runs["labels"], tmp_path)
    said = atonce("classify", runs["labels"], *paths, "--top", "2")
    assert (said.code, said.err) == (0, "")
    found = Classifier.load(runs["labels"]).classify(images)
    for path, one, line in zip(paths, found, said.out.splitlines(), strict=True):
        likeliest = list(one.probabilities.items())[:2]
        assert line.split("\t") == [str(path), *(f"{label} {share:.1%}" for label, share in likeliest)]


def test_json_has_every_probability(atonce: Command, runs: dict[str, Path], tmp_path: Path) -> None:
    paths, images = saved(runs["labels"], tmp_path, 1)
    answer = json.loads(atonce("classify", runs["labels"], *paths, "--json").out)
    (found,) = Classifier.load(runs["labels"]).classify(images)
    assert answer == {"file": str(paths[0]), "label": found.label, "probabilities": found.probabilities}


def test_the_text_in_pictures(atonce: Command, runs: dict[str, Path], tmp_path: Path) -> None:
    paths, images = saved(runs["images"], tmp_path)
    readings = ImageReader.load(runs["images"]).read_images(images, nbest=2)
    said = atonce("read", runs["images"], *paths, "--nbest", "2")
    assert said.out.splitlines() == [
        f"{path}\t{one.score:.4f}\t{one.text}"
        for path, reading in zip(paths, readings, strict=True)
        for one in reading.alternatives
    ]
    best = ImageReader.load(runs["images"]).outputs(images)
    plain = atonce("read", runs["images"], *paths).out.splitlines()
    assert plain == [f"{path}\t{text}" for path, text in zip(paths, best, strict=True)]
    first = json.loads(atonce("read", runs["images"], *paths, "--json").out.splitlines()[0])
    assert first["text"] == best[0]


def test_what_cannot_be_classified(atonce: Command, runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    assert "is no picture" in atonce("classify", runs["labels"], tmp_path / "text.png").fault[0]
    assert atonce("classify", runs["labels"]).code == 2
    assert atonce("classify", runs["texts"], "x.png").fault[2] == f"use: atonce translate {runs['texts']}"
    assert atonce("read", runs["labels"], "x.png").fault[2] == f"use: atonce classify {runs['labels']}"


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts, hardly trained."""
    folder = tmp_path_factory.mktemp("texts")
    lines = [
        (f"{n} {'red' if n % 2 else 'green'} apples", f"{'odd' if n % 2 else 'even'}") for n in range(80)
    ]
    (folder / "pairs.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in lines))
    data = {
        "kind": "tsv", "path": str(folder / "pairs.tsv"), "source": "1", "target": "2",
        "task": "classification", "valid_size": 4, "test_size": 4,
    }  # fmt: skip
    model = {"dim": 16, "encoder": {"kind": "feedforward"}, "decoder": {"kind": "classifier"}}
    recipe = tiny.recipe(data=data, model=model, training={"steps": 40, "batch_tokens": 128})
    return train(recipe, folder / "run", quiet=True).run.path


def test_texts_are_classified_line_by_line(atonce: Command, text_run: Path, tmp_path: Path) -> None:
    said = atonce("classify", text_run, "--json", stdin=b"3 red apples\n\n4 green apples\n")
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer["text"] for answer in answers] == ["3 red apples", "", "4 green apples"]
    assert [answers[0]["label"], answers[2]["label"]] == ["odd", "even"]
    (tmp_path / "texts").write_text("3 red apples\n\n4 green apples\n")
    assert atonce("classify", text_run, tmp_path / "texts", "--json") == said


def test_each_text_has_a_line_whatever_is_in_it(atonce: Command, text_run: Path) -> None:
    said = atonce("classify", text_run, stdin="3 red\tapples\n3\rred\x0bapples\u2028\n".encode())
    lines = said.out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["3 red apples", "3 red apples "]


def test_accuracy_is_what_a_classifier_is_scored_by(atonce: Command, text_run: Path) -> None:
    scores = json.loads(atonce("evaluate", text_run, "--json").out)
    assert 0 <= scores["accuracy"] <= 100
    assert scores["items"] == 4
    log = [json.loads(line) for line in (text_run / "log.jsonl").read_text().splitlines()]
    assert "valid_accuracy" in log[-1]

"""A run is opened as what it was trained for: the same pipeline in training, Python and commands."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest
import torch

from atonce import fast
from atonce.data.images import ImagePair
from atonce.data.pairs import Pair
from atonce.data.prepare import open_prepared
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.load import load
from atonce.decoding.search import SearchOptions
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.text_heatmap import Heatmap, translation_heatmap
from atonce.fast.quantization import QuantizedLinear
from atonce.fast.shortlist import ShortlistEngine
from atonce.layers.attention import observing
from atonce.pauses import pausing
from atonce.runs.folder import save_tensors
from compiling import needs_kernels


def test_each_is_what_it_was_trained_for(runs: dict[str, Path]) -> None:
    assert {name: type(load(run)) for name, run in runs.items()} == {
        "texts": Translator,
        "labels": Classifier,
        "images": ImageReader,
    }


@pytest.mark.parametrize(
    ("opener", "good"),
    [
        (Translator.load, "texts"),
        (Classifier.load, "labels"),
        (ImageReader.load, "images"),
    ],
)
def test_another_kind_is_refused_with_the_right_command(
    runs: dict[str, Path], opener: Callable[[Path], object], good: str
) -> None:
    opener(runs[good])
    for name, run in runs.items():
        if name != good:
            with pytest.raises(RunError, match="is not for") as error:
                opener(run)
            right = {"texts": "translate", "labels": "classify", "images": "read"}[name]
            assert error.value.fix == f"use: atonce {right} {run}"


TASKS = {"translation": "texts", "classification": "labels", "reading": "images"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_what_was_trained_for_or_refused(runs: dict[str, Path], task: str) -> None:
    expected = {"translation": Translator, "classification": Classifier, "reading": ImageReader}[task]
    assert type(load(runs[TASKS[task]], task=task)) is expected  # type: ignore[call-overload]
    for other, run in runs.items():
        if other != TASKS[task]:
            with pytest.raises(RunError, match=f"is not for {task}") as error:
                load(run, task=task)  # type: ignore[call-overload]
            right = next(name for name, kind in TASKS.items() if kind == other)
            assert error.value.fix == f'use: atonce.load(run, task="{right}")'


def images_of(run: Path) -> list[np.ndarray]:
    return [pair.source for pair in open_prepared(run).test_pairs if isinstance(pair, ImagePair)]


def test_probabilities_sum_to_one_and_the_likeliest_is_the_label(runs: dict[str, Path]) -> None:
    classifier = Classifier.load(runs["labels"])
    images = images_of(runs["labels"])
    for found in classifier.classify(images[:5]):
        shares = list(found.probabilities.values())
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert next(iter(found.probabilities)) == found.label
        assert set(found.probabilities) == set("0123456789")
    assert classifier.outputs(images) == [found.label for found in classifier.classify(images)]


def test_one_image_gives_one_result_and_a_list_a_list(runs: dict[str, Path]) -> None:
    images = images_of(runs["labels"])[:2]
    classifier = Classifier.load(runs["labels"])
    assert [classifier.classify(image).label for image in images] == classifier.outputs(images)
    reader, images = ImageReader.load(runs["images"]), images_of(runs["images"])[:2]
    assert [reader.read_images(image, nbest=2).text for image in images] == [
        one.text for one in reader.read_images(images, nbest=2)
    ]


@pytest.mark.parametrize("name", ["labels", "images"])
def test_an_image_does_not_depend_on_its_neighbours(runs: dict[str, Path], name: str) -> None:
    system, images = load(runs[name]), images_of(runs[name])
    assert system.outputs(images[:6]) == [system.outputs([image])[0] for image in images[:6]]
    assert system.outputs([]) == []


def test_best_readings_are_distinct_and_sorted(runs: dict[str, Path]) -> None:
    reader = ImageReader.load(runs["images"])
    for reading in reader.read_images(images_of(runs["images"])[:3], nbest=3):
        scores = [one.score for one in reading.alternatives]
        assert scores == sorted(scores, reverse=True)
        assert len({one.text for one in reading.alternatives}) == len(scores)
        assert reading.text == reading.alternatives[0].text


def test_how_many_are_done_is_told(runs: dict[str, Path]) -> None:
    for name in ("labels", "images"):
        done: list[int] = []
        images = images_of(runs[name])
        load(runs[name]).outputs(images, on_progress=done.append)
        assert sum(done) == len(images)


def tokens_written(run: Path, **options: bool) -> list[str]:
    texts = [pair.source for pair in open_prepared(run).test_pairs if isinstance(pair, Pair)]
    return Translator.load(run, device="cpu", **options).outputs(texts, beam=3)


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    monkeypatch.setattr(fast, "can_compile", lambda: False)


@needs_kernels
def test_a_fast_model_is_compiled_and_needs_no_list(runs: dict[str, Path]) -> None:
    fast = Translator.load(runs["texts"], device="cpu", fast=True)
    assert fast.model.engine is not None
    assert not isinstance(fast.model.engine, ShortlistEngine)
    assert fast.search_model(SearchOptions()) is fast.model.engine
    texts = [pair.source for pair in open_prepared(runs["texts"]).test_pairs if isinstance(pair, Pair)]
    for beam in (1, 3):
        alone = [fast.outputs([text], beam=beam)[0] for text in texts]
        assert fast.outputs(texts, beam=beam) == alone


@needs_kernels
def test_what_is_watched_is_not_compiled(runs: dict[str, Path]) -> None:
    fast = Translator.load(runs["texts"], device="cpu", fast=True)
    with observing(lambda layer, weights: None):
        assert fast.search_model(SearchOptions()) is fast.model
    assert isinstance(translation_heatmap(fast, "3 May 2021"), Heatmap)


@needs_kernels
def test_what_is_drawn_at_random_is_drawn_batch_after_batch(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side by side, threads would take one another's random numbers."""
    fast = Translator.load(runs["texts"], device="cpu", fast=True)
    monkeypatch.setattr("atonce.fast.engine.CompiledModel.batch_tokens", 16)
    monkeypatch.setattr("atonce.fast.engine.map_batches", None)

    def drawn() -> list[str]:
        torch.manual_seed(3)
        texts = [f"{day} May 2021" for day in range(1, 25)]
        return [one.text for one in fast.translate(texts, temperature=1.5)]

    assert drawn() == drawn()


def test_a_fast_model_learns_its_lexicon_once(
    runs: dict[str, Path], tmp_path: Path, without_numba: None
) -> None:
    run = Path(copytree(runs["texts"], tmp_path / "run"))
    first = tokens_written(run, fast=True)
    kept = run / "lexicon.safetensors"
    written = kept.read_bytes()
    assert len(first) == len(open_prepared(run).test_pairs)
    rmtree(run / "examples")  # nothing is learned from them again
    again = Translator.load(run, device="cpu", fast=True)
    assert isinstance(again.model.engine, ShortlistEngine)
    assert again.search_model(SearchOptions(width=3)) is again.model.engine
    assert again.search_model(SearchOptions()) is again.model
    assert kept.read_bytes() == written


def test_a_fast_model_without_lexicon_and_examples_is_refused(
    runs: dict[str, Path], tmp_path: Path, without_numba: None
) -> None:
    run = Path(copytree(runs["texts"], tmp_path / "run"))
    (run / "lexicon.safetensors").unlink(missing_ok=True)
    rmtree(run / "examples")
    with pytest.raises(RunError, match=r"examples.* is damaged\n  why: it is missing"):
        load(run, device="cpu", fast=True)
    load(run, device="cpu")
    (run / "sums.json").unlink()  # as in a run of an older version
    with pytest.raises(RunError, match="not whole"):
        load(run, device="cpu", fast=True)
    load(run, device="cpu")


LEXICONS = {
    "no tensors": lambda path: path.write_bytes(b"no tensors"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "other numbers": lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\1\0\0\0"),
    "of another vocabulary": lambda path: _save_lexicon(path, likely=[[1, 2]], common=[3]),
    "no such tokens": lambda path: _save_lexicon(path, likely=[[10**6]] * 400, common=[3]),
    "of another type": lambda path: save_tensors(path, {"likely": torch.zeros(4), "common": torch.zeros(1)}),
}


def _save_lexicon(path: Path, **tokens: list[object]) -> None:
    save_tensors(path, {name: torch.tensor(one, dtype=torch.int32) for name, one in tokens.items()})


@pytest.mark.parametrize("damage", LEXICONS)
def test_a_damaged_lexicon_is_learned_again(
    runs: dict[str, Path], tmp_path: Path, without_numba: None, damage: str
) -> None:
    """It is only kept to save time."""
    run = Path(copytree(runs["texts"], tmp_path / "run"))
    expected, kept = tokens_written(run, fast=True), run / "lexicon.safetensors"
    whole = kept.read_bytes()
    LEXICONS[damage](kept)
    assert tokens_written(run, fast=True) == expected
    assert kept.is_dir() or kept.read_bytes() == whole


@pytest.mark.parametrize("kind", ["labels", "images"])
def test_what_reads_images_is_fast_without_a_list(
    runs: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "has_int8_hardware", lambda: True)
    plain, quick = (load(runs[kind], device="cpu", fast=is_fast) for is_fast in (False, True))
    assert any(isinstance(layer, QuantizedLinear) for layer in quick.model.modules())
    assert len(quick.outputs(images_of(runs[kind]))) == len(plain.outputs(images_of(runs[kind])))
    assert not (runs[kind] / "lexicon.safetensors").exists()


def test_a_cpu_that_cannot_multiply_eight_bits_does_not(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "has_int8_hardware", lambda: False)
    model = load(runs["labels"], device="cpu", fast=True).model
    assert not any(isinstance(layer, QuantizedLinear) for layer in model.modules())


def test_a_classifier_pauses_while_it_reads(runs: dict[str, Path]) -> None:
    classifier, paused = load(runs["labels"], device="cpu"), list[int]()
    assert isinstance(classifier, Classifier)
    with pausing(lambda: paused.append(1)):
        classifier.classify([np.zeros((8, 8), np.uint8)] * 5)
    assert len(paused) == 5 + 1  # one behind the only batch

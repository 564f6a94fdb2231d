from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from atonce.data.io_spec import IOSpec, Labels
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain.api import heatmap
from atonce.explain.image_heatmap import ImageHeatmap
from atonce.explain.text_heatmap import Heatmap
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.runs.folder import RunFolder
from zoo import config_of, translator_of


def test_a_text_an_array_and_a_file(
    reader_of: Callable[..., ImageReader],
    classifier_of: Callable[..., Classifier],
    dates_tokenizer: Tokenizer,
    picture: np.ndarray,
    tmp_path: Path,
) -> None:
    image = pytest.importorskip("PIL.Image")
    text = heatmap(translator_of(dates_tokenizer, config_of("bigru", "gru_dot")), "3 May", target="3")
    assert isinstance(text, Heatmap)
    classifier = classifier_of(image={"kind": "columns"}, encoder={"kind": "gru"})
    image.fromarray(255 - picture).save(tmp_path / "drawn.png")
    for system in (reader_of(), classifier):
        shown = heatmap(system, picture)
        assert isinstance(shown, ImageHeatmap)
        from_file = heatmap(system, tmp_path / "drawn.png")
        assert isinstance(from_file, ImageHeatmap)
        assert (shown.source, from_file.source) == ("image", "drawn.png")
        np.testing.assert_array_equal(from_file.image, picture)
        assert from_file.to_dict() | {"source": "image"} == shown.to_dict()


def test_a_run_folder_is_opened(dates_run: RunFolder) -> None:
    shown = heatmap(dates_run.path, "3 May 2001", target="2001-05-03")
    assert isinstance(shown, Heatmap)
    assert shown.model == dates_run.path.name


@pytest.mark.parametrize(
    "array", [np.zeros((6, 15), np.uint8), np.zeros((6, 16), np.float32), np.zeros((1, 6, 16), np.uint8)]
)
def test_an_array_that_is_no_such_image(reader_of: Callable[..., ImageReader], array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"uint8 numbers of shape \(6, 16\)"):
        heatmap(reader_of(), array)


def test_a_file_that_is_no_picture(reader_of: Callable[..., ImageReader], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="is no picture"):
        heatmap(reader_of(), tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot read"):
        heatmap(reader_of(), tmp_path / "missing.png")


def test_a_model_of_texts_reads_no_image_and_one_for_labels_of_texts_looks_at_nothing(
    dates_tokenizer: Tokenizer, picture: np.ndarray
) -> None:
    with pytest.raises(DataError, match="the source is not a text"):
        heatmap(translator_of(dates_tokenizer, config_of("bigru", "gru_dot")), picture)
    torch.manual_seed(0)
    config = ModelConfig.parse({"dim": 8, "decoder": {"kind": "classifier"}}, origin="a test")
    model = build_model(config, dates_tokenizer.size, labels=2)
    with pytest.raises(RunError, match=r"no heat map[\s\S]*atonce context"):
        heatmap(Classifier(model, IOSpec(dates_tokenizer, Labels(["a", "b"]))), "text")


def test_an_image_has_no_tokens(reader_of: Callable[..., ImageReader], picture: np.ndarray) -> None:
    with pytest.raises(RecipeError, match="an image has no tokens"):
        heatmap(reader_of(), picture, words=False)

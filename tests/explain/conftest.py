from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from atonce.data.config import VocabularyConfig
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.runs.recipe import DecodingConfig

SHAPE = ImageShape(6, 16)
SELF_ATTENTION = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 8}
RECURRENT = {"kind": "gru", "attention": "additive"}


def model_config(image: dict[str, Any], encoder: dict[str, Any], decoder: dict[str, Any]) -> ModelConfig:
    values = {"dim": 8, "image": image, "encoder": encoder, "decoder": decoder, "tied_embeddings": False}
    return ModelConfig.parse(values, origin="a test")


@pytest.fixture(scope="session")
def digits_tokenizer() -> Tokenizer:
    return Tokenizer.train(["0123456789"] * 20, VocabularyConfig(kind="characters", size=300))


@pytest.fixture
def reader_of(digits_tokenizer: Tokenizer) -> Callable[..., ImageReader]:
    """A reader that has learned nothing; by default a recurrent net over squares of pixels."""

    def make(
        *,
        image: dict[str, Any] = {"kind": "patches", "size": 4},  # noqa: B006
        encoder: dict[str, Any] = {"kind": "gru"},  # noqa: B006
        decoder: dict[str, Any] = RECURRENT,
    ) -> ImageReader:
        torch.manual_seed(0)
        model = build_model(model_config(image, encoder, decoder), digits_tokenizer.size, image=SHAPE)
        config = DecodingConfig.parse({"beam": 1}, origin="a test")
        return ImageReader(model.eval(), SHAPE, digits_tokenizer, config)

    return make


@pytest.fixture
def classifier_of() -> Callable[..., Classifier]:
    """A classifier of images that has learned nothing."""

    def make(*, image: dict[str, Any], encoder: dict[str, Any]) -> Classifier:
        torch.manual_seed(0)
        config = model_config(image, encoder, {"kind": "classifier"})
        model = build_model(config, 0, image=SHAPE, labels=3)
        return Classifier(model.eval(), IOSpec(SHAPE, Labels(["ant", "bee", "cat"])))

    return make


@pytest.fixture
def picture() -> np.ndarray:
    """Ink in the middle, paper around it."""
    image = np.zeros(SHAPE, dtype=np.uint8)
    image[1:5, 3:12] = np.random.default_rng(0).integers(30, 256, (4, 9), dtype=np.uint8)
    return image

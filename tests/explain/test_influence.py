import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain import influence
from atonce.explain.image_attention import grid_of
from atonce.explain.influence import (
    InfluenceMap,
    cell_of,
    gradient_influence,
    image_occlusion,
    occlusion_influence,
)
from atonce.explain.scoring import confidence, log_probabilities
from atonce.explain.text_heatmap import Heatmap
from atonce.explain.words import END_OF_SENTENCE
from atonce.fast import accelerate
from atonce.models.config import ModelConfig
from atonce.pauses import pausing
from zoo import config_of, every_part, translator_of

TEXT, TARGET = "3. Mai日本 1999", "1999-05 und"
KINDS = [gradient_influence, occlusion_influence]
SOME = ["pre-pre", "bigru-gru_none", "convolution-convolution", "bimingru-ssru"]


def some(name: str, tokenizer: Tokenizer) -> Translator:
    return translator_of(tokenizer, config_of(*name.split("-")), longest_source=40, max_length_ratio=0.5)


@pytest.fixture(scope="module")
def translator(dates_tokenizer: Tokenizer) -> Translator:
    return some("pre-pre", dates_tokenizer)


@torch.no_grad()
def of_vectors(translator: Translator, embedded: torch.Tensor, written: list[int]) -> np.ndarray:
    """Of each token, given vectors of the source."""
    model = translator.model
    memory = model.encoder(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool))
    target_in = torch.tensor([[translator.tokenizer.bos, *written[:-1]]])
    scores = model.decoder.logits(model.decoder.forward(target_in, memory)).log_softmax(-1)
    return scores[0, torch.arange(len(written)), torch.tensor(written)].numpy()


@pytest.mark.parametrize("name", [*SOME, "lstm-lstm_additive_fed", "bigru-modern"])
def test_a_gradient_is_the_slope_of_finite_differences(name: str, dates_tokenizer: Tokenizer) -> None:
    translator = some(name, dates_tokenizer)
    tokenizer = dates_tokenizer
    written = [*tokenizer.encode(TARGET), tokenizer.eos]
    source = torch.tensor([[*tokenizer.encode(TEXT), tokenizer.eos]])
    with torch.no_grad():
        vectors = translator.model.source(source)
    found = gradient_influence(translator, TEXT, TARGET)
    target, read = (confidence(translator, TEXT, TARGET).target, found.columns)
    belongs = np.arange(len(target.words))[:, None] == np.array(target.word_of_token)

    step = 1e-5
    slopes = np.zeros((len(target.words), *vectors.shape[1:]))
    for place in np.ndindex(*vectors.shape[1:]):
        sides = []
        for sign in (step, -step):
            moved = vectors.clone()
            moved[0, *place] += sign
            sides.append(belongs @ of_vectors(translator, moved, written))
        slopes[:, *place] = (sides[0] - sides[1]) / (2 * step)
    of_tokens = np.linalg.norm(slopes * vectors[0].numpy(), axis=-1)
    words = translator_words(translator)
    expected = np.stack([of_tokens[:, np.array(words) == word].sum(1) for word in range(len(read))], axis=1)
    np.testing.assert_allclose(found.raw, expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.weights, expected / expected.sum(1, keepdims=True), rtol=1e-5)


def translator_words(translator: Translator) -> tuple[int, ...]:
    """The word of each source token."""
    source = [*translator.tokenizer.encode(TEXT), translator.tokenizer.eos]
    return confidence(translator, TARGET, source).target.word_of_token


@every_part
def test_occlusion_is_what_leaving_words_out_one_by_one_gives(
    dates_tokenizer: Tokenizer, config: ModelConfig
) -> None:
    translator = translator_of(dates_tokenizer, config)
    found = occlusion_influence(translator, TEXT, TARGET)
    assert found.columns == ("3.", "Mai", "日", "本", "1999", END_OF_SENTENCE)
    whole = confidence(translator, TEXT, TARGET)
    assert found.rows == whole.target.words
    words = np.array(translator_words(translator))
    for word in range(5):
        places = np.flatnonzero(words == word).tolist()
        without = confidence(translator, TEXT, TARGET, without=places)
        fall = np.subtract(whole.word_log_probabilities, without.word_log_probabilities)
        np.testing.assert_allclose(found.raw[:, word], fall, rtol=1e-6, atol=1e-9)
    assert np.isnan(found.raw[:, 5]).all()
    assert np.isnan(found.weights[:, 5]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SOME)
def test_rows_are_shares(name: str, kind, dates_tokenizer: Tokenizer) -> None:
    found: InfluenceMap = kind(some(name, dates_tokenizer), TEXT, TARGET)
    sums = np.nansum(found.weights, axis=1)
    speaks = (np.nan_to_num(found.raw) > 0).any(1)
    np.testing.assert_allclose(sums, np.where(speaks, 1, 0))
    assert (np.nan_to_num(found.weights) >= 0).all()
    assert speaks.any()


@pytest.mark.parametrize("kind", KINDS)
def test_in_many_batches_it_is_the_same(
    translator: Translator, kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kind(translator, TEXT, TARGET)
    monkeypatch.setattr(influence, "POSITIONS_AT_ONCE", 1)
    np.testing.assert_allclose(kind(translator, TEXT, TARGET).raw, whole.raw)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SOME)
def test_without_a_target_it_is_that_of_the_best_output(name: str, kind, dates_tokenizer: Tokenizer) -> None:
    translator = some(name, dates_tokenizer)
    best = translator.hypotheses(TEXT)[0].tokens
    assert kind(translator, TEXT).to_dict() == kind(translator, TEXT, best).to_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_drawn_as_attention_is(translator: Translator, kind) -> None:
    found = kind(translator, TEXT, TARGET)
    drawn = Heatmap((found,), source=TEXT, output=TARGET, model="model").to_dict()["maps"][0]
    assert drawn["weights"] == found.to_dict()["weights"]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    chart = Heatmap((found,), source=TEXT, output=TARGET, model="model").chart().to_json()
    assert "share of influence" in chart
    assert "attention weight" not in chart


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("text", "target"), [("", ""), ("mai", ""), ("", "mai")])
def test_little_text_is_no_fault(translator: Translator, kind, text: str, target: str) -> None:
    found = kind(translator, text, target)
    assert found.raw.shape == (len(found.rows), len(found.columns))
    assert found.rows[-1] == found.columns[-1] == END_OF_SENTENCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_is_read_in_parts_is_refused(translator: Translator, kind) -> None:
    with pytest.raises(RecipeError, match="too long to be read at once"):
        kind(translator, TEXT * 9, TARGET)


def test_nothing_is_left_on_the_model(translator: Translator) -> None:
    gradient_influence(translator, TEXT, TARGET)
    assert all(weight.grad is None for weight in translator.model.parameters())
    with torch.inference_mode():
        inside = gradient_influence(translator, TEXT, TARGET)
    np.testing.assert_array_equal(inside.raw, gradient_influence(translator, TEXT, TARGET).raw)


def test_eight_bits_have_no_gradient_but_occlusion(dates_tokenizer: Tokenizer) -> None:
    translator = some("pre-pre", dates_tokenizer)
    accelerate(translator.model.float())
    with pytest.raises(RunError, match="there is no gradient in model"):
        gradient_influence(translator, TEXT, TARGET)
    assert np.isfinite(occlusion_influence(translator, TEXT, TARGET).raw[:, :-1]).all()


def test_occlusion_pauses_after_each_word(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influence, "POSITIONS_AT_ONCE", 10**6)  # one slice, and a pause behind it
    paused: list[int] = []
    with pausing(lambda: paused.append(1)):
        found = occlusion_influence(translator, TEXT, TARGET)
    assert len(paused) == len(found.columns) - 1 + 1


Classifiers = Callable[..., Classifier]
IMAGES = {
    "whole": {"kind": "whole"},
    "columns": {"kind": "columns"},
    "patches": {"kind": "patches", "size": 4},
    "convolution": {"kind": "convolution", "channels": [3]},
}
every_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


@every_image
def test_a_fall_is_the_difference_that_covering_makes(
    classifier_of: Classifiers, picture: np.ndarray, image: dict[str, object]
) -> None:
    classifier = classifier_of(image=image, encoder={"kind": "feedforward", "feed_forward": 8})
    found = image_occlusion(classifier, picture, "bee", (2, 3))
    assert found.falls.shape == (3, 6)
    for (row, column), fall in np.ndenumerate(found.falls):
        covered = picture.copy()
        covered[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] = 0
        whole, without = (
            np.log(classifier.classify([one])[0].probabilities["bee"]) for one in (picture, covered)
        )
        assert fall == pytest.approx(whole - without, abs=1e-5)


def test_paper_that_is_covered_changes_nothing(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "patches", "size": 4}, encoder={"kind": "gru"})
    falls = image_occlusion(classifier, picture, "ant", (1, 1)).falls
    assert (falls[picture == 0] == 0).all()
    assert (falls[picture > 0] != 0).any()
    assert not image_occlusion(classifier, np.zeros_like(picture), "ant", (2, 2)).falls.any()


def test_a_label_that_gains_takes_from_the_others(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "whole"}, encoder={"kind": "feedforward", "feed_forward": 8})
    by_label = [image_occlusion(classifier, picture, label, (3, 8)).falls for label in ("ant", "bee", "cat")]
    ink = by_label[0] != 0
    assert (np.min(by_label, axis=0)[ink] < 0).all()
    assert (np.max(by_label, axis=0)[ink] > 0).all()


def test_an_unknown_label(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "whole"}, encoder={"kind": "feedforward"})
    with pytest.raises(DataError, match=r"'dog' is no label[\s\S]*ant, bee, cat"):
        image_occlusion(classifier, picture, "dog", (2, 2))


@pytest.mark.parametrize(
    ("image", "cell"),
    [
        (IMAGES["whole"], (1, 2)),
        (IMAGES["columns"], (1, 2)),
        (IMAGES["patches"], (1, 2)),  # 2 × 4 squares are too few
        ({"kind": "patches", "size": 1}, (1, 1)),
    ],
)
def test_the_models_own_cells_are_covered_unless_they_are_few(
    classifier_of: Classifiers, image: dict[str, object], cell: tuple[int, int]
) -> None:
    classifier = classifier_of(image=image, encoder={"kind": "feedforward"})
    assert cell_of(grid_of(classifier.model.source)) == cell


@torch.inference_mode()
def test_a_label_is_an_output_of_one_token(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image=IMAGES["patches"], encoder={"kind": "gru"})
    images = [picture, picture[:, ::-1].copy(), np.zeros_like(picture)]
    memory = classifier.model.encode(*classifier.read(images))
    for number, name in enumerate(classifier.labels.names):
        found = log_probabilities(classifier.model, memory, [number])[:, 0].exp().tolist()
        shares = [one.probabilities[name] for one in classifier.classify(images)]
        assert found == pytest.approx(shares, rel=1e-4)


def test_cells_are_covered_in_as_many_batches_as_it_takes(
    classifier_of: Classifiers, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = classifier_of(image=IMAGES["patches"], encoder={"kind": "gru"})
    whole = image_occlusion(classifier, picture, "bee", (1, 1)).falls
    monkeypatch.setattr(influence, "_IMAGES_AT_ONCE", 7)
    np.testing.assert_allclose(
        image_occlusion(classifier, picture, "bee", (1, 1)).falls, whole, rtol=1e-4, atol=1e-6
    )

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from atonce.data.io_spec import IOSpec, Labels
from atonce.data.prepare import open_prepared
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain.context import Context, context
from atonce.figures.figure import FORMATS
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.runs.folder import RunFolder
from zoo import config_of, translator_of

SENTENCES = ["am 3 mai 2001", "der 7 mai <b>", "ein 9 mai 2024", "mai", "kein Wort", "am 3 mai 2001"]


@pytest.fixture
def translator(dates_tokenizer: Tokenizer) -> Translator:
    return translator_of(dates_tokenizer, config_of("pre", "gru_none"))


@pytest.fixture
def found(translator: Translator) -> Context:
    return context(translator, "mai", SENTENCES)


def test_vectors_of_every_use_by_layer(found: Context) -> None:
    assert [use.sentence for use in found.uses] == SENTENCES[:4]
    assert list(found.vectors) == list(found.influence) == list(found.shown)
    assert list(found.vectors) == ["embedding", "layer 1", "layer 2"]
    assert all(vectors.shape == (4, 8) for vectors in found.vectors.values())
    assert found.searched == len(SENTENCES)


def test_the_nearest_are_sorted_by_the_cosine_and_never_the_use_itself(found: Context) -> None:
    near = found.nearest(1, layer="layer 1", count=9)
    vectors = found.vectors["layer 1"]
    assert {one.use for one in near} == set(found.uses) - {found.uses[1]}
    assert [one.similarity for one in near] == sorted((one.similarity for one in near), reverse=True)
    for one in near:
        a, b = vectors[1], vectors[found.uses.index(one.use)]
        assert one.similarity == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.nearest(1) == found.nearest(1, layer="layer 2")
    assert len(found.nearest(0, count=1)) == 1


def test_layers_by_name_and_number(translator: Translator) -> None:
    def shown(layer: str) -> tuple[str, ...]:
        return context(translator, "mai", SENTENCES, layer=layer).shown

    assert shown("0") == shown("embedding") == ("embedding",)
    assert shown("2") == shown("layer 2") == ("layer 2",)
    with pytest.raises(RecipeError, match=r"'3'[\s\S]*has 2[\s\S]*from 0 \(embedding\) to 2"):
        shown("3")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(found: Context, tmp_path: Path, suffix: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which fonts there are is the computer's affair
        found.save(tmp_path / f"context{suffix}")
    assert (tmp_path / f"context{suffix}").stat().st_size > 1000


def test_the_data_are_the_vectors_to_the_last_bit(found: Context, tmp_path: Path) -> None:
    found.save(tmp_path / "context.json")
    data = json.loads((tmp_path / "context.json").read_text(encoding="utf-8"))
    for name, vectors in found.vectors.items():
        np.testing.assert_array_equal(np.array(data["vectors"][name]), vectors)
        assert data["layers"][name] == vars(found.influence[name])
    first = data["uses"][0]
    assert SENTENCES[0][first["begin"] : first["end"]] == "mai"
    near = found.nearest(0, layer="layer 1")[0]
    assert first["nearest"]["layer 1"][0] == {
        "use": found.uses.index(near.use),
        "similarity": near.similarity,
    }


def test_no_sentence_can_break_the_page(found: Context) -> None:
    page = found.to_page()
    assert "<b>" not in page.partition("<script>")[0]
    assert "der 7 [mai] &lt;b&gt;" in page


def test_a_run_looks_in_what_it_was_validated_and_tested_on(dates_run: RunFolder) -> None:
    prepared = open_prepared(dates_run.path)
    sources = [str(pair.source) for pair in (*prepared.valid_pairs, *prepared.test_pairs)]
    words = Counter(word for text in sources for word in set(re.findall(r"\b\d+\b", text)))
    word, count = words.most_common(1)[0]
    found = context(dates_run.path, word)
    assert found.searched == len(sources)
    assert len({use.sentence for use in found.uses}) >= 2
    assert {use.sentence for use in found.uses} <= set(sources)
    assert count >= 2


@pytest.mark.parametrize("word", ["nie", "ma", "mai 4", "", " "])
def test_a_word_that_is_not_there(translator: Translator, word: str) -> None:
    with pytest.raises(DataError, match=r"not used[\s\S]*6 sentences searched"):
        context(translator, word, SENTENCES)


def test_who_writes_a_word_wrong_is_told_the_nearest(translator: Translator) -> None:
    with pytest.raises(DataError, match="did you mean 'mai'"):
        context(translator, "maii", SENTENCES)
    with pytest.raises(DataError, match="not used"):
        context(translator, "mai", [])


def test_one_use_cannot_be_compared(translator: Translator) -> None:
    with pytest.raises(DataError, match="'kein' is used only once"):
        context(translator, "kein", SENTENCES)


def test_a_model_of_images_reads_no_words(reader_of: Callable[..., ImageReader]) -> None:
    with pytest.raises(RunError, match="reads no words"):
        context(reader_of(), "mai", SENTENCES)


def test_a_model_by_itself_has_no_sentences(translator: Translator) -> None:
    with pytest.raises(RunError, match="no sentences to search"):
        context(translator, "mai")


def test_a_classifier_of_texts_has_an_encoder_too(dates_tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    values = {"dim": 8, "encoder": {"kind": "gru"}, "decoder": {"kind": "classifier"}}
    model = build_model(ModelConfig.parse(values, origin="a test"), dates_tokenizer.size, labels=2)
    found = context(Classifier(model, IOSpec(dates_tokenizer, Labels(["a", "b"]))), "mai", SENTENCES)
    assert list(found.vectors) == ["embedding", "layer 1"]
    assert found.to_dict()["layers"]["layer 1"]["share"] > 0

import pytest
import torch

import tiny
from atonce.data.prepare import Prepared, prepare
from atonce.decoding.translator import Translator
from atonce.evaluation.scores import chrf
from atonce.models.build import build_model
from atonce.training.loss import mean_loss
from atonce.training.train import validate

RECIPE = tiny.recipe(training={"validation_sentences": 3, "batch_tokens": 64})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(RECIPE.data, RECIPE.vocabulary, tmp_path_factory.mktemp("validation"))


@pytest.fixture
def translator(prepared: Prepared) -> Translator:
    torch.manual_seed(1)
    model = build_model(RECIPE.model, prepared.tokenizer.size)
    return Translator(model, prepared.tokenizer, RECIPE.decoding)


def test_twice_is_the_same(translator: Translator, prepared: Prepared) -> None:
    first = validate(translator, prepared, "translation", RECIPE.training)
    assert validate(translator, prepared, "translation", RECIPE.training) == first


def test_the_random_state_stays_as_it_was(translator: Translator, prepared: Prepared) -> None:
    """So that training goes on as if nothing had been validated."""
    before = torch.get_rng_state()
    validate(translator, prepared, "translation", RECIPE.training)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off_and_the_weights_stay(translator: Translator, prepared: Prepared) -> None:
    before = [weight.clone() for weight in translator.model.parameters()]
    translator.model.train()
    loss = mean_loss(translator.model, prepared.valid, batch_tokens=64, smoothing=0.1)
    translator.model.eval()
    assert mean_loss(translator.model, prepared.valid, batch_tokens=64, smoothing=0.1) == loss
    assert all(map(torch.equal, translator.model.parameters(), before))


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_the_loss_is_the_mean_over_tokens_however_they_are_batched(
    translator: Translator, prepared: Prepared, batch_tokens: int
) -> None:
    model, tokenizer = translator.model.eval(), prepared.tokenizer
    nll, count = 0.0, 0
    for pair in prepared.valid_pairs:
        target = [*tokenizer.encode(pair.target), tokenizer.eos]
        with torch.no_grad():
            features = model(
                *translator.read([tokenizer.encode(pair.source)]),
                torch.tensor([[tokenizer.bos, *target[:-1]]]),
            )
            gains = model.decoder.logits(features).log_softmax(-1)[0]
        nll -= gains[range(len(target)), target].sum().item()
        count += len(target)
    loss = mean_loss(translator.model, prepared.valid, batch_tokens=batch_tokens, smoothing=0.0)
    assert loss == pytest.approx(nll / count, rel=1e-4)


@pytest.mark.parametrize(("sentences", "taken"), [(1, [0]), (2, [0, 7]), (100, range(8))])
def test_chrf_is_of_greedy_translations_of_sentences_evenly_spread(
    translator: Translator, prepared: Prepared, sentences: int, taken: list[int]
) -> None:
    pairs = [prepared.valid_pairs[index] for index in taken]
    outputs = translator.translate([pair.source for pair in pairs], beam=1)
    expected = chrf([output.text for output in outputs], [pair.target for pair in pairs])
    config = RECIPE.training.model_copy(update={"validation_sentences": sentences})
    assert validate(translator, prepared, "translation", config).score == expected

import json
import math

import pytest
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.explain.scoring import confidence
from atonce.explain.words import END_OF_SENTENCE
from atonce.models.config import ModelConfig
from zoo import config_of, every_part, translator_of

TEXT, TARGET = "Mittwoch, 10. Januar 2024", "2024-01-10 und mehr"


@pytest.fixture(scope="module")
def blind(dates_tokenizer: Tokenizer) -> Translator:
    """It has no attention."""
    return translator_of(dates_tokenizer, config_of("bigru", "gru_none"), longest_source=40, beam=2)


@every_part
def test_tokens_sum_to_the_hypothesis(dates_tokenizer: Tokenizer, config: ModelConfig) -> None:
    translator = translator_of(dates_tokenizer, config, beam=2, max_length_ratio=0.1)
    for hypothesis in translator.hypotheses(TEXT):  # some end, some are cut off
        found = confidence(translator, TEXT, hypothesis.tokens)
        assert len(found.log_probabilities) == len(hypothesis.tokens) == len(found.target.tokens)
        assert found.log_probability == pytest.approx(hypothesis.log_probability, rel=1e-9)
        assert sum(found.word_log_probabilities) == pytest.approx(found.log_probability)


def test_each_token_has_the_probability_of_forced_decoding(blind: Translator) -> None:
    tokenizer = blind.tokenizer
    written = [*tokenizer.encode(TARGET), tokenizer.eos]
    source = [*tokenizer.encode(TEXT), tokenizer.eos]
    found = confidence(blind, TEXT, TARGET)
    gains = by_steps(blind, source, written)
    assert found.log_probabilities == pytest.approx(gains)
    assert found.probabilities == pytest.approx([math.exp(gain) for gain in gains])


@torch.inference_mode()
def by_steps(translator: Translator, source: list[int], written: list[int]) -> list[float]:
    """The log-probability of each token, one step of generation after the other."""
    decoder, mask = translator.model.decoder, torch.ones(1, len(source), dtype=torch.bool)
    state = decoder.start(translator.model.encode(torch.tensor([source]), mask))
    gains = []
    for before, token in zip([translator.tokenizer.bos, *written], written, strict=False):
        logits, state = decoder.step(torch.tensor([before]), state)
        gains.append(float(logits.log_softmax(-1)[0, token]))
    return gains


def test_a_word_is_as_likely_as_all_its_tokens_together(blind: Translator) -> None:
    found = confidence(blind, TEXT, TARGET)
    assert found.target.words == ("2024", "-01", "-10", "und", "mehr", END_OF_SENTENCE)
    for word, probability in enumerate(found.word_probabilities):
        tokens = [found.probabilities[place] for place in found.target.places([word])]
        assert probability == pytest.approx(math.prod(tokens))
        assert 0 < probability <= 1
    assert found.word_log_probabilities[-1] == pytest.approx(found.log_probabilities[-1])


def test_without_a_target_it_is_that_of_the_best_output(blind: Translator) -> None:
    best = blind.hypotheses(TEXT)[0]
    assert confidence(blind, TEXT) == confidence(blind, TEXT, best.tokens)


def test_source_tokens_can_be_left_out(blind: Translator) -> None:
    whole = "Mittwoch, 10."
    behind = range(len(blind.tokenizer.encode(whole)), len(blind.tokenizer.encode(TEXT)))
    assert blind.tokenizer.encode(TEXT)[: behind.start] == blind.tokenizer.encode(whole)
    assert confidence(blind, TEXT, TARGET, without=behind) == confidence(blind, whole, TARGET)


def test_it_can_be_sent(blind: Translator) -> None:
    found = confidence(blind, TEXT, TARGET)
    sent = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert sent["text"] == TARGET
    assert [one["token"] for one in sent["tokens"]] == list(found.target.tokens)
    assert sent["tokens"][-1] == {
        "token": END_OF_SENTENCE,
        "word": 5,
        "log_probability": found.log_probabilities[-1],
        "probability": found.probabilities[-1],
    }
    assert [one["probability"] for one in sent["words"]] == list(found.word_probabilities)


def test_what_was_left_of_a_broken_character_is_shown_too(blind: Translator) -> None:
    broken = blind.tokenizer.encode("mai \U0001f642")[:-1]
    found = confidence(blind, TEXT, broken)
    assert found.target.words == ("mai", "\ufffd")
    assert len(found.word_probabilities) == 2


@pytest.mark.parametrize("target", [[], [3, 7], [7, 0], [7, 99_999]])
def test_what_is_no_output_is_refused(blind: Translator, target: list[int]) -> None:
    with pytest.raises(RecipeError):
        confidence(blind, TEXT, target)


def test_a_text_that_is_read_in_parts_is_refused(blind: Translator) -> None:
    with pytest.raises(RecipeError, match="too long to be read at once"):
        confidence(blind, TEXT * 9, TARGET)

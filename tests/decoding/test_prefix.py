"""Outputs with a beginning that is forced: what holds for greedy and beam search with every decoder."""

import pytest
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.beam import beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, length_penalty
from atonce.decoding.translation import translation_of
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from zoo import EOS, SOURCES, TOKENS, config_of, decided_model, every_part, forced, padded, translator_of

ALPHA = 0.7
SOURCE, MOST = SOURCES[2], 6
TEXT = "Mittwoch, 3. Mai 1999"


@torch.inference_mode()
def search(model: Seq2Seq, prefix: tuple[int, ...], width: int, most: int = MOST) -> list[Hypothesis]:
    """Greedy for width 0."""
    memory, longest = model.encode(*padded([SOURCE])), torch.tensor([most])
    if width:
        return beam_search(model.decoder, memory, TOKENS, longest, width=width, alpha=ALPHA, prefix=prefix)[0]
    return greedy(model.decoder, memory, TOKENS, longest, alpha=ALPHA, prefix=prefix)


@every_part
@pytest.mark.parametrize("width", [0, 3])
def test_outputs_begin_with_the_prefix_and_score_what_forced_decoding_gives_the_whole(
    config: ModelConfig, width: int
) -> None:
    model = decided_model(config)
    prefix = (7, 7, 4)
    found = search(model, prefix, width)
    assert len(found) == max(width, 1)
    for one in found:
        assert one.tokens[:3] == prefix
        assert len(one.tokens) == MOST or one.tokens[-1] == EOS
        assert one.log_probability == pytest.approx(forced(model, SOURCE, one.tokens), rel=1e-9)
        assert one.score == one.log_probability / length_penalty(len(one.tokens), ALPHA)


@every_part
def test_every_prefix_of_the_greedy_output_leads_to_it(config: ModelConfig) -> None:
    model = decided_model(config)
    (whole,) = search(model, (), 0)
    for length in range(len(whole.tokens)):
        for width in (0, 1):
            (one,) = search(model, whole.tokens[:length], width)
            assert one.tokens == whole.tokens
            assert one.log_probability == pytest.approx(whole.log_probability, rel=1e-9)


@pytest.mark.parametrize("width", [0, 1, 3])
@pytest.mark.parametrize("parts", ["pre-pre", "bigru-gru_additive", "convolution-convolution"])
def test_one_token_at_least_comes_behind_a_prefix(parts: str, width: int) -> None:
    model = decided_model(config_of(*parts.split("-")))
    for one in search(model, (7, 7, 4), width, most=2):
        assert one.tokens[:3] == (7, 7, 4)
        assert len(one.tokens) == 4


def test_a_prefix_is_forced_in_a_batch_too() -> None:
    model = decided_model(config_of("pre", "pre"))
    most = torch.tensor([4, 9, 6])
    with torch.inference_mode():
        memory = model.encode(*padded(SOURCES))
        together = beam_search(model.decoder, memory, TOKENS, most, width=3, alpha=ALPHA, prefix=(7, 4))
    assert [one.tokens for one in together[2]] == [one.tokens for one in search(model, (7, 4), 3)]
    assert all(one.tokens[:2] == (7, 4) for found in together for one in found)


@pytest.fixture(scope="module")
def translator(dates_tokenizer: Tokenizer) -> Translator:
    return translator_of(dates_tokenizer, config_of("bigru", "gru_additive"), beam=3, longest_source=40)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("prefix", ["2024-01", "2024-", "日本", "am ", "x y"])
def test_a_text_begins_with_the_text_that_is_forced(translator: Translator, prefix: str, beam: int) -> None:
    texts = [TEXT, "", "10. Januar"]
    found = translator.translate(texts, prefix=prefix, beam=beam, nbest=2)
    assert found[1].text == ""
    for text, translation in zip(texts, found, strict=True):
        if text:
            assert all(one.text.startswith(prefix.rstrip()) for one in translation.alternatives)
            hypotheses = translator.hypotheses(text, prefix=prefix, beam=max(beam, 2))
            alone = translation_of(hypotheses, translator.tokenizer, 2)
            assert alone.text == translation.text
            assert alone.score == pytest.approx(translation.score)


@pytest.mark.parametrize("prefix", ["", " ", (), []])
def test_an_empty_prefix_forces_nothing(translator: Translator, prefix: str | list[int]) -> None:
    assert translator.translate([TEXT], prefix=prefix, nbest=3) == translator.translate([TEXT], nbest=3)
    hypotheses = translator.hypotheses(TEXT)
    assert translator.hypotheses(TEXT, prefix=prefix) == hypotheses
    assert translation_of(hypotheses, translator.tokenizer, 3) == translator.translate([TEXT], nbest=3)[0]


def test_tokens_can_be_forced_by_number(translator: Translator) -> None:
    ids = translator.tokenizer.encode("2024-01")
    assert translator.hypotheses(TEXT, prefix=ids) == translator.hypotheses(TEXT, prefix="2024-01")


@pytest.mark.parametrize("token", [0, 1, 2, 3, -1, 10_000])
def test_what_no_output_begins_with_is_refused(translator: Translator, token: int) -> None:
    with pytest.raises(RecipeError, match=f"token {token} cannot be part of an output"):
        translator.translate([TEXT], prefix=[5, token])


def test_a_text_that_is_read_in_parts_has_no_one_beginning(translator: Translator) -> None:
    with pytest.raises(RecipeError, match="too long to be read at once"):
        translator.translate([TEXT, TEXT * 9], prefix="a")
    with pytest.raises(RecipeError, match="too long to be read at once"):
        translator.hypotheses(TEXT * 9)
    translator.translate([TEXT * 9])


def test_tokens_that_are_left_out_are_as_if_they_were_not_there(translator: Translator) -> None:
    tokenizer = translator.tokenizer
    assert translator.source_tokens(TEXT) == tokenizer.encode(TEXT)
    behind = [place for place, (begin, _) in enumerate(tokenizer.token_spans(TEXT)) if begin >= 12]
    assert tokenizer.encode(TEXT)[: behind[0]] == tokenizer.encode(TEXT[:12])
    assert translator.source_tokens(TEXT, without=behind) == tokenizer.encode(TEXT[:12])
    assert translator.hypotheses(TEXT, without=behind) == translator.hypotheses(TEXT[:12])
    assert translator.hypotheses(TEXT, without=behind) != translator.hypotheses(TEXT)


def test_everything_may_be_left_out_but_the_end(translator: Translator) -> None:
    count = len(translator.tokenizer.encode(TEXT))
    assert translator.source_tokens(TEXT, without=range(count)) == []
    assert translator.hypotheses(TEXT, without=range(count)) == translator.hypotheses("")
    for place in (-1, count):
        with pytest.raises(RecipeError, match=f"places from 0 to {count - 1}"):
            translator.source_tokens(TEXT, without=[place])
    with pytest.raises(RecipeError, match="leave nothing out"):
        translator.source_tokens("", without=[0])

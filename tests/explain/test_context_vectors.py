"""What each encoder can know of the words around a word: the claim of every lecture, measured."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.tokenizer import Tokenizer
from atonce.explain.context_vectors import (
    ContextInfluence,
    Use,
    from_the_mean,
    groups,
    influences,
    layer_names,
    layer_states,
    share_of_context,
    tokens_of_words,
    uses_of,
    word_vectors,
)
from atonce.explain.words import places_of
from atonce.models.config import ModelConfig
from zoo import ENCODERS, SOURCES, config_of, every_encoder, model_of, padded

SENTENCES = [
    "am juni mai juli der Abend",
    "er den mai Januar und",
    "ja du mai de no",
    "Abend de mai du am juni",
]
"""What is beside "mai" begins and ends with different tokens: who sees one neighbour sees a change."""
FORWARD = {"rnn", "gru", "lstm", "mingru", "minlstm"}
BLIND = {"feedforward"}


def measured(name: str, tokenizer: Tokenizer, *sentences: str) -> dict[str, ContextInfluence]:
    model = model_of(config_of(name, "gru_none"), vocab=tokenizer.size)
    uses = uses_of("mai", sentences or SENTENCES, tokenizer, longest=99, most=99)
    words = tokens_of_words(SENTENCES, tokenizer)
    return influences(model, uses, word_vectors(model, uses), words, tokenizer)


@pytest.mark.parametrize("name", ENCODERS)
def test_each_encoder_sees_what_it_can_see(name: str, dates_tokenizer: Tokenizer) -> None:
    found = measured(name, dates_tokenizer)
    embedding, *layers = found.values()
    assert (embedding.left, embedding.right) == (0, 0)
    assert embedding.share == pytest.approx(0, abs=1e-24)
    for one in layers:
        if name in BLIND:
            assert (one.left, one.right) == (0, 0)
            assert one.share == pytest.approx(0, abs=1e-24)
        else:
            assert one.left > 1e-6
            assert one.right == 0 if name in FORWARD else one.right > 1e-6
            assert 1e-12 < one.share < 1


@pytest.mark.parametrize("reach", [1, 2])
def test_a_convolution_sees_no_farther_than_its_kernel(reach: int, dates_tokenizer: Tokenizer) -> None:
    """Two layers of three positions: the second of two neighbours is seen by the second layer only."""
    model = model_of(config_of("convolution", "gru_none"), vocab=dates_tokenizer.size)
    (use,) = uses_of("mai", SENTENCES[:1], dates_tokenizer, longest=99, most=99)
    before = word_vectors(model, [use])
    other = list(use.ids)
    other[use.first - reach] = dates_tokenizer.encode("x")[-1]
    after = word_vectors(model, [use], [other])
    changed = [not np.array_equal(before[name], after[name]) for name in before]
    token = slice(use.first, use.last)
    assert changed == [False, reach == 1, True], use.ids[token]


def test_the_same_seed_gives_the_same_numbers(dates_tokenizer: Tokenizer) -> None:
    assert measured("bigru", dates_tokenizer) == measured("bigru", dates_tokenizer)


def test_a_side_without_words_says_nothing(dates_tokenizer: Tokenizer) -> None:
    found = measured("bigru", dates_tokenizer, "mai juli", "mai de no")
    assert all(np.isnan(one.left) for one in found.values())
    assert all(one.right > 0 for one in list(found.values())[1:])


vectors = st.integers(2, 6).flatmap(
    lambda uses: st.lists(
        st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=uses, max_size=uses
    )
)


@given(vectors)
def test_a_share_is_a_share(rows: list[list[float]]) -> None:
    given_rows = np.array(rows)
    if (given_rows**2).sum() < 1e-6:
        return
    share = share_of_context(given_rows, [(1,)] * len(rows))
    assert -1e-9 <= share <= 1 + 1e-9
    mean = (given_rows.mean(0) ** 2).sum() / (given_rows**2).sum(1).mean()
    assert share == pytest.approx(1 - mean, abs=1e-9)  # what is not due to context is the mean
    assert share_of_context(3 * given_rows, [(1,)] * len(rows)) == pytest.approx(share)


def test_the_ends_of_the_scale() -> None:
    assert share_of_context(np.ones((4, 3)), [(1,)] * 4) == 0
    assert share_of_context(np.array([[1.0, 2.0], [-1.0, -2.0]]), [(1,)] * 2) == 1


def test_spellings_are_not_context() -> None:
    spelt = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 5.0], [0.0, 5.0], [7.0, 7.0]])
    spellings = [(1,), (1,), (2,), (2,), (3,)]
    assert share_of_context(spelt, spellings) == 0
    assert not from_the_mean(spelt, spellings).any()
    assert np.isnan(share_of_context(spelt, [(1,), (2,), (3,), (4,), (5,)]))


OTHERS = ["3 mai 2001", "am mai", "mai", "der 4. mai ist ein Tag"]


@every_encoder
@torch.inference_mode()
def test_states_are_those_of_the_encoder_and_no_hook_stays(config: ModelConfig) -> None:
    model = model_of(config)
    source, mask = padded(SOURCES)
    states = layer_states(model, source, mask)
    assert len(states) == len(layer_names(model))
    torch.testing.assert_close(states[0], model.source.read(source, mask)[0])
    norm = getattr(model.encoder, "final_norm", torch.nn.Identity())
    memory = model.encode(source, mask)
    torch.testing.assert_close(norm(states[-1])[mask], memory.states[mask])
    assert not any(module._forward_hooks for module in model.modules())


@every_encoder
@torch.inference_mode()
def test_a_vector_is_the_mean_of_the_words_tokens_whatever_stands_beside_in_the_batch(
    config: ModelConfig, dates_tokenizer: Tokenizer
) -> None:
    model = model_of(config, vocab=dates_tokenizer.size)
    uses = uses_of("mai", OTHERS, dates_tokenizer, longest=99, most=99)
    vectors = word_vectors(model, uses)
    for number, use in enumerate(uses):
        alone = layer_states(model, *padded([use.ids]))
        for found, states in zip(vectors.values(), alone, strict=True):
            expected = states[0, use.first : use.last].mean(0).numpy()
            np.testing.assert_allclose(found[number], expected, rtol=1e-9, atol=1e-9)


def test_dropout_is_off_and_training_goes_on_as_before(dates_tokenizer: Tokenizer) -> None:
    model = model_of(config_of("pre", "gru_none"), vocab=dates_tokenizer.size)
    uses = uses_of("mai", OTHERS, dates_tokenizer, longest=99, most=99)
    before = word_vectors(model, uses)
    again = word_vectors(model.train(), uses)
    assert model.training
    for name, vectors in before.items():
        np.testing.assert_array_equal(again[name], vectors)


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("open", "open, Open: “open”. reopen opener open2 open", ["open", "open", "open"]),
        ("open", "an open-ended x", ["open"]),
        ("3", "3 May 13, 3rd 3", ["3", "3"]),
        ("门", "打开门和门", ["门", "门"]),
        ("de", "dé de\u0301 de", ["de"]),  # an accent of its own belongs to the letter before
        ("a b", "a b, a  b", ["a b"]),
        ("", "text", []),
        (".", "a. b.c", [".", "."]),
    ],
)
def test_a_word_stands_alone(word: str, text: str, found: list[str]) -> None:
    assert [text[begin:end] for begin, end in places_of(word, text)] == found


def test_capitals_count_unless_they_are_to_be_ignored() -> None:
    assert places_of("the", "The THE the") == [(8, 11)]
    assert places_of("the", "The THE the", ignore_case=True) == [(0, 3), (4, 7), (8, 11)]


def found(tokenizer: Tokenizer, word: str, *sentences: str, longest: int = 99, most: int = 99) -> list[Use]:
    return uses_of(word, sentences, tokenizer, longest=longest, most=most)


@given(st.lists(st.sampled_from(["mai", "Mai", "3.", "2001", "mai,"]), max_size=6))
def test_the_tokens_of_a_use_spell_the_word(dates_tokenizer: Tokenizer, words: list[str]) -> None:
    sentence = " ".join(words)
    uses = found(dates_tokenizer, "mai", sentence)
    assert len(uses) == sum(word.startswith("mai") for word in words)
    for use in uses:
        assert use.ids == (*dates_tokenizer.encode(sentence), dates_tokenizer.eos)
        assert "mai" in dates_tokenizer.decode(use.spelling)
        assert use.marked.replace("[mai]", "mai") == sentence


def test_equal_sentences_count_once_and_only_the_first_are_taken(dates_tokenizer: Tokenizer) -> None:
    assert len(found(dates_tokenizer, "mai", "1 mai", "1 mai", "2 mai mai", "nichts")) == 3
    assert [use.sentence for use in found(dates_tokenizer, "mai", "1 mai", "2 mai", "3 mai", most=2)] == [
        "1 mai",
        "2 mai",
    ]


def test_what_is_cut_off_is_not_used(dates_tokenizer: Tokenizer) -> None:
    sentence = "mai 2001 2002 2003 mai"
    (use,) = found(dates_tokenizer, "mai", sentence, longest=len(dates_tokenizer.encode("mai 2001")))
    assert use.begin == 0
    assert len(use.ids) == len(dates_tokenizer.encode("mai 2001")) + 1


def test_words_are_the_tokens_between_spaces_once_each(dates_tokenizer: Tokenizer) -> None:
    words = tokens_of_words(["3 mai", "mai 3"], dates_tokenizer)
    assert [dates_tokenizer.decode(word) for word in words] == ["3", "mai"]


@pytest.mark.parametrize("word", ["x", "mitten"])
@pytest.mark.parametrize("room", [0, 8, 30, 100])
def test_an_excerpt_keeps_the_word_and_whole_neighbours(word: str, room: int) -> None:
    sentence = f"eins zwei drei vier {word} fuenf sechs sieben acht"
    begin = sentence.index(word)
    use = Use(sentence, begin, begin + len(word), (0,), 0, 1)
    excerpt = use.excerpt(room)
    assert f"[{word}]" in excerpt
    assert len(excerpt) <= room + len(word) + 4
    assert set(excerpt.replace("…", " ").split()) <= {*sentence.split(), f"[{word}]"}


@given(st.lists(st.integers(0, 2)))
def test_groups_are_stretches_of_equal_numbers(numbers: list[int]) -> None:
    stretches = groups(numbers)
    assert [place for one in stretches for place in one] == list(range(len(numbers)))
    assert all(len({numbers[place] for place in one}) == 1 for one in stretches)
    assert all(numbers[one.start] != numbers[one.start - 1] for one in stretches[1:])

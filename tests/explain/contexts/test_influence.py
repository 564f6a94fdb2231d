"""What each encoder can know of the words around a word: the claim of every lecture, measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.tokenizer import Tokenizer
from atonce.explain.contexts.influence import Influence, from_the_mean, influences, share_of_context
from atonce.explain.contexts.states import word_vectors
from atonce.explain.contexts.uses import pieces_of_words, uses_of
from zoo import ENCODERS, config_of, model_of

SENTENCES = [
    "am juni mai juli der Abend",
    "er den mai Januar und",
    "ja du mai de no",
    "Abend de mai du am juni",
]
"""What is beside "mai" begins and ends with different pieces: who sees one neighbour sees a change."""
FORWARD = {"rnn", "gru", "lstm", "mingru", "minlstm"}
BLIND = {"feedforward"}


def measured(name: str, tokenizer: Tokenizer, *sentences: str) -> dict[str, Influence]:
    model = model_of(config_of(name, "gru_none"), vocab=tokenizer.size)
    uses = uses_of("mai", sentences or SENTENCES, tokenizer, longest=99, most=99)
    words = pieces_of_words(SENTENCES, tokenizer)
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
    piece = slice(use.first, use.last)
    assert changed == [False, reach == 1, True], use.ids[piece]


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

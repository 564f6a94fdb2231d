import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atonce.fast.quantization import QuantizedLinear
from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast.topk import GROUP, _best, greatest, log_of_sum, topk  # noqa: E402
from atonce.fast.weights import table_of  # noqa: E402

lists = arrays(np.float32, st.integers(1, 70), elements=st.floats(-50, 50, width=32))


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(12, 2 * GROUP + 5), st.integers(1, 10))
def test_the_likeliest_of_all_tokens_but_some(seed: int, rows: int, vocab: int, count: int) -> None:
    torch.manual_seed(seed)
    layer, features, suppress = (
        QuantizedLinear(torch.randn(vocab, 8)),
        torch.randn(rows, 8),
        torch.tensor([0, 2]),
    )
    gains, tokens = np.empty((rows, count), np.float32), np.empty((rows, count), np.int64)
    topk(table_of(layer), vocab, features.numpy(), suppress.numpy(), gains, tokens, 0, rows)
    expected = layer(features).log_softmax(-1).index_fill(1, suppress, -torch.inf)
    best = expected.topk(count)
    torch.testing.assert_close(torch.from_numpy(gains), best.values, rtol=1e-4, atol=1e-4)
    chosen = expected.gather(1, torch.from_numpy(tokens))
    torch.testing.assert_close(chosen, best.values, rtol=1e-4, atol=1e-4)
    assert all(len({*row}) == count for row in tokens.tolist())


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=2 * GROUP + 5), st.integers(1, 6))
def test_of_equal_scores_the_first(numbers: list[int], count: int) -> None:
    scores = np.array(numbers, np.float32)
    best, places = np.empty(min(count, len(scores)), np.float32), np.empty(min(count, len(scores)), np.int64)
    _best(scores, best, places)
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[:count]
    assert places.tolist() == order
    assert best.tolist() == [scores[place] for place in order]


@given(lists)
def test_the_greatest(numbers: np.ndarray) -> None:
    assert greatest(numbers) == numbers.max()


def test_the_greatest_of_infinities() -> None:
    assert greatest(np.array([-np.inf, -np.inf], np.float32)) == -np.inf
    assert greatest(np.array([-np.inf, -3.5, -0.0], np.float32)) == 0


@given(lists)
def test_the_logarithm_of_the_sum_of_exponentials(scores: np.ndarray) -> None:
    expected = float(torch.from_numpy(scores).double().logsumexp(0))
    assert log_of_sum(scores) == pytest.approx(expected, rel=1e-5, abs=1e-5)

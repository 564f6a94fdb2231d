from hypothesis import given
from hypothesis import strategies as st

from atonce.serve.histories import POINTS, _means


@given(st.lists(st.floats(0, 20), min_size=1, max_size=700))
def test_a_long_curve_is_thinned_to_means_that_end_where_it_does(losses: list[float]) -> None:
    line = [(10.0 * (place + 1), loss) for place, loss in enumerate(losses)]
    means = _means(line)
    assert min(len(line), POINTS // 2) <= len(means) <= POINTS
    assert means[-1][0] == line[-1][0]
    assert [step for step, _ in means] == sorted({step for step, _ in means})
    assert all(min(losses) - 1e-9 <= mean <= max(losses) + 1e-9 for _, mean in means)
    if len(line) <= POINTS:
        assert means == line


def test_every_loss_counts_once() -> None:
    line = [(float(step), float(step)) for step in range(1, 151)]
    assert _means(line)[0] == (3.0, 2.0)
    assert _means(line[:-1])[0] == (2.0, 1.5)
    assert _means(line)[-1] == (150.0, 149.0)

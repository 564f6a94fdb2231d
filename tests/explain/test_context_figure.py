import json

import numpy as np
import pytest

from atonce.explain.context_figure import context_figure, labelled_uses, plane_of, spread_out
from atonce.explain.context_vectors import ContextInfluence, Use
from atonce.figures.style import LIGHT

ALIKE = [(1,)] * 12


def drawn(uses: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(uses, dim))


def test_the_plane_keeps_distances_of_vectors_that_lie_in_one() -> None:
    flat = drawn(12, 2) @ np.linalg.qr(drawn(7, 2))[0].T + 3
    plane = plane_of(flat, ALIKE)
    length = np.sqrt((flat**2).sum(1).mean())
    assert plane.held == pytest.approx(1)

    def distances(places: np.ndarray) -> np.ndarray:
        return np.linalg.norm(places[:, None] - places, axis=-1)

    np.testing.assert_allclose(distances(plane.places) * length, distances(flat), atol=1e-9)


def test_the_plane_holds_the_two_greatest_of_the_variances() -> None:
    vectors = drawn(12, 5)
    variances = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    assert plane_of(vectors, ALIKE).held == pytest.approx(variances[:2].sum() / variances.sum())


@pytest.mark.parametrize("noise", [0, 1e-8])
def test_equal_vectors_are_one_point_whatever_was_rounded(noise: float) -> None:
    plane = plane_of(np.ones((12, 5)) + noise * drawn(12, 5), ALIKE)
    assert np.isnan(plane.held)
    assert not plane.places.any()


def test_spellings_are_no_direction() -> None:
    vectors = drawn(6, 4)
    spelt_two_ways = np.concatenate([vectors, vectors + 10])
    plane = plane_of(spelt_two_ways, [(1,)] * 6 + [(2,)] * 6)
    np.testing.assert_allclose(plane.places[:6], plane.places[6:], atol=1e-12)


def test_two_uses_in_one_dimension() -> None:
    plane = plane_of(np.array([[1.0], [2.0]]), [(1,), (1,)])
    assert plane.places.shape == (2, 2)
    assert plane.held == pytest.approx(1)


def test_far_places_are_found_first() -> None:
    places = np.array([[0.0, 0], [0.1, 0], [5, 0], [0, 4], [5, 0]])
    assert spread_out(places, 3) == [2, 3, 1]
    assert spread_out(places, 9) == [2, 3, 1, 0]
    assert spread_out(np.zeros((4, 2)), 3) == [0]


def test_labels_do_not_meet() -> None:
    places = np.random.default_rng(0).uniform(-150, 150, (200, 2))
    chosen = labelled_uses(places, ["x" * 20] * 200)
    assert len(chosen) > 3
    boxes = [(x, x + 108) if x <= 0 else (x - 108, x) for x, _ in places[chosen]]
    for one in range(len(chosen)):
        for other in range(one):
            apart = abs(places[chosen[one], 1] - places[chosen[other], 1]) > 10
            beside = boxes[one][1] < boxes[other][0] or boxes[other][1] < boxes[one][0]
            assert apart or beside


def uses_spelt(*spellings: int) -> list[Use]:
    return [Use(f"{n} mai", 2, 5, (9, token), 1, 2) for n, token in enumerate(spellings)]


def test_a_use_spelt_like_no_other_is_left_out_of_the_pictures() -> None:
    influence = {"layer 1": ContextInfluence(0.5, 0.25, float("nan"))}

    def dots(*spellings: int) -> set[str]:
        uses = uses_spelt(*spellings)
        vectors = {"layer 1": drawn(len(uses), 4)}
        spec = json.dumps(context_figure("mai", "model", uses, influence, vectors, LIGHT).to_dict())
        return {use.sentence for use in uses if f'"{use.marked}"' in spec}

    assert dots(1, 1, 2) == {"0 mai", "1 mai"}
    assert dots(1, 1, 1) == {"0 mai", "1 mai", "2 mai"}
    assert dots(1, 2) == set()

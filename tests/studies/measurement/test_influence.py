"""How far influence goes."""

import pytest

from atonce.runs.folder import RunFolder
from atonce.studies.measurement.influence import (
    LAYERS,
    MIDDLE,
    SHOWN,
    Influence,
    InfluenceFigure,
    influences,
)
from atonce.studies.measurement.targets import WINDOW, target


@pytest.fixture(scope="module")
def found() -> dict[str, Influence]:
    return {one.name: one for one in influences([target(name) for name in SHOWN])}


REACHES = {
    "feed-forward": (0, 0),
    "convolution": (-LAYERS, LAYERS),
    "dilated-convolution": (1 - 2**LAYERS, 2**LAYERS - 1),
    "windowed-self-attention": (-WINDOW * LAYERS, WINDOW * LAYERS),
    "rnn": (-MIDDLE, 0),
    "gru": (-MIDDLE, 0),
    "lstm": (-MIDDLE, 0),
    "bidirectional-lstm": (-MIDDLE, MIDDLE),
    "mingru-scan": (-MIDDLE, 0),
    "self-attention": (-MIDDLE, MIDDLE),
}


@pytest.mark.parametrize("name", REACHES)
def test_influence_reaches_as_far_as_the_layers_do(found: dict[str, Influence], name: str) -> None:
    heard = [distance for distance, share in found[name].by_distance.items() if share > 0]
    assert (min(heard), max(heard)) == REACHES[name]
    assert max(found[name].by_distance.values()) == 1


def test_recurrence_forgets_and_self_attention_does_not(found: dict[str, Influence]) -> None:
    assert found["rnn"].by_distance[-MIDDLE] < 1e-5
    assert min(found["self-attention"].by_distance.values()) > 1e-3


def test_the_encoder_of_a_run_as_it_is(dates_run: RunFolder) -> None:
    (one,) = influences([target(str(dates_run.path))])
    assert one.whole
    assert one.by_distance[0] > 0


def test_the_picture(found: dict[str, Influence]) -> None:
    figure = InfluenceFigure(list(found.values()))
    panels = figure.chart().to_dict()["concat"]
    assert [panel["title"]["text"] for panel in panels] == [one.title for one in found.values()]
    (table,) = figure.tables()
    assert [row[0] for row in table.rows] == [one.title for one in found.values()]

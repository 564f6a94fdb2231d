"""Table 1, regenerated: the laws of the literature, and whatever a user brings along."""

from pathlib import Path

import pytest
from torch import nn

from atonce.errors import RecipeError
from atonce.runs.folder import RunFolder
from atonce.studies.measurement.growth import GrowthResult, connecting_depth, measure_growth, rounds
from atonce.studies.measurement.targets import LAYERS, WINDOW, default_targets, target

LENGTHS = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def layers() -> GrowthResult:
    return measure_growth(LAYERS, LENGTHS)


LAWS = {
    "feed-forward": ("linear", "constant", None, "constant"),
    "convolution": ("linear", "constant", "linear", "linear"),
    "dilated-convolution": ("linear", "constant", "logarithmic", "logarithmic"),
    "rnn": ("linear", "linear", "constant", "linear"),
    "gru": ("linear", "linear", "constant", "linear"),
    "lstm": ("linear", "linear", "constant", "linear"),
    "lstm-cells": ("linear", "linear", "constant", "linear"),
    "bidirectional-lstm": ("linear", "linear", "constant", "linear"),
    "mingru-loop": ("linear", "linear", "constant", "linear"),
    "mingru-scan": ("linear", "logarithmic", "constant", "logarithmic"),
    "mingru-log-scan": ("linear", "constant", "constant", "constant"),
    "self-attention": ("quadratic", "constant", "constant", "constant"),
}
"""Work, span, layers until the first is heard of by the last, and path (Vaswani 2017, table 1)."""


@pytest.mark.parametrize("name", LAWS)
def test_each_kind_of_layer_follows_its_laws(layers: GrowthResult, name: str) -> None:
    row = next(row for row in layers.layers if row.name == name)
    assert row.depth is not None
    path = row.growth.path if row.depth.law is None else row.path
    assert (row.growth.work.law, row.growth.span.law, row.depth.law, path.law) == LAWS[name]


def test_nothing_is_without_a_rule(layers: GrowthResult) -> None:
    assert {row.name for row in layers.layers} == {*LAWS, "windowed-self-attention"}
    assert layers.unknown == []


@pytest.mark.parametrize(
    ("name", "length", "depth"),
    [
        ("convolution", 12, 11), ("dilated-convolution", 16, 4), ("self-attention", 9, 1), ("lstm", 9, 1),
        ("windowed-self-attention", 2 * WINDOW + 1, 2), ("feed-forward", 6, None),
    ],
)  # fmt: skip
def test_layers_that_connect_the_first_with_the_last(name: str, length: int, depth: int | None) -> None:
    kind = next(kind for kind in LAYERS if kind.name == name)
    assert connecting_depth(kind, length) == depth


def test_models_in_training_and_in_generation() -> None:
    found = measure_growth([target("transformer"), target("additive-bigru")], (4, 8, 12))
    transformer, recurrent = found.models
    assert transformer.forward.span.law == transformer.training_step.span.law == "constant"
    assert len(set(transformer.training_step.span.values.values())) == 1  # no gradient of another is added
    assert transformer.generation.span.law == "linear"
    assert recurrent.training_step.span.law == recurrent.generation.span.law == "linear"
    assert found.unknown == []


class Mine(nn.Module):
    """A module from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, states):
        return self.layer(states)


def mine(states):
    return states.cumsum(1)


def fails(states):
    return states.reshape(3, 7)


def test_what_a_user_brings_along(monkeypatch: pytest.MonkeyPatch, dates_run: RunFolder) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    mine_too, module = target("test_growth:mine"), target("test_growth:Mine")
    run = target(str(dates_run.path))
    found = measure_growth([mine_too, module, run], (4, 8))
    assert [row.growth.span.law for row in found.layers] == ["constant", "constant"]
    assert found.models[0].title == dates_run.path.name
    assert found.unknown == []
    with pytest.raises(RecipeError, match=r"test_growth:fails failed[\s\S]*RuntimeError: shape"):
        measure_growth([target("test_growth:fails")], (4, 8))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lsmt", r"nothing called 'lsmt'[\s\S]*'lstm'"),
        ("nowhere:thing", r"cannot import nowhere:thing[\s\S]*PYTHONPATH"),
        ("math:nothing", r"cannot import math:nothing"),
        ("math:pi", r"math:pi cannot be called"),
    ],
)
def test_names_of_nothing(name: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        target(name)


def test_an_architecture_may_be_called_by_how_its_name_begins() -> None:
    assert target("additive").name == "additive-bigru"
    assert target("transformer").name == "transformer"  # not transformer-ssru


@pytest.mark.parametrize("lengths", [(), (8,), (8, 8), (1, 2)])
def test_lengths_that_tell_no_law(lengths: tuple[int, ...]) -> None:
    with pytest.raises(RecipeError, match=r"too few lengths to fit[\s\S]*--lengths"):
        measure_growth([], lengths)


def test_progress_is_told_as_often_as_it_was_promised() -> None:
    done: list[int] = []
    chosen = [target("rnn"), target("convs2s")]
    measure_growth(chosen, (4, 8), on_step=lambda: done.append(1))
    assert len(done) == rounds(chosen, (4, 8)) == 8


def test_all_layers_and_a_model_of_each_family_unless_told_otherwise() -> None:
    names = [one.name for one in default_targets()]
    assert names[: len(LAYERS)] == [kind.name for kind in LAYERS]
    assert {"seq2seq-lstm", "additive-bigru", "convs2s", "mingru", "transformer"} <= set(names)


def test_the_tables_say_what_was_found(layers: GrowthResult) -> None:
    (table,) = layers.tables()
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["RNN"] == ("n", "3 n", "7 n", "1", "3 n")
    assert rows["Feed-forward"][-2:] == ("never", "∞")
    assert rows["Convolution, width 3"][-2:] == ("n − 1", "2 n − 2")
    assert "| RNN | n | 3 n | 7 n | 1 | 3 n |" in table.markdown()

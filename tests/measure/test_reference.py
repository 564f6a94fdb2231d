"""What is known of the layers of the literature, found again."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers import scan
from atonce.layers.attention import MultiHeadAttention
from atonce.layers.convolution import ConvolutionEncoderBlock
from atonce.layers.parallel_recurrence import MinGRU
from atonce.layers.recurrence import Directions, RecurrentLayer
from atonce.layers.transformer import EncoderBlock
from atonce.measure import Growth, growth, work_span

DIM = 16
"""The figures in PRAM steps depend on it."""
LENGTHS = (8, 16, 32, 64)


def sequence(length: int) -> Tensor:
    return torch.randn(1, length, DIM, generator=torch.Generator().manual_seed(length))


def grown(layer: Callable[[Tensor], Tensor]) -> Growth:
    return growth(sequence, layer, LENGTHS)


def both_ways(cell: str) -> Callable[[Tensor], Tensor]:
    layer = Directions(*(RecurrentLayer(cell, DIM, DIM) for _ in range(2)))
    return lambda states: layer(states, torch.ones(states.shape[:2], dtype=torch.bool))[0]


def attention_block(states: Tensor) -> Tensor:
    return EncoderBlock(DIM, 2, 4 * DIM, norm="pre", dropout=0.0)(states, None)


def mingru(how: str) -> Callable[[Tensor], Tensor]:
    layer = MinGRU(DIM, DIM)

    def run(states: Tensor) -> Tensor:
        if how == "pairs":
            return layer(states)
        if how == "loop":
            kept = layer.kept(states)
            return scan.loop_scan(kept, (1 - kept) * layer.candidate(states))
        gate = layer.update(states)
        return scan.log_scan(F.logsigmoid(-gate), F.logsigmoid(gate) + layer.candidate(states).log())

    return run


def convolutions(layers: int) -> Callable[[Tensor], Tensor]:
    stack = nn.Sequential(
        *(nn.Sequential(nn.Conv1d(DIM, DIM, 3, padding=1), nn.ReLU()) for _ in range(layers))
    )
    return lambda states: stack(states.mT).mT


@pytest.mark.parametrize(
    ("layer", "span", "pram", "path"),
    [
        pytest.param(RecurrentLayer("rnn", DIM, DIM), "3 n", "7 n", "3 n", id="rnn"),
        pytest.param(RecurrentLayer("gru", DIM, DIM), "9 n", "13 n", "3 n + 1", id="gru"),
        pytest.param(RecurrentLayer("lstm", DIM, DIM), "7 n", "11 n", "2 n + 5", id="lstm"),
        pytest.param(both_ways("lstm"), "7 n", "11 n", "2 n + 5", id="bilstm"),
        pytest.param(convolutions(1), "2", "8", "2", id="convolution"),
        pytest.param(convolutions(4), "8", "32", "8", id="four-convolutions"),
        pytest.param(mingru("log"), "12", "2 log2 n + 16", "8", id="mingru-log-scan"),
        pytest.param(mingru("loop"), "2 n + 4", "2 n + 8", "2 n + 3", id="mingru-loop"),
        pytest.param(mingru("pairs"), "2 log2 n + 3", "2 log2 n + 7", "2 log2 n + 2", id="mingru-pairs"),
    ],
)
def test_layers(layer: Callable[[Tensor], Tensor], span: str, pram: str, path: str) -> None:
    found = grown(layer)
    assert (str(found.span), str(found.span_pram), str(found.path)) == (span, pram, path)
    assert not found.unknown


def test_self_attention() -> None:
    found = grown(attention_block)
    assert found.span.law == found.path.law == "constant"
    assert (found.span_pram.law, found.span_pram.slope) == ("logarithmic", pytest.approx(2))
    assert found.work.law == "quadratic"
    assert all(one.connected == 1 for one in found.calls.values())


def test_work_grows_as_the_literature_says() -> None:
    assert grown(RecurrentLayer("gru", DIM, DIM)).work.law == "linear"
    assert grown(mingru("pairs")).work.law == "linear"
    doubling = growth(
        lambda length: (sequence(length).sigmoid(), sequence(length)),
        scan.doubling_scan,
        (16, 32, 64, 128, 256),
    )
    assert doubling.work.law == "linearithmic"


def test_a_window_sees_so_far_and_no_farther() -> None:
    layer = MultiHeadAttention(DIM, 2, role="encoder-self")

    def windowed(states: Tensor) -> Tensor:
        place = torch.arange(states.shape[1])
        near = ((place[:, None] - place).abs() <= 2)[None]
        return layer(states, layer.project(states), near)

    found = work_span(windowed, sequence(9))
    assert found.paths is not None
    place = torch.arange(9)
    assert ((place[:, None] - place).abs() <= 2).equal(found.paths.isfinite())


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_convolution_sees_one_neighbour_more(layers: int) -> None:
    blocks = [ConvolutionEncoderBlock(DIM, 3, 0.0) for _ in range(layers)]

    def stack(states: Tensor) -> Tensor:
        for block in blocks:
            states = block(states, torch.ones(states.shape[:2], dtype=torch.bool))
        return states

    found = work_span(stack, sequence(9))
    assert found.paths is not None
    place = torch.arange(9)
    assert ((place[:, None] - place).abs() <= layers).equal(found.paths.isfinite())


def test_modules_that_are_not_ours_are_measured_as_they_are() -> None:
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(DIM, 2, 32, batch_first=True, norm_first=True),
        2,
        enable_nested_tensor=False,
    ).eval()
    found = grown(encoder)
    assert (found.span.law, found.span_pram.law, dict(found.unknown)) == ("constant", "logarithmic", {})
    found = grown(nn.LSTM(DIM, DIM, num_layers=2, batch_first=True).eval())
    assert (found.span.law, dict(found.unknown)) == ("linear", {})

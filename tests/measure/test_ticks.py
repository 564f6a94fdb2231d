"""When each part of a program is there, and what goes into it."""

import torch
from torch import Tensor, nn

from atonce.layers.convolution import ConvolutionEncoderBlock
from atonce.layers.recurrence import RecurrentLayer
from atonce.layers.transformer import EncoderBlock
from atonce.measure.ticks import cone, ticks

DIM, LENGTH = 8, 6


def states() -> Tensor:
    return torch.randn(1, LENGTH, DIM, generator=torch.Generator().manual_seed(0))


def stacked(layers: list[nn.Module], *arguments: object) -> nn.Module:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, inputs: Tensor) -> Tensor:
            for layer in self.layers:
                inputs = layer(inputs, *arguments)
            return inputs

    return Stack()


def test_a_recurrent_net_fills_column_by_column_and_self_attention_all_at_once() -> None:
    recurrent = stacked([RecurrentLayer("rnn", DIM, DIM) for _ in range(2)])
    found = ticks(recurrent, states(), dict(recurrent.layers.named_children()))
    assert found.by_layer == {"0": (3, 6, 9, 12, 15, 18), "1": (6, 9, 12, 15, 18, 21)}
    assert found.runs == {"0": 1, "1": 1}
    assert found.last == 21

    attention = stacked([EncoderBlock(DIM, 2, DIM, norm="pre", dropout=0.0) for _ in range(2)], None)
    found = ticks(attention, states(), dict(attention.layers.named_children()))
    assert [len(set(row)) for row in found.by_layer.values()] == [1, 1]
    assert found.by_layer["1"][0] == 2 * found.by_layer["0"][0] == found.last


def test_each_run_of_a_module_is_a_position_after_the_one_before() -> None:
    layer = nn.Tanh()

    def steps(inputs: Tensor) -> Tensor:
        state = torch.zeros(1, 1, DIM)
        for one in inputs.split(1, dim=1):
            state = layer(state + one)
        return state

    found = ticks(steps, states(), {"layer": layer})
    assert found.by_layer["layer"] == (2, 4, 6, 8, 10, 12)
    assert found.runs == {"layer": LENGTH}


def test_the_cone_of_an_output_opens_downwards() -> None:
    blocks = [ConvolutionEncoderBlock(DIM, 3, 0.0) for _ in range(3)]
    stack = stacked(blocks, torch.ones(1, LENGTH, dtype=torch.bool))
    found = cone(stack, states(), dict(stack.layers.named_children()), position=3)
    place = torch.arange(LENGTH)
    for depth in range(3):
        assert found[str(depth)].tolist() == ((place - 3).abs() <= 2 - depth).tolist()
    recurrent = stacked([RecurrentLayer("gru", DIM, DIM) for _ in range(2)])
    found = cone(recurrent, states(), dict(recurrent.layers.named_children()), position=2)
    assert found["0"].tolist() == (place <= 2).tolist()
    assert found["1"].tolist() == (place == 2).tolist()

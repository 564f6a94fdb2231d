"""When each part of a program is there, and what goes into it."""

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.convolution import ConvolutionEncoderBlock
from atonce.layers.recurrence import RecurrentLayer
from atonce.layers.transformer import EncoderBlock
from atonce.measure.ticks import cones, ticks

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
    assert found.by_part == {"0": (3, 6, 9, 12, 15, 18), "1": (6, 9, 12, 15, 18, 21)}
    assert found.runs == {"0": 1, "1": 1}
    assert found.last == 21

    attention = stacked([EncoderBlock(DIM, 2, DIM, norm="pre", dropout=0.0) for _ in range(2)], None)
    found = ticks(attention, states(), dict(attention.layers.named_children()))
    assert [len(set(row)) for row in found.by_part.values()] == [1, 1]
    assert found.by_part["1"][0] == 2 * found.by_part["0"][0] == found.last


def test_each_run_of_a_module_is_a_position_after_the_one_before() -> None:
    layer = nn.Tanh()

    def steps(inputs: Tensor) -> Tensor:
        state = torch.zeros(1, 1, DIM)
        for one in inputs.split(1, dim=1):
            state = layer(state + one)
        return state

    found = ticks(steps, states(), {"layer": layer})
    assert found.by_part["layer"] == (2, 4, 6, 8, 10, 12)
    assert found.runs == {"layer": LENGTH}


def test_the_result_has_ticks_of_its_own() -> None:
    found = ticks(lambda inputs: inputs.cumsum(1).sum(-1), states(), {})
    assert (found.by_part, found.result, found.last) == ({}, (2,) * LENGTH, 2)


def test_a_step_is_a_run_too_but_not_what_a_run_is_made_of() -> None:
    class Cell(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            state, found = torch.zeros(1, DIM), []
            for one in inputs.unbind(1):
                state = self.step(one, state)
                found.append(state)
            return torch.stack(found, 1)

        def step(self, one: Tensor, state: Tensor) -> Tensor:
            return (one + state).tanh()

    cell = Cell()
    whole = ticks(cell, states(), {"cell": cell})
    assert (whole.runs, whole.by_part["cell"]) == ({"cell": 1}, (2, 4, 6, 8, 10, 12))
    once = ticks(lambda inputs: cell.step(inputs[:, 0], inputs[:, 1]), states(), {"cell": cell})
    assert (once.runs, once.by_part["cell"]) == ({"cell": 1}, (2,))
    both = ticks(cell, states(), {"cell": cell, "steps": cell.step})
    assert both.runs == {"cell": 1, "steps": LENGTH}
    assert not {"forward", "step"} & set(vars(cell))  # nothing is left behind
    with pytest.raises(TypeError, match="no method of a module"):
        ticks(cell, states(), {"no": Tick().run})


class Tick:
    def run(self) -> None: ...


def test_the_cone_of_an_output_opens_downwards() -> None:
    blocks = [ConvolutionEncoderBlock(DIM, 3, 0.0) for _ in range(3)]
    stack = stacked(blocks, torch.ones(1, LENGTH, dtype=torch.bool))
    found = cones(stack, states(), dict(stack.layers.named_children()))
    place = torch.arange(LENGTH)
    for depth in range(3):
        assert torch.equal(found[str(depth)], (place[:, None] - place).abs() <= 2 - depth)
    recurrent = stacked([RecurrentLayer("gru", DIM, DIM) for _ in range(2)])
    found = cones(recurrent, states(), dict(recurrent.layers.named_children()))
    assert torch.equal(found["0"], place[:, None] <= place)
    assert torch.equal(found["1"], place[:, None] == place)


def test_what_comes_in_later_runs_is_in_the_cone_too() -> None:
    layer = nn.Tanh()

    def steps(inputs: Tensor) -> Tensor:
        state, found = torch.zeros(1, 1, DIM), []
        for one in inputs.split(1, dim=1):
            state = layer(state + one)
            found.append(state)
        return torch.cat(found, 1)

    place = torch.arange(LENGTH)
    assert torch.equal(cones(steps, states(), {"layer": layer})["layer"], place[:, None] <= place)

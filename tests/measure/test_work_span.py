"""Programs made by hand, whose chains can be counted with a pencil; and what must hold of any program."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from atonce.layers.attention import masked_softmax
from atonce.measure import work_span
from atonce.measure.influence import influence, reach

INF = math.inf


def span(function, inputs) -> int:
    return work_span(function, inputs).span


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 20))
def test_a_chain_takes_as_long_as_it_is_and_its_span_is_its_work(length: int) -> None:
    def chain(value: Tensor) -> Tensor:
        for _ in range(length):
            value = value * 2
        return value

    measured = work_span(chain, numbers(1))
    assert measured.span == measured.span_pram == measured.operations == measured.work == length
    assert [step.operation for step in measured.critical_path] == ["mul"] * length
    assert {step.function.rpartition(".")[2] for step in measured.critical_path} == {"chain"}
    assert measured.parallelism == 1


@given(st.integers(1, 6))
def test_a_tree_takes_as_many_steps_as_it_is_high(height: int) -> None:
    def tree(values: Tensor) -> Tensor:
        while len(values) > 1:
            values = values[::2] + values[1::2]
        return values

    measured = work_span(tree, numbers(2**height))
    assert (measured.span, measured.work) == (height, 2**height - 1)
    assert measured.path == height


def test_what_is_done_to_each_alone_takes_one_step_however_it_is_written() -> None:
    def loop(values: Tensor) -> Tensor:
        out = torch.zeros_like(values)
        for place in range(values.shape[1]):
            out[:, place] = values[:, place].tanh()
        return out

    for each_alone in (torch.tanh, loop):
        measured = work_span(each_alone, numbers(1, 6, 4))
        assert measured.span == 1
        torch.testing.assert_close(
            measured.paths, torch.eye(6, dtype=torch.float64).log().neg() + torch.eye(6)
        )


def test_writing_in_place_makes_a_chain_only_where_there_is_one() -> None:
    def running_sum(values: Tensor) -> Tensor:
        out = values.clone()
        for place in range(1, values.shape[1]):
            out[:, place].add_(out[:, place - 1])
        return out

    measured = work_span(running_sum, numbers(1, 7, 2))
    assert measured.span == 6
    assert measured.paths is not None
    assert measured.paths[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert measured.paths[6].tolist() == [INF] * 6 + [1]
    assert span(lambda values: values.cumsum(1), numbers(1, 7, 2)) == 1


def test_joining_steps_does_not_make_the_first_wait_for_the_last() -> None:
    def steps(values: Tensor) -> Tensor:
        state, states = torch.zeros(1, 4), []
        for value in values.unbind(1):
            state = state + value
            states.append(state)
        return torch.stack(states, 1) * 2

    measured = work_span(steps, numbers(1, 5, 4))
    assert measured.paths is not None
    assert measured.paths.diagonal().tolist() == [2] * 5
    assert measured.paths[0].tolist() == [2, 3, 4, 5, 6]


def test_views_carry_their_waiting_with_them() -> None:
    def views(values: Tensor) -> Tensor:
        turned = values[0].t()  # (dim, time)
        turned[1].mul_(3).add_(1)
        transposed = values.clone().transpose_(1, 2)
        return transposed.mT.unfold(1, 1, 1).squeeze(-1).exp()

    measured = work_span(views, numbers(1, 4, 2))
    assert measured.span == 3
    assert measured.paths is not None
    assert measured.paths.diagonal().tolist() == [1] * 4  # through what was not written over


def _filled(scores: Tensor, mask: Tensor) -> Tensor:
    return masked_softmax(scores, mask)


def _minus_infinity(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)).softmax(-1)


def _lowest(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + torch.where(mask, 0.0, torch.finfo(scores.dtype).min)).softmax(-1)


def _selected(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, scores, -math.inf).softmax(-1)


def _given(scores: Tensor, mask: Tensor) -> Tensor:
    return (scores + _MASKS[len(mask)]).softmax(-1)


_MASKS = {6: torch.full((6, 6), -math.inf).triu(1)}


@pytest.mark.parametrize("masked", [_filled, _minus_infinity, _lowest, _selected, _given])
def test_through_a_mask_nothing_is_seen(masked) -> None:
    def causal_attention(states: Tensor) -> Tensor:
        scores = states @ states.mT
        mask = torch.ones(scores.shape[1:], dtype=torch.bool).tril()
        return masked(scores, mask) @ states

    measured = work_span(causal_attention, numbers(1, 6, 4))
    assert measured.paths is not None
    assert (measured.paths.isfinite() == torch.ones(6, 6).triu().bool()).all()


def test_a_weight_that_happens_to_be_zero_is_no_mask() -> None:
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    measured = work_span(layer, numbers(1, 3, 4))
    assert measured.paths is not None
    assert measured.paths.diagonal().isfinite().all()


def test_what_chance_drops_is_no_mask_either() -> None:
    for dropping in (nn.Dropout(0.9), lambda values: values * torch.rand(values.shape).round()):
        measured = work_span(dropping, numbers(1, 3, 4))
        assert measured.paths is not None
        assert measured.paths.diagonal().isfinite().all()


def test_a_token_that_is_chosen_makes_the_next_one_wait() -> None:
    table = numbers(5, 5)

    def writing(start: Tensor) -> Tensor:
        token, tokens = start, []
        for _ in range(4):
            token = table[token].argmax(-1)
            tokens.append(token)
        return torch.stack(tokens, 1)

    measured = work_span(writing, torch.tensor([2]))
    assert measured.span == 4


@pytest.mark.parametrize("read", [lambda value: value.item() > 0, bool, lambda value: value.tolist() > 0])
def test_what_python_reads_everything_after_waits_for(read) -> None:
    def program(values: Tensor) -> Tensor:
        first = (values[0] * 2).exp()
        return values[1:] + (1 if read(first) else 2)

    measured = work_span(program, numbers(3))
    assert (measured.span, measured.reads) == (3, 1)
    assert measured.paths is not None
    assert measured.paths[0].tolist() == [3, 3]


def test_an_operation_that_nobody_has_described_is_named_and_taken_for_the_worst() -> None:
    @torch.library.custom_op("atonce_test::mystery", mutates_args=())
    def mystery(values: Tensor) -> Tensor:
        return values.flip(1) + 1

    measured = work_span(mystery, numbers(1, 3, 2))
    assert measured.unknown == {"atonce_test::mystery": 1}
    assert measured.paths is not None
    assert (measured.paths == 1).all()


def test_reductions_take_longer_where_processors_are_many_but_not_magic() -> None:
    measured = work_span(lambda values: values.sum(1), numbers(1, 8))
    assert (measured.span, measured.span_pram, measured.work) == (1, 4, 8)
    measured = work_span(lambda values: values @ values.mT, numbers(3, 16))
    assert (measured.span, measured.span_pram, measured.products) == (1, 5, 2 * 3 * 3 * 16)


def test_the_backward_pass_is_measured_too() -> None:
    layer = nn.Linear(4, 4)

    def step(values: Tensor) -> Tensor:
        layer(values).tanh().sum().backward()
        return values

    forward = work_span(lambda values: layer(values).tanh().sum(), numbers(2, 4))
    both = work_span(step, numbers(2, 4))
    assert forward.span == 3
    assert both.span > forward.span
    assert any("backward" in one.operation for one in both.critical_path)
    assert not both.unknown


def test_nothing_stays_switched_off() -> None:
    before = torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError):
        work_span(lambda values: 1 / 0, numbers(1))
    assert (torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()) == before
    state = torch.get_rng_state()
    work_span(lambda values: torch.rand(3), numbers(1))
    assert torch.equal(torch.get_rng_state(), state)


_MODULES = {
    "rnn": nn.RNN(8, 8, batch_first=True),
    "gru": nn.GRU(8, 8, num_layers=2, batch_first=True, bidirectional=True),
    "lstm": nn.LSTM(8, 8, batch_first=True, proj_size=3),
    "transformer": nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    ),
    "linear": nn.Sequential(nn.Linear(8, 5, bias=False), nn.GELU(), nn.LayerNorm(5), nn.RMSNorm(5)),
}


@pytest.mark.parametrize("module", _MODULES.values(), ids=_MODULES)
@pytest.mark.parametrize("training", [False, True])
def test_span_is_at_most_work_and_products_are_those_that_torch_counts(
    module: nn.Module, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = numbers(2, 5, 8)

    def step(values: Tensor) -> Tensor:
        output = module(values)
        output = output[0] if isinstance(output, tuple) else output
        if training:
            output.square().mean().backward()
        return output

    measured = work_span(step, inputs)
    assert not measured.unknown
    assert measured.span <= measured.span_pram <= measured.work
    assert measured.span <= measured.operations
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
    with FlopCounterMode(display=False) as counter:
        step(inputs)
    assert measured.products == counter.get_total_flops()


_CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 6, 3),
    "strided": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, bias=False),
    "dilated": nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "grouped": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "pooled": nn.AvgPool2d(3, stride=2, padding=1),
}


@pytest.mark.parametrize("layer", _CONVOLUTIONS.values(), ids=_CONVOLUTIONS)
@pytest.mark.parametrize("position_dim", [1, 2, 3])
def test_a_convolution_sees_what_its_window_covers(layer: nn.Module, position_dim: int) -> None:
    layer.double()
    inputs = numbers(2, 4, 8, 6).double()
    measured = work_span(layer, inputs, position_dim=position_dim)
    assert measured.paths is not None
    assert measured.paths.isfinite().equal(influence(layer, inputs, position_dim=position_dim) > 0)
    assert not measured.unknown


@pytest.mark.parametrize("name", ["plain", "strided", "dilated"])
def test_the_gradient_of_a_convolution(name: str) -> None:
    layer = _CONVOLUTIONS[name].double()
    inputs = numbers(2, 4, 8, 6).double()
    gradient = torch.randn_like(layer(inputs))

    def of_inputs(given: Tensor) -> Tensor:
        leaf = inputs.clone().requires_grad_()
        return torch.autograd.grad(layer(leaf), leaf, given)[0]

    def step(given: Tensor) -> Tensor:
        layer(given.requires_grad_()).sum().backward()
        return given

    measured = work_span(of_inputs, gradient, position_dim=2)
    assert measured.paths is not None
    assert measured.paths.isfinite().equal(reach(of_inputs, gradient, position_dim=2))
    measured = work_span(step, inputs.clone())
    with FlopCounterMode(display=False) as counter:
        step(inputs.clone())
    assert measured.products == counter.get_total_flops()
    assert not measured.unknown


def test_the_strongest_of_a_window_waits_for_all_of_it() -> None:
    measured = work_span(nn.MaxPool1d(3, stride=2, ceil_mode=True), numbers(1, 2, 8), position_dim=2)
    assert measured.paths is not None
    assert measured.paths.isfinite().T.tolist() == [
        [place in range(2 * first, 2 * first + 3) for place in range(8)] for first in range(4)
    ]

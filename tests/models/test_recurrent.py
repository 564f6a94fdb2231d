import pytest
import torch
from torch import Tensor, nn

from atonce.layers.recurrence import RecurrentStack
from atonce.models.interface import Memory
from atonce.models.recurrent import RecurrentDecoder
from zoo import BOS, DIM, EOS, SOURCES, config_of, model_of, padded

TARGETS = torch.tensor([[BOS, 4, 6], [BOS, 8, 8], [BOS, 3, 9]])
CELLS = ("rnn", "gru", "lstm")
LOOKS = ("none", "additive", "dot", "general")


def as_the_papers_write_it(decoder: RecurrentDecoder, name: str, memory: Memory) -> Tensor:
    """The attentional states h̃ of `TARGETS`, one after another."""

    def context(hidden: Tensor) -> Tensor:
        if decoder.attention is None:
            return memory.pooled
        keys = decoder.attention.keys(memory.states)
        scores = decoder.attention.scores(hidden[:, None], keys)[:, 0].masked_fill(~memory.mask, -torch.inf)
        return (scores.softmax(-1)[..., None] * memory.states).sum(1)

    first = decoder.first_states(memory.pooled).tanh().split(DIM, dim=-1)
    layers = [(h, torch.zeros_like(h)) if "lstm" in name else (h,) for h in first]
    fed, mixtures = torch.zeros_like(first[0]), []
    for embedded in decoder.embedding(TARGETS).unbind(1):
        before = context(layers[-1][0])
        inputs = [embedded]
        inputs += [before] if "additive" in name or "none" in name else []
        inputs += [fed] if "fed" in name else []
        layers = decoder.stack.step(torch.cat(inputs, -1), layers)
        mixed = before if "additive" in name else context(layers[-1][0])
        fed = decoder.combine(torch.cat([layers[-1][0], mixed], -1)).tanh()
        mixtures.append(fed)
    return torch.stack(mixtures, dim=1)


@pytest.mark.parametrize("fed", ["", "_fed"])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_decoder_is_that_of_its_paper(cell: str, look: str, fed: str) -> None:
    name = f"{cell}_{look}{fed}"
    model = model_of(config_of("pre", name))
    memory = model.encode(*padded(SOURCES))
    torch.testing.assert_close(
        model.decoder.forward(TARGETS, memory), as_the_papers_write_it(model.decoder, name, memory)
    )


def runs_of(module: nn.Module, model: nn.Module, *inputs: Tensor) -> int:
    runs = []
    with module.register_forward_hook(lambda *_: runs.append(1)):
        model(*inputs)
    return len(runs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("attention", "runs"), [("dot", 1), ("general", 1), ("additive", 3), ("dot_fed", 3), ("additive_fed", 3)]
)
def test_attention_waits_only_where_the_next_step_needs_it(cell: str, attention: str, runs: int) -> None:
    model = model_of(config_of("bigru", f"{cell}_{attention}"))
    assert runs_of(model.decoder.attention, model, *padded(SOURCES), TARGETS) == runs


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("attention", "fused"), [("none", True), ("dot", True), ("additive", False)])
def test_the_fused_recurrence_is_used_where_it_can_be(cell: str, attention: str, fused: bool) -> None:
    model = model_of(config_of("bigru", f"{cell}_{attention}"))
    assert isinstance(model.decoder.stack, RecurrentStack)
    assert runs_of(model.decoder.stack, model, *padded(SOURCES), TARGETS) == fused


@pytest.mark.parametrize("cell", CELLS)
def test_without_attention_only_the_summary_is_known(cell: str) -> None:
    model = model_of(config_of("bigru", f"{cell}_none_fed"))
    memory = model.encode(*padded(SOURCES))
    other = memory._replace(states=torch.zeros_like(memory.states))
    assert torch.equal(model.decoder.forward(TARGETS, memory), model.decoder.forward(TARGETS, other))
    other = memory._replace(pooled=-memory.pooled)
    assert not torch.allclose(model.decoder.forward(TARGETS, memory), model.decoder.forward(TARGETS, other))


@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_see_both_sides_and_one_sees_the_left(cell: str) -> None:
    source = padded([[5, 3, 8, EOS]])
    other = padded([[5, 3, 9, EOS]])
    for both in (False, True):
        model = model_of(config_of("bi" * both + cell, "gru_none"))
        same = torch.isclose(model.encode(*source).states, model.encode(*other).states).all(-1)[0]
        assert same.tolist() == [not both, not both, False, False]

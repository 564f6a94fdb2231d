"""What holds for every encoder with every decoder (laws 2, 3 and 4 of the design)."""

import pytest
import torch
from torch import Tensor

from atonce.decoding.hypothesis import reorder
from atonce.models.config import ModelConfig
from atonce.models.interface import Decoder, Encoder
from zoo import BOS, SOURCES, every_encoder, every_pair, every_part, model_of, padded

TARGETS = torch.tensor([[BOS, 4, 6, 3, 7], [BOS, 8, 8, 5, 10], [BOS, 3, 9, 4, 6]])


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@every_pair
def test_step_by_step_equals_forward(config: ModelConfig) -> None:
    model = model_of(config)
    memory = model.encode(*padded(SOURCES))
    at_once = model.decoder.logits(model.decoder.forward(TARGETS, memory))
    state, steps = model.decoder.start(memory), []
    for token in TARGETS.unbind(1):
        logits, state = model.decoder.step(token, state)
        steps.append(logits)
    same(torch.stack(steps, dim=1), at_once)


@every_part
def test_no_position_sees_a_later_one(config: ModelConfig) -> None:
    model = model_of(config)
    source = padded(SOURCES)
    features = model(*source, TARGETS)
    for changed in range(1, TARGETS.shape[1]):
        other = TARGETS.clone()
        other[:, changed:] = 11 - other[:, changed:]
        after = model(*source, other)
        assert torch.equal(after[:, :changed], features[:, :changed])
        assert not torch.isclose(after[:, changed:], features[:, changed:]).all(-1).any()


@every_encoder
@pytest.mark.parametrize("fill", [0, 7])
def test_padding_changes_no_memory(config: ModelConfig, fill: int) -> None:
    model = model_of(config)
    source, mask = padded(SOURCES)
    tight = model.encode(source, mask)
    wide = model.encode(*padded(SOURCES, length=9, fill=fill))
    same(wide.pooled, tight.pooled)
    same(wide.states[:, : source.shape[1]][mask], tight.states[mask])


@every_pair
def test_a_sentence_does_not_depend_on_padding_or_neighbours(config: ModelConfig) -> None:
    model = model_of(config)
    together = model(*padded(SOURCES), TARGETS)
    order = torch.tensor([2, 0, 1])
    shuffled = model(*padded([SOURCES[row] for row in order], length=8, fill=7), TARGETS[order])
    same(shuffled, together[order])
    for row, source in enumerate(SOURCES):
        alone = model(*padded([source]), TARGETS[row : row + 1])
        same(alone[0], together[row])


@every_part
def test_a_reordered_state_goes_on_as_its_sentences_would(config: ModelConfig) -> None:
    model = model_of(config)
    memory = model.encode(*padded(SOURCES))
    _, state = model.decoder.step(TARGETS[:, 0], model.decoder.start(memory))
    rows = torch.tensor([2, 0, 0])
    logits, _ = model.decoder.step(TARGETS[:, 1], state)
    reordered, _ = model.decoder.step(TARGETS[rows, 1], reorder(state, rows, rows))
    same(reordered, logits[rows])


@every_part
@torch.inference_mode()
def test_beginnings_of_a_sentence_go_on_as_each_would_alone(config: ModelConfig) -> None:
    """What they share is kept once: a search moves rows, and sentences leave."""
    model = model_of(config)
    source, mask = padded(SOURCES)
    state = model.decoder.start(model.encode(source, mask))
    beginnings: list[list[list[int]]] = [[[BOS]] for _ in SOURCES]
    draw = torch.Generator().manual_seed(0)
    left = list(range(len(SOURCES)))
    for width, stays in ((1, [0, 1, 2]), (3, [0, 1, 2]), (3, [0, 2]), (2, [1]), (2, [0])):
        tokens = torch.tensor([one[-1] for sentence in left for one in beginnings[sentence]])
        logits, state = model.decoder.step(tokens, state)
        together = logits.unflatten(0, (len(left), -1))
        for sentence, of_sentence in zip(left, together, strict=True):
            for begun, ours in zip(beginnings[sentence], of_sentence, strict=True):
                alone = model(source[sentence][None], mask[sentence][None], torch.tensor([begun]))
                same(ours, model.decoder.logits(alone[0, -1]))
        places = len(beginnings[left[0]])
        parents = torch.randint(places, (len(stays), width), generator=draw)
        next_tokens = torch.randint(3, 11, (len(stays), width), generator=draw)
        rows = (torch.tensor(stays)[:, None] * places + parents).flatten()
        state = reorder(state, rows, torch.tensor(stays))
        left = [left[stay] for stay in stays]
        for sentence, row, tokens in zip(left, parents.tolist(), next_tokens.tolist(), strict=True):
            old = beginnings[sentence]
            beginnings[sentence] = [[*old[place], token] for place, token in zip(row, tokens, strict=True)]


@every_part
def test_every_weight_learns_and_dropout_is_for_training_only(config: ModelConfig) -> None:
    model = model_of(config)
    source = padded(SOURCES)
    assert isinstance(model.encoder, Encoder)
    assert isinstance(model.decoder, Decoder)
    assert torch.equal(model(*source, TARGETS), model(*source, TARGETS))
    model.train()
    assert not torch.allclose(model(*source, TARGETS), model(*source, TARGETS))
    model.decoder.logits(model(*source, TARGETS)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name

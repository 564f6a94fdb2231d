"""What is compiled computes what the model in eight bits does, and a row of it what it does alone."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from atonce.decoding.beam import beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, reorder
from atonce.decoding.topk import topk_continuations
from atonce.fast import accelerate
from atonce.models.config import ModelConfig
from atonce.models.interface import Memory
from atonce.models.seq2seq import Seq2Seq
from compiling import kernels_or_skip
from zoo import (
    BOS,
    DECODERS,
    ENCODERS,
    SOURCES,
    TOKENS,
    config_of,
    decided_model,
    every_part,
    model_of,
    padded,
)

kernels_or_skip()

from atonce.fast.engine import CompiledModel, CompiledTransformer  # noqa: E402

every_transformer = pytest.mark.parametrize(
    "name", [n for n, c in ENCODERS.items() if c.kind == "transformer"]
)
MANY = [[3 + (7 * row + place) % 8 for place in range(1 + row % 9)] for row in range(40)]
"""Sources of one to nine tokens, more than are computed at once."""


def both(name: str, *, decided: bool = False) -> tuple[Seq2Seq, CompiledModel]:
    """A model in eight bits, and compiled."""
    model = (decided_model if decided else model_of)(config_of(name, name)).float()
    accelerate(model)
    assert model.engine is not None
    return model, model.engine


def near(found: Tensor, expected: Tensor) -> None:
    """Up to a rounding to eight bits that a sum in another order tips over to the next level."""
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    assert (found - expected).abs().median() < 1e-5


@every_transformer
@torch.inference_mode()
def test_states_are_the_encoders(name: str) -> None:
    model, compiled = both(name)
    source, mask = padded(MANY)
    found, expected = compiled.encode(source, mask), model.encode(source, mask)
    near(found.states[mask], expected.states[mask])
    near(found.pooled, expected.pooled)
    assert torch.equal(found.mask, mask)


@every_transformer
@torch.inference_mode()
def test_gaps_in_a_source_are_not_seen(name: str) -> None:
    """As in an image whose patches are partly beyond its edge."""
    model, compiled = both(name)
    source = torch.tensor([[5, 3, 8, 4, 6, 7]])
    mask = torch.tensor([[True, False, True, True, False, True]])
    near(compiled.encode(source, mask).states[mask], model.encode(source, mask).states[mask])
    memory = model.encode(source, mask)
    token = torch.tensor([BOS])
    found, _ = compiled.decoder.advance(token, compiled.decoder.start(memory))
    expected, _ = model.decoder.advance(token, model.decoder.start(memory))
    near(found, expected)


@every_transformer
@torch.inference_mode()
def test_steps_are_the_decoders(name: str) -> None:
    """Beyond the room there is at first; some beginnings are given up meanwhile, and others branch."""
    model, compiled = both(name)
    memory = model.encode(*padded(MANY))
    token = torch.full((len(MANY),), BOS)
    state, plain = compiled.decoder.start(memory), model.decoder.start(memory)
    draw = torch.Generator().manual_seed(0)
    for step in range(24):
        found, state = compiled.decoder.advance(token, state)
        expected, plain = model.decoder.advance(token, plain)
        near(found, expected)
        sentences, width = len(state.sentences.content), 3 if step % 2 else 2
        before = len(token) // sentences
        kept = torch.arange(sentences)[:: 2 if step == 9 else 1]
        parents = (
            kept[:, None] * before + torch.randint(before, (len(kept), width), generator=draw)
        ).flatten()
        state, plain = reorder(state, parents, kept), reorder(plain, parents, kept)
        token = torch.randint(3, 11, (len(parents),), generator=draw)


@every_transformer
@torch.inference_mode()
def test_neighbours_change_nothing(name: str) -> None:
    """Not even the last bit."""
    _, compiled = both(name, decided=True)
    together = compiled.encode(*padded(MANY))
    features, _ = compiled.decoder.advance(torch.full((len(MANY),), 4), compiled.decoder.start(together))
    for row in (0, 8, 17, 39):
        alone = compiled.encode(*padded([MANY[row]]))
        assert torch.equal(alone.states[0], together.states[row, : len(MANY[row])])
        feature, _ = compiled.decoder.advance(torch.tensor([4]), compiled.decoder.start(alone))
        assert torch.equal(feature[0], features[row])


@every_part
@torch.inference_mode()
def test_the_best_tokens_are_those_of_all_scores(config: ModelConfig) -> None:
    model = decided_model(config).float()
    accelerate(model)
    compiled = model.engine
    assert compiled is not None
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(6, model.decoder.output.weight.shape[1], generator=draw)
    totals = torch.tensor([[0.0, -1.0], [-2.0, -torch.inf], [-0.5, -0.5]])
    for count in (1, 4):
        found, expected = (
            topk_continuations(decoder, features, None, totals, torch.tensor(TOKENS.suppress), count)
            for decoder in (compiled.decoder, model.decoder)
        )
        torch.testing.assert_close(found.totals, expected.totals, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(found.places, expected.places)


def outputs(found: list[Hypothesis]) -> list[tuple[int, ...]]:
    return [one.tokens for one in found]


@every_part
@torch.inference_mode()
def test_a_beam_of_one_is_greedy(config: ModelConfig) -> None:
    model = decided_model(config).float()
    accelerate(model)
    compiled = model.engine
    assert compiled is not None
    memory, lengths = compiled.encode(*padded(SOURCES)), torch.tensor([7, 5, 8])
    one = beam_search(compiled.decoder, memory, TOKENS, lengths, width=1, alpha=0.0)
    assert outputs([found[0] for found in one]) == outputs(greedy(compiled.decoder, memory, TOKENS, lengths))


@every_transformer
@torch.inference_mode()
def test_search_finds_the_same_in_a_batch_and_alone(name: str) -> None:
    _, compiled = both(name, decided=True)

    def found(rows: list[list[int]]) -> list[list[Hypothesis]]:
        memory = compiled.encode(*padded(rows))
        lengths = torch.tensor([2 * len(row) + 3 for row in rows])
        return beam_search(compiled.decoder, memory, TOKENS, lengths, width=3)

    together = found(MANY[:12])
    assert together == [found([row])[0] for row in MANY[:12]]
    for hypotheses in together:
        assert all(one.score >= other.score for one, other in pairwise(hypotheses))


@every_transformer
@torch.inference_mode()
def test_a_step_gives_scores_and_forward_is_the_models(name: str) -> None:
    model, compiled = both(name)
    memory = model.encode(*padded(SOURCES))
    target = torch.tensor([[BOS, 4, 7], [BOS, 9, 3], [BOS, 5, 5]])
    assert torch.equal(compiled.decoder.forward(target, memory), model.decoder.forward(target, memory))
    scores, _ = compiled.decoder.step(target[:, 0], compiled.decoder.start(memory))
    expected, _ = model.decoder.step(target[:, 0], model.decoder.start(memory))
    near(scores, expected)


def test_what_is_not_float32_is_not_compiled() -> None:
    model = model_of(config_of("pre", "pre"))
    accelerate(model)
    assert model.engine is None


def test_recurrent_decoders_choose_compiled() -> None:
    model = model_of(config_of("bigru", "gru_dot")).float()
    accelerate(model)
    assert model.engine is not None
    assert not isinstance(model.engine.decoder, CompiledTransformer)
    assert model.engine.encoder is model.encoder
    model.engine.warm_up()


@pytest.mark.parametrize("name", [n for n, c in DECODERS.items() if c.kind == "transformer"])
def test_to_warm_up_changes_nothing(name: str) -> None:
    _, compiled = both(name)
    before = compiled.encode(*padded(SOURCES))
    compiled.warm_up()
    after = compiled.encode(*padded(SOURCES))
    assert all(torch.equal(one, other) for one, other in zip(before[:3], after[:3], strict=True))
    assert isinstance(before, Memory)

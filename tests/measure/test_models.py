"""Law 10 on every family: what the shadows say can be reached is what the Jacobian and a perturbation say."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from atonce.measure import work_span
from atonce.measure.influence import influence, reach
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from zoo import BOS, EOS, config_of, every_encoder, every_part, model_of

LENGTH = 7
REAL = torch.tensor([[True] * (LENGTH - 2) + [False] * 2])
TOKENS = torch.tensor([[BOS, 5, 3, 8, 4, 9, EOS]])


def check_reach(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Have the three agree, and return what they say."""
    measured = work_span(function, inputs)
    assert not measured.unknown
    assert measured.paths is not None
    reached = measured.paths.isfinite()
    assert reached.equal(influence(function, inputs) > 0)
    assert reached.equal(reach(function, inputs))
    return reached


@every_encoder
def test_encoders_reach_what_they_reach(config: ModelConfig) -> None:
    encoder = model_of(config).encoder
    inputs = torch.randn(
        1, LENGTH, config.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    check_reach(lambda states: encoder(states, REAL | True).states, inputs)
    padded = check_reach(lambda states: encoder(states, REAL).states[:, : LENGTH - 2], inputs)
    assert not padded[LENGTH - 2 :].any()  # law 2: padding changes nothing


def target_of(model: Seq2Seq) -> Callable[[Tensor], Tensor]:
    """The features of a known target, as a function of what is added to the vectors of its tokens."""
    source = torch.tensor([[4, 7, EOS]])
    memory = model.encode(source, source > 0)

    def features(added: Tensor) -> Tensor:
        hook = model.decoder.embedding.register_forward_hook(lambda _, __, vectors: vectors + added)
        with hook:
            return model.decoder.forward(TOKENS, memory)

    return features


@every_part
def test_decoders_see_no_later_position(config: ModelConfig) -> None:
    """Law 3, by reachability."""
    reached = check_reach(
        target_of(model_of(config)), torch.zeros(1, LENGTH, config.dim, dtype=torch.float64)
    )
    assert not reached.tril(-1).any()
    assert reached.diagonal().all()


@every_part
def test_decoders_see_the_whole_source(config: ModelConfig) -> None:
    model = model_of(config)
    states = torch.randn(
        1, LENGTH, config.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    memory = model.encode(TOKENS, TOKENS >= 0)

    def features(given: Tensor) -> Tensor:
        return model.decoder.forward(TOKENS, memory._replace(states=given, mask=REAL))

    reached = check_reach(features, states)
    looks = "none" not in str(getattr(config.decoder, "attention", ""))
    assert reached[: LENGTH - 2].all() if looks else not reached.any()
    assert not reached[LENGTH - 2 :].any()


def generate(model: Seq2Seq, source: Tensor, steps: int) -> Tensor:
    state = model.decoder.start(model.encode(source, source >= 0))
    token, tokens = torch.full((1,), BOS), []
    for _ in range(steps):
        logits, state = model.decoder.step(token, state)
        token = logits.argmax(-1)
        tokens.append(token)
    return torch.stack(tokens, 1)


@every_part
def test_no_model_does_what_nobody_has_described(config: ModelConfig) -> None:
    """In training with its backward pass, and in generation, where each token waits for the one before."""
    model = model_of(config)

    def training(source: Tensor) -> Tensor:
        features = model.train()(source, source >= 0, TOKENS)
        model.decoder.logits(features).logsumexp(-1).sum().backward()
        return features

    measured = work_span(training, TOKENS)
    assert not measured.unknown
    assert measured.span <= measured.span_pram <= measured.work
    model.eval()
    spans = [work_span(lambda s, n=n: generate(model, s, n), TOKENS, paths=False) for n in (2, 4, 6)]
    assert not any(one.unknown for one in spans)
    first, second, third = (one.span for one in spans)
    assert third - second == pytest.approx(second - first, abs=(second - first) // 3)
    assert second > first


def test_the_transformer_trains_at_once_and_writes_in_turn() -> None:
    model = model_of(config_of("pre", "pre"))
    spans = [
        work_span(lambda p: model(p, p >= 0, p), torch.ones(1, n, dtype=torch.long)).span for n in (4, 8, 16)
    ]
    assert len(set(spans)) == 1

import pytest
import torch

from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis
from zoo import BOS, EOS, TOKENS, VOCAB, Chain, blank_memory, config_of, decided_model, forced, padded

MANY = 4000


def drawn(
    decoder: Chain, *, temperature: float, seed: int, most: int = 1, rows: int = MANY
) -> list[Hypothesis]:
    torch.manual_seed(seed)
    return greedy(
        decoder, blank_memory(rows), TOKENS, torch.full((rows,), most), alpha=0.0, temperature=temperature
    )


def test_the_likeliest_token_is_taken_at_each_step() -> None:
    decoder = Chain(VOCAB, 0)
    (found,) = greedy(decoder, blank_memory(1), TOKENS, torch.tensor([7]))
    before = BOS
    for step, token in enumerate(found.tokens):
        allowed = [other for other in range(VOCAB) if other not in TOKENS.suppress]
        assert token == max(allowed, key=lambda other: float(decoder.table[step, before, other]))
        before = token


def test_drawing_depends_on_the_seed_alone() -> None:
    decoder = Chain(VOCAB, 0)
    one, again, other = (drawn(decoder, temperature=1.0, seed=seed, most=6, rows=20) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    decoder = Chain(VOCAB, 1)
    logits = decoder.table[0, BOS].clone()
    logits[list(TOKENS.suppress)] = -torch.inf
    likely = (logits / temperature).softmax(-1)
    counts = torch.bincount(
        torch.tensor([one.tokens[0] for one in drawn(decoder, temperature=temperature, seed=0)]),
        minlength=VOCAB,
    )
    sigma = (MANY * likely * (1 - likely)).sqrt()
    assert ((counts - MANY * likely).abs() <= 4 * sigma).all()


def test_a_low_temperature_is_greedy() -> None:
    decoder = Chain(VOCAB, 2)
    (likeliest,) = greedy(decoder, blank_memory(1), TOKENS, torch.tensor([7]))
    cold = drawn(decoder, temperature=1e-3, seed=0, most=7, rows=10)
    assert {one.tokens for one in cold} == {likeliest.tokens}


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 5e-324])
def test_however_low_a_temperature_the_likeliest_is_drawn(temperature: float) -> None:
    decoder = Chain(VOCAB, 2)
    (likeliest,) = greedy(decoder, blank_memory(1), TOKENS, torch.tensor([7]))
    cold = drawn(decoder, temperature=temperature, seed=0, most=7, rows=10)
    assert {one.tokens for one in cold} == {likeliest.tokens}


@pytest.mark.parametrize("temperature", [1e30, 1e300])
def test_however_high_a_temperature_what_is_never_written_stays_away(temperature: float) -> None:
    hot = drawn(Chain(VOCAB, 2), temperature=temperature, seed=0, most=3, rows=50)
    assert not {token for one in hot for token in one.tokens} & set(TOKENS.suppress)
    assert len({one.tokens for one in hot}) > 10


def test_what_is_drawn_has_the_probability_the_model_gives_it() -> None:
    """Whatever the temperature was."""
    model, source = decided_model(config_of("bigru", "gru_additive")), [4, 6, EOS]
    with torch.inference_mode():
        memory = model.encode(*padded([source] * 5))
    torch.manual_seed(0)
    found = greedy(model.decoder, memory, TOKENS, torch.full((5,), 6), temperature=3.0)
    assert len({one.tokens for one in found}) > 1
    for one in found:
        assert one.log_probability == pytest.approx(forced(model, source, one.tokens), rel=1e-9)

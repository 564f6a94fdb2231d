"""What holds for greedy and beam search with every encoder and every decoder (laws 2 and 5 of the design)."""

from collections.abc import Sequence

import pytest
import torch

from atonce.decoding.beam import beam_search
from atonce.decoding.greedy import greedy
from atonce.decoding.hypothesis import Hypothesis, length_penalty
from atonce.decoding.search import SearchOptions, check_search_fits, drawing_bytes, search_bytes
from atonce.errors import RecipeError
from atonce.models.config import ModelConfig
from atonce.models.interface import repeated
from atonce.models.seq2seq import Seq2Seq
from peak import peak_growth
from zoo import (
    BOS,
    EOS,
    PAD,
    SOURCES,
    TOKENS,
    config_of,
    decided_model,
    every_part,
    forced,
    model_of,
    padded,
)  # fmt: skip

MOST = [4, 9, 6]
ALPHA = 0.7


@torch.inference_mode()
def search(
    model: Seq2Seq, sources: Sequence[Sequence[int]], most: list[int], *, width: int, padding: int = 0
) -> list[list[Hypothesis]]:
    """Greedy for width 0."""
    memory = model.encode(*padded(sources, length=padding, fill=5))
    if width:
        return beam_search(model.decoder, memory, TOKENS, torch.tensor(most), width=width, alpha=ALPHA)
    return [[one] for one in greedy(model.decoder, memory, TOKENS, torch.tensor(most), alpha=ALPHA)]


def the_same(found: list[Hypothesis], other: list[Hypothesis]) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in other]
    for one, another in zip(found, other, strict=True):
        assert one.log_probability == pytest.approx(another.log_probability, rel=1e-9)
        assert one.score == pytest.approx(another.score, rel=1e-9)


@every_part
def test_a_beam_of_one_is_greedy(config: ModelConfig) -> None:
    model = decided_model(config)
    for one, other in zip(
        search(model, SOURCES, MOST, width=1), search(model, SOURCES, MOST, width=0), strict=True
    ):
        the_same(one, other)


@every_part
@pytest.mark.parametrize("width", [0, 3])
def test_a_score_is_that_of_forced_decoding(config: ModelConfig, width: int) -> None:
    model = decided_model(config)
    for source, found in zip(SOURCES, search(model, SOURCES, MOST, width=width), strict=True):
        for one in found:
            assert one.log_probability == pytest.approx(forced(model, source, one.tokens), rel=1e-9)
            assert one.score == one.log_probability / length_penalty(len(one.tokens), ALPHA)


@every_part
@pytest.mark.parametrize("width", [0, 3])
def test_neighbours_order_and_padding_change_no_output(config: ModelConfig, width: int) -> None:
    model = decided_model(config)
    together = search(model, SOURCES, MOST, width=width)
    order = [2, 0, 1]
    shuffled = search(model, [SOURCES[i] for i in order], [MOST[i] for i in order], width=width, padding=8)
    for index, found in zip(order, shuffled, strict=True):
        the_same(found, together[index])
    for index, source in enumerate(SOURCES):  # alone: no other sentence stays longer in the batch
        (alone,) = search(model, [source], [MOST[index]], width=width)
        the_same(alone, together[index])


@every_part
@pytest.mark.parametrize("width", [0, 1, 4])
def test_outputs_are_outputs(config: ModelConfig, width: int) -> None:
    model = decided_model(config, seed=1)
    for most, found in zip(MOST, search(model, SOURCES, MOST, width=width), strict=True):
        assert len(found) == max(width, 1)
        assert len({one.tokens for one in found}) == len(found)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        for one in found:
            assert not {PAD, BOS} & set(one.tokens)
            assert EOS not in one.tokens[:-1]
            assert len(one.tokens) == most or one.tokens[-1] == EOS
            assert 1 <= len(one.tokens) <= most


@every_part
def test_what_must_never_be_is_not_even_where_it_is_likeliest(config: ModelConfig) -> None:
    model = decided_model(config)
    with torch.no_grad():  # features point somewhere; make the padding token point there, but stronger
        features = model(*padded(SOURCES), torch.tensor([[BOS]] * 3))
        model.decoder.output.weight[PAD] = 50 * features[0, 0]
        assert model.decoder.logits(features)[0, 0].argmax() == PAD
    for width in (0, 3):
        found = search(model, SOURCES, MOST, width=width)
        assert not any(PAD in one.tokens for hypotheses in found for one in hypotheses)
        assert all(one.log_probability > -torch.inf for hypotheses in found for one in hypotheses)
        # its share of the probability stays its own
        assert found[0][0].log_probability == pytest.approx(forced(model, SOURCES[0], found[0][0].tokens))


CPU = torch.device("cpu")
MEASURED = 1.02
"""The system counts pages, and not all of them at once."""


@pytest.mark.parametrize(("vocab", "width"), [(1_000_000, 1), (200_000, 60), (2_000, 1_500)])
def test_a_search_takes_what_was_counted(vocab: int, width: int) -> None:
    """Where the likeliest is found alone, by groups, and in a beam too wide for groups."""
    model = model_of(config_of("bigru", "gru_none"), vocab=vocab, dtype=torch.float32)

    def work() -> None:
        memory = model.encode(*padded(SOURCES[:1]))
        beam_search(model.decoder, memory, TOKENS, torch.tensor([4]), width=width)

    needed = sum(search_bytes(vocab, 8, width=width, device=CPU).values())
    taken = peak_growth(torch.inference_mode()(work))
    assert taken / 5 < needed < MEASURED * taken


@pytest.mark.parametrize(("draws", "prefix"), [(500, ()), (500, (7,)), (140, (7,))])
def test_drawing_takes_what_was_counted(draws: int, prefix: tuple[int, ...]) -> None:
    vocab = 20_000
    model = model_of(config_of("bigru", "gru_none"), vocab=vocab, dtype=torch.float32)

    def work() -> None:
        memory = repeated(model.encode(*padded(SOURCES[:1])), draws)
        longest = torch.full((draws,), 2)
        greedy(model.decoder, memory, TOKENS, longest, temperature=1.0, prefix=prefix)

    needed = sum(drawing_bytes(vocab, 8, draws=draws, forced=bool(prefix)).values())
    taken = peak_growth(torch.inference_mode()(work))
    assert taken / 5 < needed < MEASURED * taken


def given(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    for module in ("atonce.models.device", "atonce.decoding.search"):
        monkeypatch.setattr(f"{module}.free_memory", lambda _: free)


def test_thousands_are_drawn_where_scores_of_all_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, 2**30)
    model = model_of(config_of("bigru", "gru_none"), vocab=50_000, dtype=torch.float32)

    def drawn(draws: int, prefix: tuple[int, ...] = ()) -> SearchOptions:
        return SearchOptions(temperature=1.0, draws=draws, prefix=prefix)

    check_search_fits(model.decoder, drawn(5_000))
    with pytest.raises(RecipeError, match="this search takes at least") as told:
        check_search_fits(model.decoder, drawn(5_000, prefix=(7,)))
    most = int(told.value.fix.removeprefix("lower nbest to ").removesuffix(" or less").replace(",", ""))
    check_search_fits(model.decoder, drawn(most, prefix=(7,)))
    with pytest.raises(RecipeError):
        check_search_fits(model.decoder, drawn(most + 1, prefix=(7,)))

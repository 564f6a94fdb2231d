import torch

from atonce.decoding.beam import beam_search
from atonce.decoding.greedy import greedy
from atonce.fast import accelerate
from atonce.models.config import ModelConfig
from zoo import BOS, SOURCES, TOKENS, decided_model, every_part, model_of, padded

TARGETS = torch.tensor([[BOS, 4, 7], [BOS, 9, 3], [BOS, 5, 5]])


@every_part
@torch.inference_mode()
def test_in_eight_bits_scores_are_nearly_the_same(config: ModelConfig) -> None:
    model = model_of(config)
    before = model.decoder.logits(model(*padded(SOURCES), TARGETS))
    accelerate(model)
    after = model.decoder.logits(model(*padded(SOURCES), TARGETS))
    spread = before.std()
    assert 0 < (after - before).abs().mean() < 0.05 * spread


@every_part
@torch.inference_mode()
def test_in_eight_bits_steps_are_the_whole_and_neighbours_change_nothing(config: ModelConfig) -> None:
    """A sum in another order may tip a rounding over, to the next level."""
    model = model_of(config)
    accelerate(model)
    whole = model.decoder.logits(model(*padded(SOURCES), TARGETS))
    state = model.decoder.start(model.encode(*padded(SOURCES)))
    for time, token in enumerate(TARGETS.unbind(1)):
        logits, state = model.decoder.step(token, state)
        torch.testing.assert_close(logits, whole[:, time], rtol=0, atol=0.05)
    for row, source in enumerate(SOURCES):
        alone = model.decoder.logits(model(*padded([source]), TARGETS[row : row + 1]))
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=0.05)


@every_part
@torch.inference_mode()
def test_in_eight_bits_a_beam_of_one_is_greedy(config: ModelConfig) -> None:
    model = decided_model(config)
    accelerate(model)
    memory, lengths = model.encode(*padded(SOURCES)), torch.tensor([7, 5, 8])
    one = beam_search(model.decoder, memory, TOKENS, lengths, width=1, alpha=0.0)
    assert [found[0].tokens for found in one] == [
        found.tokens for found in greedy(model.decoder, memory, TOKENS, lengths)
    ]


@every_part
def test_what_is_rounded_learns_no_more(config: ModelConfig) -> None:
    model = model_of(config)
    accelerate(model)
    assert not any(weight.requires_grad for weight in model.parameters())

"""Every architecture can learn: ten pairs by heart, which no broken gradient or missing look allows."""

import math
import random

import torch
import torch.nn.functional as F

from atonce.decoding.greedy import greedy
from atonce.models.config import ModelConfig
from zoo import BOS, EOS, PAD, TOKENS, VOCAB, every_part, model_of, padded


def ten_pairs() -> tuple[list[list[int]], list[list[int]]]:
    """Sources that differ in their words, not only in their order: some encoders have no order."""
    draw = random.Random(0)
    words = range(EOS + 1, VOCAB)
    bags = draw.sample([(a, b, c) for a in words for b in words for c in words if a < b < c], 10)
    sources = [[*draw.sample(bag, 3), EOS] for bag in bags]
    targets = [[*draw.choices(words, k=draw.randint(2, 5)), EOS] for _ in bags]
    return sources, targets


@every_part
def test_ten_pairs_are_learned_by_heart(config: ModelConfig) -> None:
    sources, targets = ten_pairs()
    # Without dropout, which the ready model does not apply.
    model = model_of(config.model_copy(update={"dim": 32}), dtype=torch.float32)
    source, wanted = padded(sources), padded(targets)[0]
    target_in = F.pad(wanted[:, :-1], (1, 0), value=BOS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        scores = model.decoder.logits(model(*source, target_in))
        loss = F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=PAD, reduction="sum")
        if loss < math.log(2):  # then every token has more than half of the probability
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        written = greedy(model.decoder, model.encode(*source), TOKENS, torch.full((10,), 8))
    assert [list(hypothesis.tokens) for hypothesis in written] == targets

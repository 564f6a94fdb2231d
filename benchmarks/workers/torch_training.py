"""A plain loop round torch.nn.Transformer, as a careful tutorial writes it: FOLDER transformer.

Post-norm layers as they come, sinusoids, one table for source, target and output, Adam, cross entropy over
all scores; sentences sorted by length, padded, masked. Needs torch and sentencepiece.
"""

import math
import random
import sys
from pathlib import Path

import sentencepiece
import torch
import torch.nn.functional as F
import worker
from torch import Tensor, nn

DIM, HEADS, LAYERS, FEED_FORWARD, VOCAB, DROPOUT = 256, 4, 3, 1024, 8000, 0.1
MOST = 4096
PAD, BOS, EOS = 0, 2, 3


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, DIM, padding_idx=PAD)
        nn.init.normal_(self.table.weight, std=DIM**-0.5)
        self.transformer = nn.Transformer(DIM, HEADS, LAYERS, LAYERS, FEED_FORWARD, DROPOUT, batch_first=True)
        self.dropout = nn.Dropout(DROPOUT)
        angle = torch.arange(512)[:, None] / 10_000 ** (torch.arange(0, DIM, 2) / DIM)
        self.register_buffer("positions", torch.stack([angle.sin(), angle.cos()], -1).flatten(1))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.table(tokens) * math.sqrt(DIM) + self.positions[: tokens.shape[1]])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        features = self.transformer(
            self.embed(source), self.embed(target), tgt_mask=later, src_key_padding_mask=source == PAD,
            tgt_key_padding_mask=target == PAD, memory_key_padding_mask=source == PAD,
        )  # fmt: skip
        return F.linear(features, self.table.weight)


def padded(rows: list[list[int]]) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


def batches(pairs: list[tuple[list[int], list[int]]]) -> list[list[tuple[list[int], list[int]]]]:
    """Sorted by length, at most so many target positions each, in random order."""
    found, batch = [], []
    for pair in sorted(pairs, key=lambda pair: (len(pair[1]), len(pair[0]))):
        if batch and (len(batch) + 1) * len(pair[1]) > MOST:
            found.append(batch)
            batch = []
        batch.append(pair)
    random.shuffle(found)
    return found


def main(folder: Path) -> None:
    random.seed(1)
    torch.manual_seed(1)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pairs = [([*tokenizer.encode(a), EOS], [*tokenizer.encode(b), EOS]) for a, b in worker.sentences(folder)]
    model = Translator()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, betas=(0.9, 0.98))
    criterion = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
    waiting = batches(pairs)

    def step() -> dict[str, int]:
        batch = waiting.pop()
        source, target = padded([one for one, _ in batch]), padded([one for _, one in batch])
        target_in = torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], 1)
        optimizer.zero_grad()
        scores = model(source, target_in)
        criterion(scores.flatten(0, 1), target.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return worker.done(((len(a), len(b)) for a, b in batch), target.numel())

    worker.serve(step, f"sorted by length, at most {MOST} target positions with padding; Adam")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

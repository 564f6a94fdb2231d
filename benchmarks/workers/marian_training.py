"""MarianMT of the transformers library in a plain loop, sentences grouped by length: FOLDER transformer.

Needs torch, transformers and sentencepiece.
"""

import random
import sys
from pathlib import Path

import sentencepiece
import torch
import worker
from torch import nn
from torch_training import BOS, EOS, PAD, batches, padded
from transformers import MarianConfig, MarianMTModel


def main(folder: Path) -> None:
    random.seed(1)
    torch.manual_seed(1)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pairs = [([*tokenizer.encode(a), EOS], [*tokenizer.encode(b), EOS]) for a, b in worker.sentences(folder)]
    model = MarianMTModel(
        MarianConfig(
            vocab_size=8000, d_model=256, encoder_layers=3, decoder_layers=3, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=1024, decoder_ffn_dim=1024, dropout=0.1,
            pad_token_id=PAD, eos_token_id=EOS, bos_token_id=BOS, decoder_start_token_id=BOS,
            scale_embedding=True, max_position_embeddings=512,
        )
    )  # fmt: skip
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, betas=(0.9, 0.98))
    criterion = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
    waiting = batches(pairs)

    def step() -> dict[str, int]:
        batch = waiting.pop()
        source, target = padded([one for one, _ in batch]), padded([one for _, one in batch])
        target_in = torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], 1)
        optimizer.zero_grad()
        scores = model(
            input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target_in
        ).logits
        criterion(scores.flatten(0, 1), target.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return worker.done(((len(a), len(b)) for a, b in batch), target.numel())

    worker.serve(step, "grouped by length; Adam")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

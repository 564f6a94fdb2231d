"""eole's own training, batches and all, a step at a time: FOLDER MODEL.

Needs eole and aiohttp, which it does not declare. Its `brnn` splits its width: 128 a direction where others
have 256, since its decoder must be as wide as its encoder.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import worker
from eole.bin.main import main as eole
from eole.trainer import Trainer

BATCH = 4096
MODELS: dict[str, dict[str, Any]] = {
    "transformer": {
        "architecture": "transformer", "layers": 3, "hidden_size": 256, "heads": 4, "transformer_ff": 1024,
        "mlp_activation_fn": "relu", "layer_norm": "standard", "add_qkvbias": True, "add_ffnbias": True,
        "add_final_linear_bias": True,
        "embeddings": {"word_vec_size": 256, "position_encoding_type": "SinusoidalInterleaved"},
    },
    "rnn": {
        "architecture": "rnn", "hidden_size": 256, "embeddings": {"word_vec_size": 256},
        "encoder": {"encoder_type": "brnn", "rnn_type": "LSTM", "layers": 1, "hidden_size": 256},
        "decoder": {
            "decoder_type": "rnn", "rnn_type": "LSTM", "layers": 1, "hidden_size": 256,
            "global_attention": "mlp",
        },
    },
}  # fmt: skip


def config(folder: Path, model: str) -> dict[str, Any]:
    """As its YAML files have it. It reads FOLDER/train.pieces.src, train.pieces.tgt and pieces.txt."""
    own, pieces = folder / "eole", str(folder / "pieces.txt")
    corpus = {
        "path_src": str(folder / "train.pieces.src"), "path_tgt": str(folder / "train.pieces.tgt"),
        "transforms": [],
    }  # fmt: skip
    return {
        "seed": 1, "save_data": str(own / "data"), "overwrite": True, "report_every": 10**6,
        "src_vocab": pieces, "tgt_vocab": pieces, "share_vocab": True, "pad_token": "<pad>",
        "src_vocab_size": 8000, "tgt_vocab_size": 8000, "vocab_size_multiple": 1, "transforms": [],
        "data": {"corpus": corpus},
        "model": MODELS[model] | {"share_embeddings": True, "share_decoder_embeddings": True},
        "training": {
            "model_path": str(own / "model"), "world_size": 1, "gpu_ranks": [], "compute_dtype": "fp32",
            "batch_type": "tokens", "batch_size": BATCH, "normalization": "tokens", "accum_count": [1],
            "num_workers": 0,  # helpers of its own would make batches while others have their turn
            "optim": "adam", "adam_beta2": 0.98, "learning_rate": 1.0, "decay_method": "noam",
            "warmup_steps": 400, "max_grad_norm": 1.0, "dropout": [0.1], "attention_dropout": [0.1],
            "label_smoothing": 0.1, "param_init_method": "xavier_uniform",
            "train_steps": 10**9, "valid_steps": 10**9, "save_checkpoint_steps": 10**9,
        },
    }  # fmt: skip


def main(folder: Path, model: str) -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    directions = "; 128 a direction" if model == "rnn" else ""
    turns = worker.Turns(f"token batches of {BATCH} with padding, of like length; Adam{directions}")
    train_step = Trainer._train_step
    before: list[dict[str, int]] = []

    def in_turn(trainer: Trainer, batches: list[dict[str, Any]], *others: Any, **named: Any) -> None:
        """From one call to the next is one step: this batch, the optimizer, making the next batch."""
        if before:
            turns.made(before.pop())
        (batch,) = batches
        targets = batch["tgt"][:, 1:]
        real = (targets != trainer.train_loss.padding_idx).sum(1).tolist()
        before.append(worker.done(zip(batch["srclen"].tolist(), real, strict=True), targets.numel()))
        train_step(trainer, batches, *others, **named)

    Trainer._train_step = in_turn
    file = folder / "eole.yaml"
    file.write_text(json.dumps(config(folder, model)), encoding="utf-8")  # JSON is YAML
    sys.argv = ["eole", "train", "--config", str(file)]
    eole()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

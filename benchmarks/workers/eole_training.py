"""eole's own trainer on the configuration that its users would write: FOLDER MODEL.

Needs torch, eole and aiohttp.
"""

import json
import sys
from pathlib import Path
from typing import Any

import worker

DROPOUT = 0.1


def main(folder: Path, model: str) -> None:
    from eole import trainer
    from eole.bin.main import main as eole

    driven = worker.Driven()
    make_step = trainer.Trainer._train_step

    def step(self: Any, batches: Any, *rest: Any, **named: Any) -> Any:
        (batch,) = batches
        target = batch["tgt"][:, 1:]  # without the start
        lengths = (target != PAD).sum(1).tolist()
        driven.begins(worker.done(zip(batch["srclen"].tolist(), lengths, strict=True), target.numel()))
        return make_step(self, batches, *rest, **named)

    trainer.Trainer._train_step = step
    file = folder / "eole.json"
    file.write_text(json.dumps(config(folder, model)))
    sys.argv = ["eole", "train", "--config", str(file)]
    directions = "; 128 a direction" if model == "rnn" else ""
    driven.serve(eole, f"token batches of 4096 with padding, of like length; Adam{directions}")


PAD = 1
"""Where `vocab.txt` has it."""


def config(folder: Path, model: str) -> dict[str, Any]:
    return {
        "seed": 1, "share_vocab": True, "pad_token": "<pad>", "src_vocab": str(folder / "vocab.txt"),
        "tgt_vocab": str(folder / "vocab.txt"), "src_vocab_size": 8000, "tgt_vocab_size": 8000,
        "vocab_size_multiple": 1, "save_data": str(folder / "eole-data"), "overwrite": True,
        "report_every": 10**6, "transforms": [],
        "data": {
            "corpus": {
                "path_src": str(folder / "train.tokens.src"), "path_tgt": str(folder / "train.tokens.tgt"),
                "transforms": [],
            }
        },
        "training": {
            "model_path": str(folder / "eole-model"), "gpu_ranks": [], "world_size": 1,
            "compute_dtype": "fp32", "batch_type": "tokens", "batch_size": 4096,
            "normalization": "tokens", "accum_count": [1],
            "optim": "adam", "adam_beta2": 0.98, "learning_rate": 1.0, "decay_method": "noam",
            "warmup_steps": 400, "dropout": [DROPOUT], "attention_dropout": [DROPOUT], "label_smoothing": 0.1,
            "max_grad_norm": 1.0, "save_checkpoint_steps": 10**6, "valid_steps": 10**6, "train_steps": 10**6,
            "num_workers": 0,  # helpers would make batches while others have their turn
        },
        "model": transformer() if model == "transformer" else recurrent(),
    }  # fmt: skip


def transformer() -> dict[str, Any]:
    return {
        "architecture": "transformer", "layers": 3, "hidden_size": 256, "heads": 4, "transformer_ff": 1024,
        "share_embeddings": True, "share_decoder_embeddings": True, "add_qkvbias": True,
        "add_final_linear_bias": True, "add_ffnbias": True, "mlp_activation_fn": "relu",
        "layer_norm": "standard",
        "embeddings": {"word_vec_size": 256, "position_encoding_type": "SinusoidalInterleaved"},
    }  # fmt: skip


def recurrent() -> dict[str, Any]:
    """128 for each direction, as eole divides the width between them: it has no other way to 256 for both.

    Its architecture `rnn` would silently make the encoder one of a single direction.
    """
    return {
        "architecture": "custom", "hidden_size": 256, "share_embeddings": True,
        "embeddings": {"word_vec_size": 256},
        "encoder": {"encoder_type": "brnn", "layers": 1, "rnn_type": "LSTM", "hidden_size": 256},
        "decoder": {"decoder_type": "rnn", "layers": 1, "rnn_type": "LSTM", "hidden_size": 256,
                    "global_attention": "mlp"},
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

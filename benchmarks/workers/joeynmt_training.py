"""JoeyNMT's own trainer on the configuration that its users would write: FOLDER MODEL.

Needs torch, joeynmt 2.3.0, importlib_metadata and sentencepiece 0.2.0.
"""

import sys
from pathlib import Path
from typing import Any

import worker
from joeynmt import training

DROPOUT = 0.1
EMBEDDINGS = {"embedding_dim": 256, "dropout": DROPOUT}


def main(folder: Path, model: str) -> None:
    driven = worker.Driven()
    make_step = training.TrainManager._train_step

    def step(self: Any, batch: Any) -> Any:
        pad = self.model.pad_index
        targets = (batch.trg != pad).sum(1).tolist()
        driven.begins(worker.done(zip(batch.src_length.tolist(), targets, strict=True), batch.trg.numel()))
        return make_step(self, batch)

    training.TrainManager._train_step = step
    driven.serve(
        lambda: training.train(rank=0, world_size=1, cfg=config(folder, model, batch=4096), skip_test=True),
        "token batches of 4096, padding and the longer side counted; no grouping by length; Adam",
    )


def config(folder: Path, model: str, *, batch: int) -> dict[str, Any]:
    """`batch`: tokens, padding counted."""
    (folder / "joeynmt").mkdir()
    return {
        "name": "peer",
        "joeynmt_version": "2.3.0",
        "model_dir": str(folder / "joeynmt"),
        "use_cuda": False,
        "fp16": False,
        "random_seed": 1,
        "data": data(folder),
        "testing": {"beam_size": 1, "batch_size": 64, "batch_type": "sentence", "eval_metrics": ["bleu"]},
        "training": {
            "optimizer": "adam", "adam_betas": [0.9, 0.98], "learning_rate": 1e-3, "learning_rate_min": 1e-9,
            "scheduling": "warmupinversesquareroot", "learning_rate_warmup": 400, "loss": "crossentropy",
            "label_smoothing": 0.1, "normalization": "tokens", "batch_type": "token", "batch_size": batch,
            "clip_grad_norm": 1.0, "epochs": 1000, "shuffle": True, "validation_freq": 10**9,
            "logging_freq": 10**9, "early_stopping_metric": "bleu", "overwrite": True,
        },
        "model": transformer() if model == "transformer" else recurrent(),
    }  # fmt: skip


def data(folder: Path) -> dict[str, Any]:
    side = {
        "max_length": 200, "level": "bpe", "voc_file": str(folder / "vocab.txt"),
        "tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": str(folder / "tokenizer.model")},
    }  # fmt: skip
    return {
        "train": str(folder / "train"), "dev": str(folder / "few"), "dataset_type": "plain",
        "src": {"lang": "src", **side}, "trg": {"lang": "tgt", **side},
    }  # fmt: skip


def transformer() -> dict[str, Any]:
    side = {
        "type": "transformer", "num_layers": 3, "num_heads": 4, "hidden_size": 256, "ff_size": 1024,
        "dropout": DROPOUT, "embeddings": {**EMBEDDINGS, "scale": True},
        "layer_norm": "post",  # left out, its encoder is pre-norm without a norm at the end
    }  # fmt: skip
    return {
        "initializer": "xavier_uniform", "embed_initializer": "xavier_uniform", "tied_embeddings": True,
        "tied_softmax": True, "encoder": side, "decoder": dict(side),
    }  # fmt: skip


def recurrent() -> dict[str, Any]:
    side = {
        "type": "recurrent", "rnn_type": "lstm", "hidden_size": 256, "num_layers": 1, "dropout": DROPOUT,
        "embeddings": EMBEDDINGS,
    }  # fmt: skip
    attention = {
        "attention": "bahdanau",
        "init_hidden": "bridge",
        "input_feeding": True,
        "hidden_dropout": DROPOUT,
    }
    return {
        "initializer": "xavier_uniform", "embed_initializer": "normal", "embed_init_weight": 0.1,
        "tied_embeddings": True, "tied_softmax": True,
        "encoder": {**side, "bidirectional": True}, "decoder": {**side, **attention},
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

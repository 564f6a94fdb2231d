"""What JoeyNMT is told, for all workers that run it: its configuration, and how its training is started.

Needs joeynmt, importlib_metadata (which it does not declare) and sentencepiece 0.2.0 (of later ones it
misses a method).
"""

import logging
import os
from pathlib import Path
from typing import Any

TRANSFORMER = {
    "type": "transformer", "num_layers": 3, "num_heads": 4, "hidden_size": 256, "ff_size": 1024,
    "dropout": 0.1, "embeddings": {"embedding_dim": 256, "scale": True, "dropout": 0.1},
}  # fmt: skip
LSTM = {
    "type": "recurrent", "rnn_type": "lstm", "num_layers": 1, "hidden_size": 256, "dropout": 0.1,
    "embeddings": {"embedding_dim": 256, "scale": False, "dropout": 0.1},
}  # fmt: skip
MODELS = {
    "transformer": {
        "initializer": "xavier_uniform", "embed_initializer": "xavier_uniform",
        "encoder": TRANSFORMER, "decoder": TRANSFORMER,
    },
    "rnn": {
        "initializer": "xavier_uniform", "embed_initializer": "normal", "embed_init_weight": 0.1,
        "encoder": LSTM | {"bidirectional": True},  # 256 a direction
        "decoder": LSTM | {
            "attention": "bahdanau", "init_hidden": "bridge", "input_feeding": True, "hidden_dropout": 0.1
        },
    },
}  # fmt: skip


def config(folder: Path, model: str, batch: int) -> dict[str, Any]:
    """As its YAML files have it. It reads FOLDER/train.src, train.tgt, tokenizer.model and pieces.txt.

    It never validates nor stops by itself: who runs it decides.
    """
    own = folder / "joeynmt"
    own.mkdir(exist_ok=True)

    def side(name: str) -> dict[str, Any]:
        return {
            "lang": name, "level": "bpe", "max_length": 1000, "voc_file": str(folder / "pieces.txt"),
            "tokenizer_type": "sentencepiece",
            "tokenizer_cfg": {"model_file": str(folder / "tokenizer.model")},
        }  # fmt: skip

    return {
        "name": "benchmark", "joeynmt_version": "2.3.0", "model_dir": str(own), "use_cuda": False,
        "fp16": False, "random_seed": 1,
        "data": {
            "train": str(folder / "train"), "dev": str(folder / "valid"), "dataset_type": "plain",
            "src": side("src"), "trg": side("tgt"),
        },
        "testing": {
            "n_best": 1, "beam_size": 1, "batch_size": 64, "batch_type": "sentence",
            "max_output_length": 60, "eval_metrics": [],
        },
        "training": {
            "optimizer": "adam", "adam_betas": [0.9, 0.98], "learning_rate": 1e-3, "learning_rate_min": 1e-9,
            "scheduling": "warmupinversesquareroot", "learning_rate_warmup": 400, "clip_grad_norm": 1.0,
            "loss": "crossentropy", "label_smoothing": 0.1, "normalization": "tokens",
            "batch_type": "token", "batch_size": batch, "shuffle": True, "epochs": 10**6,
            "validation_freq": 10**9, "logging_freq": 10**9, "early_stopping_metric": "loss",
            "overwrite": True, "keep_best_ckpts": 0, "print_valid_sents": [],
        },
        "model": {"tied_embeddings": True, "tied_softmax": True} | MODELS[model],
    }  # fmt: skip


def train(settings: dict[str, Any]) -> None:
    """Its own training entry point, without its log."""
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.INFO)
    from joeynmt import training

    training.train(rank=0, world_size=1, cfg=settings, skip_test=True)

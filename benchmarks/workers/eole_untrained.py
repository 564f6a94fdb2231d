"""A model of eole's after one step, and FOLDER/eole-predict.json to translate with: FOLDER SENTENCE."""

import json
import sys
from pathlib import Path

import sentencepiece
from eole.bin.main import main as eole
from eole_training import config


def main(folder: Path, sentence: str) -> None:
    settings = config(folder, "transformer")
    settings["training"] |= {"train_steps": 1, "save_checkpoint_steps": 1, "batch_size": 256}
    file = folder / "eole.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    sys.argv = ["eole", "train", "--config", str(file)]
    eole()
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    (folder / "sentence").write_text(
        " ".join(tokenizer.encode(sentence, out_type=str)) + "\n", encoding="utf-8"
    )
    predicting = {
        "model_path": [str(folder / "eole-model")], "src": str(folder / "sentence"),
        "output": str(folder / "eole-output"), "beam_size": 1, "max_length": 10, "compute_dtype": "fp32",
        "gpu_ranks": [], "world_size": 1, "transforms": [],
    }  # fmt: skip
    (folder / "eole-predict.json").write_text(json.dumps(predicting), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""atonce's own search: RUN TEXTS BEAM BATCH. A step translates all lines; with BATCH 1 one after another."""

import sys
from pathlib import Path

import worker

import atonce


def main(run: Path, file: Path, beam: int, batch: int) -> None:
    translator = atonce.load(run, device="cpu")
    texts = file.read_text(encoding="utf-8").splitlines()
    groups = [texts] if batch > 1 else [[text] for text in texts]

    def step() -> dict[str, int]:
        found = [one.text for group in groups for one in translator.translate(group, beam=beam)]
        pieces = sum(len(translator.tokenizer.encode(text)) + 1 for text in found)
        return {"sentences": len(found), "pieces": pieces}

    worker.serve(step, f"float32 weights, batches of {translator.config.batch_tokens} pieces")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

"""atonce's own search: RUN TEXTS BEAM BATCH [fast]. A step translates all lines; with BATCH 1 one by one."""

import sys
from pathlib import Path

import worker

import atonce


def main(run: Path, file: Path, beam: int, batch: int, fast: bool) -> None:
    translator = atonce.load(run, device="cpu", fast=fast)
    texts = file.read_text(encoding="utf-8").splitlines()
    groups = [texts] if batch > 1 else [[text] for text in texts]

    found: list[str] = []

    def step() -> dict[str, int]:
        found[:] = [one.text for group in groups for one in translator.translate(group, beam=beam)]
        tokens = sum(len(tokens) + 1 for tokens in translator.tokenizer.encode_lines(found))
        return {"sentences": len(found), "tokens": tokens}

    weights = "--fast" if fast else "float32 weights"
    worker.serve(step, f"{weights}, batches of {translator.config.batch_tokens} tokens")
    print("\n".join(found), file=file.with_suffix(".fast" if fast else ".atonce").open("w", encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), "fast" in sys.argv[5:])

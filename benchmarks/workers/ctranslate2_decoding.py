"""CTranslate2 with the same weights: FOLDER TEXTS BEAM BATCH COMPUTE_TYPE. A step translates all lines."""

import os
import sys
from pathlib import Path

import ctranslate2
import sentencepiece
import worker


def main(folder: Path, file: Path, beam: int, batch: int, compute_type: str) -> None:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Its fastest way for small models: each core a batch of its own. Sharing a batch is slower by far.
    translator = ctranslate2.Translator(
        str(folder), device="cpu", compute_type=compute_type, inter_threads=threads or 1, intra_threads=1
    )
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    texts = file.read_text(encoding="utf-8").splitlines()

    written: list[str] = []

    def step() -> dict[str, int]:
        sources = [tokenizer.encode(text, out_type=str) for text in texts]
        groups = [sources] if batch > 1 else [[source] for source in sources]
        found = []
        for group in groups:
            found += translator.translate_batch(
                group, beam_size=beam, max_batch_size=batch, batch_type="examples", max_decoding_length=200
            )
        written[:] = [tokenizer.decode(one.hypotheses[0]) for one in found]
        return {"sentences": len(found), "tokens": sum(len(one.hypotheses[0]) + 1 for one in found)}

    worker.serve(step, f"{compute_type}, batches of {batch} sentences")
    print("\n".join(written), file=file.with_suffix(f".{compute_type}").open("w", encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])

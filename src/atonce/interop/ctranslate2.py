"""To CTranslate2: a Transformer of ours as a model that its engine runs, in float32 or in eight bits.

It is the same model or no model: what CTranslate2 has no like of is refused by name (`ctranslate2_model`),
and what was written is loaded and compared before it is given its name (`ctranslate2_trial`). What is
different around the model, in search and texts, stands in a README.md beside it (`ctranslate2_note`).
"""

from pathlib import Path
from typing import Literal

import numpy as np

from atonce.decoding.translator import Translator
from atonce.disk import place, replacing, sweep_beside
from atonce.errors import RunError
from atonce.interop.ctranslate2_model import installed, refuse_what_cannot_be_said, spec_of
from atonce.interop.ctranslate2_note import note
from atonce.interop.ctranslate2_trial import Trial, pairs_for
from atonce.runs.folder import RunFolder

Quantization = Literal["int8", "int8_float32", "int16", "float16", "bfloat16"]


def export(run: str | Path, folder: str | Path, *, quantization: Quantization | None = None) -> Path:
    """Write a run's Transformer into a new folder as `ctranslate2.Translator` opens it; gives the folder.

    Its texts are tokens: those of `tokenizer.model`, the sentencepiece model that is put beside it. README.md
    there says how to use both, and what is not as in atonce. `quantization`: how weights are stored; without
    it, float32. The folder appears once CTranslate2 has been seen to give what the run gives, or not at all.

    Raises RunError for a model that CTranslate2 has no like of, or would run as another, and if it is not
    installed; DiskError.
    """
    installed()
    opened = RunFolder.open(Path(run))
    refuse_what_cannot_be_said(opened.recipe, str(run))
    target = place(folder)
    # What a killed export has left goes, even where this one is refused.
    sweep_beside(target)
    if target.exists():
        raise RunError(f"{target} is there already", why="nothing is overwritten", fix="name a new folder")
    translator = Translator.load(run, device="cpu")
    # Before the trial: NaN differs from everything, and would be called another model.
    _refuse_broken_numbers(translator, str(run))
    trial = Trial(translator, pairs_for(opened.path, translator))
    with replacing(target, alone=True) as partial:
        partial.mkdir()
        spec = spec_of(translator, opened.recipe)
        spec.optimize()
        spec.save(str(partial))
        # As float32 first, always: rounding would hide a wrong layer among its own differences.
        exact = trial.of(partial)
        # Rounding starts from a fresh spec: `optimize` changes the arrays of the one that it was given.
        rounded = None
        if quantization is not None:
            spec = spec_of(translator, opened.recipe)
            with np.errstate(over="ignore"):  # what float16 cannot hold is found by the trial
                spec.optimize(quantization=quantization)
            spec.save(str(partial))
            rounded = trial.of(partial, quantization=quantization)
        translator.tokenizer.save(partial / "tokenizer.model")
        text = note(
            translator.name, opened.recipe, translator.tokenizer, trial.pairs, exact, rounded=rounded,
            quantization=quantization,
        )  # fmt: skip
        (partial / "README.md").write_text(text, encoding="utf-8")
    return target


def _refuse_broken_numbers(translator: Translator, name: str) -> None:
    """Raises RunError for weights that are not finite: no two programs agree on what comes of them."""
    for weight, numbers in translator.model.named_parameters():
        if not numbers.isfinite().all():
            raise RunError(
                f"cannot export {name} to ctranslate2",
                why=f"its weights {weight} hold numbers that are not finite: its training went wrong",
                fix="train it again, with a lower training.learning_rate",
            )

"""atonce's own training on its own recipe, examined at given minutes: FOLDER RECIPE MINUTES..."""

import sys
from pathlib import Path

from quality import Examination

from atonce.decoding.opening import load_translator
from atonce.runs.recipe import load
from atonce.training.train import Report, train


def main(folder: Path, recipe: str, minutes: list[float]) -> None:
    texts = (folder / "few.src").read_text(encoding="utf-8").splitlines()
    run = folder / "atonce-run"
    # It keeps its weights at each validation: often enough to be looked at near the wanted minutes.
    chosen = load(
        recipe,
        [f"training.minutes={max(minutes)}", "training.validation_sentences=1", "training.validate_every=50"],
    )
    examination = Examination(minutes)

    def translate() -> list[str]:
        return load_translator(run).outputs(texts, beam=1)

    def watch(report: Report) -> None:
        if report.update.step == 1:
            examination.begin()  # before it, the data were prepared
        if report.validation is not None:
            examination.look(translate)

    train(chosen, run, watch=watch, quiet=True)
    examination.end(translate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [float(one) for one in sys.argv[3:]])

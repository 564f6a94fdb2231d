"""Distillation: a faster model learns from what a trained one writes, beside what people wrote."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from atonce.data.config import FilesConfig, Repeats
from atonce.data.examples import Examples
from atonce.data.lines import read_lines
from atonce.data.prepare import Prepared, open_prepared
from atonce.decoding.opening import load_translator
from atonce.decoding.translator import Translator
from atonce.disk import replacing
from atonce.errors import RunError
from atonce.models.config import ModelConfig, TransformerDecoderConfig, TransformerEncoderConfig
from atonce.progress import progress
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe, dumps

AT_ONCE = 4_000
"""Texts that are translated and written together."""
ENCODER_LAYERS, DECODER_LAYERS = 4, 2
"""Of the student. An encoder computes all positions at once; a decoder waits for every piece."""
LONGER = 3
"""How many times as long the student is trained: it has more than twice as much text."""


def distill(
    run: str | Path,
    folder: str | Path,
    *,
    beam: int | None = None,
    by: str | Path | None = None,
    more: str | Path | None = None,
    fast: bool = False,
    quiet: bool = False,
) -> Path:
    """Write a corpus with two targets for each source that a run was trained on: people's, and the run's own.

    The outputs of a model are plainer and more alike than what people write, and a small model learns them
    better: sequence-level distillation (Kim and Rush 2016). With what people wrote beside them it learns
    better still. Validation and test text stay as they are. `beam`: how the run translates; as its recipe
    says without it. `more`: a file of further source texts, one a line, that nobody need have translated;
    those of validation and test among them are left out when the student is trained, as of any corpus.
    `by`: another run that translates in its place, such as an earlier student, which may be better by now
    (Furlanello 2018). `fast`: as `load` has it.

    Gives the path of a recipe in the new `folder` that trains a student on it: a Transformer as wide as the
    run's model, with a deeper encoder than decoder, trained for longer; it translates greedily.

    Raises RunError if the runs do not make texts of texts, or not for the same task, or if `folder` is there
    already, DataError if the file of further texts cannot be read, and DiskError if `folder` cannot be
    written.
    """
    further = [] if more is None else [text for text in map(_one_line, read_lines(Path(more))) if text]
    by = run if by is None else by
    _check_task(run, by)
    teacher = load_translator(by, fast=fast)
    prepared, folder = open_prepared(Path(run)), Path(folder)
    repeats: Repeats = prepared.report.get("repeats", "both")
    assert isinstance(prepared.train, Examples)  # a translator has no images
    if folder.exists():
        raise RunError(
            f"{folder} is there already",
            why="what is in it would be mixed with the new text",
            fix="name a new folder",
        )
    with replacing(folder) as partial:
        partial.mkdir(parents=True)
        for split, pairs in (("valid", prepared.valid_pairs), ("test", prepared.test_pairs)):
            for side in ("source", "target"):
                _write(partial / f"{split}.{side}", [str(getattr(pair, side)) for pair in pairs])
        with (
            (partial / "train.source").open("w", encoding="utf-8") as sources,
            (partial / "train.target").open("w", encoding="utf-8") as targets,
            progress("Translating", total=len(prepared.train) + len(further), quiet=quiet) as advance,
        ):
            given = chain(_pairs(prepared, prepared.train), ((text, None) for text in further))
            for source, target in _with_outputs(given, teacher, beam, advance):
                sources.write(f"{source}\n")
                targets.write(f"{target}\n")
        (partial / "recipe.toml").write_text(
            dumps(student_of(RunFolder.open(run).recipe, folder.resolve(), repeats=repeats)), encoding="utf-8"
        )
    return folder / "recipe.toml"


def student_of(teacher: Recipe, folder: Path, *, repeats: Repeats = "both") -> Recipe:
    """The recipe of a faster model on the text in `folder`. `repeats`: as it was chosen for the teacher."""
    model, side = teacher.model, teacher.model.encoder
    width = getattr(side, "feed_forward", 4 * model.dim)
    paths = {
        f"{split}_{end}".removeprefix("train_"): str(folder / f"{split}.{end}")
        for split in ("train", "valid", "test")
        for end in ("source", "target")
    }
    named = zip(("source_language", "target_language"), teacher.data.languages, strict=True)
    languages = {key: tag for key, tag in named if tag is not None}
    return Recipe(
        about=f"A faster student of: {teacher.about}".removesuffix(": "),
        data=FilesConfig.parse(
            {
                **paths,
                **languages,
                "task": teacher.data.task,
                "max_length": teacher.data.max_length,
                "repeats": repeats,
            },
            origin=json.dumps(str(folder)),
        ),
        vocabulary=teacher.vocabulary,
        model=ModelConfig(
            dim=model.dim,
            encoder=TransformerEncoderConfig(layers=ENCODER_LAYERS, feed_forward=width),
            decoder=TransformerDecoderConfig(layers=DECODER_LAYERS, feed_forward=width),
        ),
        training=teacher.training.model_copy(
            update={
                budget: LONGER * given
                for budget in ("steps", "minutes")
                if (given := getattr(teacher.training, budget)) is not None
            }
        ),
        decoding=teacher.decoding.model_copy(update={"beam": 1}),
    )


def _check_task(run: str | Path, by: str | Path) -> None:
    """Raises RunError if one run cannot stand in for the other."""
    task, other = (RunFolder.open(one).recipe.data.task for one in (run, by))
    if task != other:
        raise RunError(
            f"{by} cannot translate in the place of {run}",
            why=f"one was trained for {other}, the other for {task}",
            fix="name a run that was trained for the same",
        )


def _pairs(prepared: Prepared, examples: Examples) -> Iterator[tuple[str, str | None]]:
    """The training pairs as texts."""
    decode = prepared.tokenizer.decode
    for number in range(len(examples)):
        source, target = (_one_line(decode(pieces.tolist())) for pieces in examples[number])
        yield source, target


def _with_outputs(
    pairs: Iterable[tuple[str, str | None]],
    teacher: Translator,
    beam: int | None,
    advance: Callable[[int], None],
) -> Iterator[tuple[str, str]]:
    """Each pair, if it is one, and then its source with what the teacher makes of it."""
    stream = iter(pairs)
    while some := list(islice(stream, AT_ONCE)):
        outputs = teacher.outputs([source for source, _ in some], beam=beam, advance=advance)
        for (source, target), output in zip(some, outputs, strict=True):
            if target is not None:
                yield source, target
            yield source, output


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

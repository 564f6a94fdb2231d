"""Distillation: a faster model learns from what a trained one writes, beside what people wrote."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from atonce.data.config import FilesConfig, Repeats
from atonce.data.images import ImageExamples
from atonce.data.lines import read_lines
from atonce.data.pairs import Examples
from atonce.data.prepare import Prepared, open_prepared
from atonce.decoding.translator import Translator
from atonce.disk import (
    advising,
    disk_error,
    hidden,
    move,
    owned,
    place,
    remove_partial,
    sweep_beside,
    write_json,
    write_text,
)
from atonce.errors import RunError
from atonce.models.config import ModelConfig, TransformerDecoderConfig, TransformerEncoderConfig
from atonce.progress import progress, say
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe, dumps

AT_ONCE = 4_000
"""Texts that are translated and then kept together: what a killed process loses is at most so many."""
SIDES = ("source", "target")
CORPUS, KEPT = "corpus", "kept.json"
"""How far an unfinished distillation is, and of what."""
ENCODER_LAYERS, DECODER_LAYERS = 4, 2
"""Of the student. An encoder computes all positions at once; a decoder waits for every token."""
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

    What is translated is kept beside `folder`, in `.FOLDER.unfinished`, until all is. One that broke off goes
    on there if it is begun again with the same runs, texts and options, and comes to the same.

    Raises RunError if the runs do not make texts of texts, or not for the same task, if `folder` is there
    already, or if another process is writing it, DataError if the file of further texts cannot be read, and
    DiskError if `folder` cannot be written.
    """
    further = [] if more is None else [text for text in map(_one_line, read_lines(Path(more))) if text]
    by = run if by is None else by
    _check_task(run, by)
    folder = place(folder)
    if not folder.name:  # "." or "/": nothing can lie beside it
        raise _there_already(folder)
    unfinished = hidden(folder, "unfinished")
    again = advising("run the same command again: it goes on where it was")
    with _emptied(unfinished), again, owned(unfinished, "distills"):
        sweep_beside(folder)
        remove_partial(unfinished)
        if folder.exists():
            if not (unfinished / CORPUS).exists():  # it was killed when all was done
                (unfinished / KEPT).unlink(missing_ok=True)
            raise _there_already(folder)
        teacher = Translator.load(by, fast=fast)
        prepared = open_prepared(Path(run))
        assert isinstance(prepared.train, Examples)  # a translator has no images
        given = chain(_pairs(prepared, prepared.train), ((text, None) for text in further))
        text = _Text(unfinished, _what_it_is_of(prepared, Path(by), further, beam=beam, fast=fast))
        total = len(prepared.train) + len(further)
        with progress("Translating", total=total, quiet=quiet) as advance:
            text.go_on(given, teacher, beam, advance, quiet=quiet)
        # As people wrote them: scores of the student would otherwise say how well it copies its teacher.
        for split, pairs in (("valid", prepared.valid_pairs), ("test", prepared.test_pairs)):
            for side in SIDES:
                _write(text.corpus / f"{split}.{side}", [str(getattr(pair, side)) for pair in pairs])
        repeats: Repeats = prepared.report.get("repeats", "both")
        student = student_of(RunFolder.open(run).recipe, folder.resolve(), repeats=repeats)
        write_text(text.corpus / "recipe.toml", dumps(student))
        # In this order: killed between the two, the next one finds the folder, and no corpus, and tidies up.
        move(text.corpus, folder)
        text.kept.unlink()
    return folder / "recipe.toml"


def _there_already(folder: Path) -> RunError:
    return RunError(
        f"{folder} is there already",
        why="what is in it would be mixed with the new text",
        fix="name a new folder",
    )


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """After the block, the folder is gone if nothing is in it."""
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


class _Text:
    """The training text while it is written, some texts at a time, so that it can be gone on with."""

    def __init__(self, folder: Path, what: dict[str, Any]) -> None:
        """`what`: all that decides the text. What is in `folder` of another is not gone on with."""
        self.corpus, self.kept = folder / CORPUS, folder / KEPT
        self.what = what
        self.digests = {side: sha256() for side in SIDES}

    def go_on(
        self,
        given: Iterator[tuple[str, str | None]],
        teacher: Translator,
        beam: int | None,
        on_progress: Callable[[int], None],
        *,
        quiet: bool,
    ) -> None:
        """Translate what is not yet. Raises DiskError."""
        done = self._done()
        if done is None:
            done = 0
            if self.corpus.exists() and not quiet:
                say(f"what is in {self.corpus.parent} is of other runs or options, or not whole: begun anew")
            self._begin()
        # Read over: which source comes next is a matter of the order alone, and reading is cheap.
        for _ in islice(given, done):
            pass
        on_progress(done)
        while some := list(islice(given, AT_ONCE)):
            self._add(_with_outputs(some, teacher, beam, on_progress))
            done += len(some)
            self._keep(done)

    def _begin(self) -> None:
        try:
            shutil.rmtree(self.corpus, ignore_errors=True)
            self.kept.unlink(missing_ok=True)
            self.corpus.mkdir(parents=True)
            for side in SIDES:
                self._path(side).touch()
        except OSError as error:
            raise disk_error(self.corpus, error) from error

    def _done(self) -> int | None:
        """How many texts are translated; None where nothing is kept of the same, as it was written."""
        try:
            kept = json.loads(self.kept.read_text(encoding="utf-8"))
            if kept["of"] != self.what:
                return None
            for side in SIDES:
                with self._path(side).open("r+b") as file:
                    file.truncate(kept[side]["bytes"])  # the rest was not kept yet
                    self.digests[side] = file_digest(file, "sha256")
                if (self._path(side).stat().st_size, self.digests[side].hexdigest()) != (
                    kept[side]["bytes"],
                    kept[side]["sha256"],
                ):
                    return None
            return int(kept["texts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _add(self, pairs: list[tuple[str, str]]) -> None:
        for side, lines in zip(SIDES, zip(*pairs, strict=True), strict=True):
            text = "".join(f"{line}\n" for line in lines).encode()
            self.digests[side].update(text)
            try:
                with self._path(side).open("ab") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())  # before `_keep` says that it is there
            except OSError as error:
                raise disk_error(self._path(side), error) from error

    def _keep(self, texts: int) -> None:
        written = {
            side: {"bytes": self._path(side).stat().st_size, "sha256": self.digests[side].hexdigest()}
            for side in SIDES
        }
        write_json(self.kept, {"texts": texts, **written, "of": self.what})

    def _path(self, side: str) -> Path:
        return self.corpus / f"train.{side}"


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
        # Learned anew by the same rules, from a text that has the teacher's outputs in it.
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
        # Greedily: a student of one teacher's outputs hardly gains by a wider beam (Kim and Rush 2016).
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
        source, target = (_one_line(decode(tokens.tolist())) for tokens in examples[number])
        yield source, target


def _with_outputs(
    pairs: list[tuple[str, str | None]],
    teacher: Translator,
    beam: int | None,
    on_progress: Callable[[int], None],
) -> list[tuple[str, str]]:
    """Each pair, if it is one, and then its source with what the teacher makes of it."""
    # Many at once, so that texts of like length share a batch.
    outputs = teacher.outputs([source for source, _ in pairs], beam=beam, on_progress=on_progress)
    both: list[tuple[str, str]] = []
    for (source, target), output in zip(pairs, outputs, strict=True):
        if target is not None:
            both.append((source, target))
        both.append((source, output))
    return both


def _what_it_is_of(
    prepared: Prepared, by: Path, further: list[str], *, beam: int | None, fast: bool
) -> dict[str, Any]:
    """All that decides the text, as JSON has it: another text would have another."""
    with (by / "model.safetensors").open("rb") as weights:
        teacher = file_digest(weights, "sha256").hexdigest()
    return {
        "teacher": teacher,
        "teacher_recipe": dumps(RunFolder.open(by).recipe),
        "training_text": prepared.report.get("training_sha256") or _sum_of(prepared.train),
        "further_text": sha256("\n".join(further).encode(errors="surrogatepass")).hexdigest(),
        "beam": beam,
        "fast": fast,
        # Which texts share a batch, and which kernels compute it, decide how sums are rounded.
        "at_once": AT_ONCE,
        "torch": torch.__version__,
    }


def _sum_of(examples: Examples | ImageExamples) -> str:
    """Of a run whose report has no sum of its text, which nothing holds it to where it keeps no sums."""
    assert isinstance(examples, Examples)
    digest = sha256(examples.tokens.data)
    digest.update(examples.offsets.data)
    return digest.hexdigest()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _write(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))

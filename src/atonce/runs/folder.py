"""The run folder: everything about one training, readable by people and programs, nothing pickled.

recipe.toml          the effective recipe, every default written out; tells the format of the folder
tokenizer.model      the vocabulary, as sentencepiece reads it
model.safetensors    the weights
scores.json          scores on the test text, with their signatures
log.jsonl            one line for each validation and every few updates
budget.jsonl         of a training of so many minutes: how much of them was used, from update to update
data.json            counts and hashes of the data
examples/            the tokenised data, and validation and test texts
checkpoints/         what a broken training resumes from
.lock                while a process trains here: its number
"""

import json
import os
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atonce.disk import advising, disk_error, place, remove_partial, replacing, write_json, write_text
from atonce.errors import RunError
from atonce.runs.recipe import FORMAT, Recipe, dumps


class RunFolder:
    """One run. Make one with `create`, or `open` an old one."""

    def __init__(self, path: Path, recipe: Recipe, *, before_normalization: bool = False) -> None:
        """`before_normalization`: it was begun when no recipe said how texts are spelt."""
        self.path = path
        self.recipe = recipe
        self.before_normalization = before_normalization

    @classmethod
    def create(cls, path: str | Path, recipe: Recipe) -> "RunFolder":
        """A new run in `path`, which must not hold one yet. Raises RunError if it does."""
        path = place(path)
        if (path / "recipe.toml").exists():
            raise RunError(
                f"{path} already holds a run",
                why="a new one would overwrite it",
                fix="go on with it by --resume, or choose another folder with --out",
            )
        write_text(path / "recipe.toml", dumps(recipe))
        return cls(path, recipe)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run. Raises RunError if there is none, if it is damaged, or of a newer format."""
        path = Path(path)
        recipe_path = place(path / "recipe.toml", RunError, what="cannot read")
        try:
            values = tomllib.loads(recipe_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{path} is not a run folder",
                why="it holds no recipe.toml" if path.is_dir() else "there is no such folder",
                fix="check the path, or train a run with: atonce train RECIPE --out RUN",
            ) from None
        except OSError as error:
            raise RunError(
                f"cannot read {recipe_path}", why=str(error.strerror), fix="check the path"
            ) from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise _damaged(recipe_path, str(error)) from None
        written = values.get("format", FORMAT)
        if not isinstance(written, int) or written > FORMAT:
            raise RunError(
                f"{path} was written by a newer atonce",
                why=f"its format is {written}, and this version reads up to {FORMAT}",
                fix="pip install --upgrade atonce",
            )
        _check_readable(path)
        vocabulary = values.setdefault("vocabulary", {})
        before_normalization = isinstance(vocabulary, dict) and "normalization" not in vocabulary
        if before_normalization:
            vocabulary["normalization"] = "none"
        recipe = Recipe.parse(values, origin=str(recipe_path))
        return cls(path, recipe, before_normalization=before_normalization)

    def as_begun(self, recipe: Recipe) -> Recipe:
        """`recipe`, which does not choose a normalization, as it was meant when this run was begun."""
        if not self.before_normalization or "normalization" in recipe.vocabulary.model_fields_set:
            return recipe
        vocabulary = recipe.vocabulary.model_copy(update={"normalization": "none"})
        return recipe.model_copy(update={"vocabulary": vocabulary})

    def sweep(self) -> None:
        """Remove what was being written when a training was killed. Only for who trains in this folder."""
        for folder in (self.path, self.checkpoints):
            remove_partial(folder)
        shutil.rmtree(self.path / ".preparing", ignore_errors=True)  # of an earlier version

    @property
    def checkpoints(self) -> Path:
        """Where resumable states of the training are kept."""
        return self.path / "checkpoints"

    @property
    def has_weights(self) -> bool:
        """Whether it has been validated once: there are weights to load."""
        return (self.path / "model.safetensors").exists()

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put these weights in place of the ones there are."""
        save_tensors(self.path / "model.safetensors", weights)

    def load_weights(self) -> dict[str, Tensor]:
        """The weights by name. Raises RunError if there are none yet or the file is damaged."""
        path = self.path / "model.safetensors"
        if not self.has_weights:
            raise RunError(
                f"{self.path} has no weights yet",
                why="its training broke off before the first validation",
                fix="go on with it: atonce train RECIPE --out RUN --resume",
            )
        return load_tensors(path)

    def save_scores(self, scores: Mapping[str, Any]) -> None:
        """Put these scores in place of the ones there are."""
        write_json(self.path / "scores.json", scores)

    @property
    def budget(self) -> "JsonLines":
        """How the minutes of a training are used (`training.budget`)."""
        return JsonLines(self.path / "budget.jsonl", required="first", if_deleted="the rest is planned anew")

    @property
    def _log(self) -> "JsonLines":
        return JsonLines(self.path / "log.jsonl", required="step", if_deleted="a training goes on without")

    def log(self, **entry: Any) -> None:
        """Add one line to the log."""
        self._log.append(**entry)

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of the log, if there is one. A last line cut off by a kill is left out.

        Raises RunError if it is damaged.
        """
        return self._log.read()

    def rewind_log(self, step: int) -> None:
        """Forget what was logged after `step`: it will be trained again."""
        self._log.keep(lambda entry: bool(entry["step"] <= step))


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Within the block, in which `folder` is trained, a full disk is told with the command to go on by."""
    recipe, out = (shlex.quote(str(path)) for path in (folder / "recipe.toml", folder))
    command = f"atonce train {recipe} --out {out} --resume"
    with advising(f"go on: {command}", only_if=lambda: os.path.exists(folder / "recipe.toml")):
        yield


class JsonLines:
    """A file of JSON objects, one a line, to which lines are added.

    `required`: a key that every line has. `if_deleted`: what happens if a user deletes it.
    """

    def __init__(self, path: Path, *, required: str, if_deleted: str) -> None:
        self.path = path
        self._required = required
        self._if_deleted = if_deleted

    def append(self, **entry: Any) -> None:
        """Add one line. Raises DiskError."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(entry))
        except OSError as error:
            raise disk_error(self.path, error) from error

    def read(self) -> list[dict[str, Any]]:
        """All lines; none, if there is no file. A last line cut off by a kill is left out.

        Raises RunError if it is damaged.
        """
        try:
            *whole, _cut_off = self.path.read_bytes().split(b"\n")
            entries = [json.loads(line) for line in whole]
            if not all(isinstance(entry, dict) and self._required in entry for entry in entries):
                raise ValueError("a line is not what a training writes")
            return entries
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(
                f"cannot read {self.path}", why=str(error.strerror), fix="check the path"
            ) from None
        except ValueError as error:
            raise self.damaged(str(error)) from None

    def damaged(self, why: str) -> RunError:
        """What to tell a user whose file holds something else than was written."""
        return RunError(f"{self.path} is damaged", why=why, fix=f"delete it; {self._if_deleted}")

    def keep(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        """Leave only the lines wanted, and none that is cut off, so that others can be added."""
        write_text(self.path, "".join(_line(entry) for entry in self.read() if wanted(entry)))


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a .safetensors file, whole or not at all. Raises DiskError."""
    with replacing(path) as partial:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        except SafetensorError as error:  # it wraps what the system said, a full disk for one
            raise OSError(None, str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote. Raises RunError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from None


def _check_readable(run: Path) -> None:
    """Raise RunError for a file that is another's: it is not damaged, and training again would not help."""
    real = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    for folder in (run, run / "examples"):
        with suppress(OSError):  # there is none, or it may be used and not listed
            for path in folder.iterdir():
                rights = os.R_OK | (os.X_OK if path.is_dir() else 0)
                if not path.name.startswith(".") and not os.access(path, rights, **real):
                    raise RunError(
                        f"cannot read {path}",
                        why="it is another user's, who has not given the right to read it",
                        fix=f"let them give it: chmod -R a+rX {shlex.quote(str(run))}",
                    )


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"{path} is damaged", why=why, fix="restore it from a copy, or train again")

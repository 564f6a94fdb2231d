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
sums.json            length and SHA-256 of all of these, which are compared when a file is read (`stored`)
"""

import math
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atonce import stored
from atonce.disk import advising, place, remove_partial, replacing
from atonce.errors import RunError, damaged, unreadable
from atonce.runs.json_lines import MOST_LISTED, JsonLines, checkpoints_in
from atonce.runs.recipe import FORMAT, LONGEST_FILE, Recipe, dumps, values_of

LOGGED = ("step", "seconds", "loss", "target_tokens_per_second", "padding_share")
"""What each line of a log has."""


class RunFolder:
    """One run. Make one with `create`, or `open` an old one."""

    def __init__(self, path: Path, recipe: Recipe, *, before_normalization: bool = False) -> None:
        """`before_normalization`: it was begun when no recipe said how texts are spelt."""
        self.path = path
        self.recipe = recipe
        self.before_normalization = before_normalization

    @classmethod
    def create(cls, path: str | Path, recipe: Recipe) -> "RunFolder":
        """A new run in `path`, which must not hold one yet. Raises RunError if it does.

        Nor what is left of one; but prepared data may be there, for it to be trained on.
        """
        path = place(path)
        if (path / "recipe.toml").exists():
            raise RunError(
                f"{path} already holds a run",
                why="a new one would overwrite it",
                fix="go on with it by --resume, or choose another folder with --out",
            )
        # Without recipe.toml, these are what is left of a run: to go on from them would mix two trainings.
        for name in ("checkpoints", "model.safetensors", "log.jsonl"):
            if os.path.lexists(path / name):
                raise without_recipe(path, name)
        # Sums of what somebody deleted here would call the new files damaged.
        stored.forget_missing(path)
        with stored.replacing_with_sum(path / "recipe.toml") as partial:
            partial.write_text(dumps(recipe), encoding="utf-8")
        return cls(path, recipe)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run. Raises RunError if there is none, if it is damaged, or of a newer format."""
        path = Path(path)
        recipe_path = place(path / "recipe.toml", RunError, what="cannot read")
        try:
            values = values_of(stored.read_bytes(recipe_path, most=LONGEST_FILE).decode("utf-8"))
        except FileNotFoundError:
            if path.is_dir():
                stored.check(path, recipe_path.name)  # which says so, if there was one
            raise RunError(
                f"{path} is not a run folder",
                why="it holds no recipe.toml" if path.is_dir() else "there is no such folder",
                fix="check the path, or train a run with: atonce train RECIPE --out RUN",
            ) from None
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, or what no recipe has
            raise stored.fault(recipe_path, error) from None
        written = values.get("format", FORMAT)
        if not isinstance(written, int) or isinstance(written, bool) or written > FORMAT:
            raise RunError(
                f"{path} was written by a newer atonce",
                why=f"its format is {written}, and this version reads up to {FORMAT}",
                fix="pip install --upgrade atonce",
            )
        # Before anything is read: what another user keeps back is not damaged, and must not be called so.
        _check_readable(path)
        stored.check(path, recipe_path.name)
        vocabulary = values.setdefault("vocabulary", {})
        # It was trained on texts as they are: today's default would respell what it reads.
        before_normalization = isinstance(vocabulary, dict) and "normalization" not in vocabulary
        if before_normalization:
            vocabulary["normalization"] = "none"
        try:
            recipe = Recipe.parse(values, origin=str(recipe_path))
        except (RecursionError, OverflowError) as error:
            raise damaged(recipe_path, error) from None
        return cls(path, recipe, before_normalization=before_normalization)

    def as_begun(self, recipe: Recipe) -> Recipe:
        """`recipe`, which does not choose a normalization, as it was meant when this run was begun."""
        if not self.before_normalization or "normalization" in recipe.vocabulary.model_fields_set:
            return recipe
        vocabulary = recipe.vocabulary.model_copy(update={"normalization": "none"})
        return recipe.model_copy(update={"vocabulary": vocabulary})

    def sweep(self) -> None:
        """Remove what was being written when a training was killed. Only for who trains in this folder."""
        for folder in (self.path, self.checkpoints, *checkpoints_in(self.checkpoints)):
            remove_partial(folder)
        shutil.rmtree(self.path / ".preparing", ignore_errors=True)  # of an earlier version
        stored.settle_all(self.path)

    @property
    def checkpoints(self) -> Path:
        """Where resumable states of the training are kept."""
        return self.path / "checkpoints"

    @property
    def has_weights(self) -> bool:
        """Whether it has been validated once: there are weights to load. Raises RunError if they are lost."""
        path = self.path / "model.safetensors"
        if path.exists():
            return True
        # A run that lost its weights must not look like one that was never validated, and be trained anew.
        was_stored = path.is_symlink() or stored.is_wanted(self.path, path.name)
        if was_stored or any("valid_loss" in entry for entry, _ in self._checked_log()):
            raise damaged(path, "it is missing, and its training had stored it")
        return False

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put these weights in place of the ones there are."""
        with stored.replacing_with_sum(self.path / "model.safetensors") as partial:
            _write_tensors(partial, weights)

    def load_weights(self) -> dict[str, Tensor]:
        """The weights by name. Raises RunError if there are none yet or the file is damaged."""
        path = self.path / "model.safetensors"
        if not self.has_weights:
            raise RunError(
                f"{self.path} has no weights yet",
                why="its training broke off before the first validation",
                fix="go on with it: atonce train RECIPE --out RUN --resume",
            )
        stored.check(self.path, path.name)  # which says what became of it
        return load_tensors(path)

    def save_scores(self, scores: Mapping[str, Any]) -> None:
        """Put these scores in place of the ones there are."""
        stored.write_json_with_sum(self.path / "scores.json", scores)

    def read_scores(self) -> dict[str, Any]:
        """What `save_scores` wrote; nothing, if there is no such file. Raises RunError if it is damaged."""
        path = self.path / "scores.json"
        fix = "restore it from a copy, or delete it and sums.json: it is only shown"
        try:
            stored.check(self.path, path.name, fix=fix)
            scores = stored.read_json(path)
            if not isinstance(scores, dict) or not isinstance(scores.get("signatures", {}), dict):
                raise ValueError("it is not what `save_scores` writes")
            for metric, signature in scores.get("signatures", {}).items():
                if not isinstance(signature, str) or not _is_number(scores.get(metric, 0)):
                    raise ValueError(f"{metric} has no number for a score, or no text for a signature")
            return scores
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise stored.fault(path, error, fix=fix) from None

    @cached_property
    def budget(self) -> "JsonLines":
        """How the minutes of a training are used (`training.budget`)."""
        return JsonLines(self.path / "budget.jsonl", required="first", if_deleted="the rest is planned anew")

    @cached_property
    def _log(self) -> "JsonLines":
        return JsonLines(
            self.path / "log.jsonl", required="step", if_deleted="a training goes on without", clocks=_CLOCKS
        )

    def log(self, **entry: Any) -> None:
        """Add one line to the log."""
        self._log.append(**entry)

    def read_log(self, keys: Iterable[str] = ()) -> list[dict[str, Any]]:
        """The lines of the log, if there is one. A last line cut off by a kill is left out.

        `keys`: each line must have them, and there must be one. Of a log of more than `MOST_LISTED` bytes, it
        is every second line, or fourth, and so on, and the last. Raises RunError if it is damaged.
        """
        entries: list[dict[str, Any]] = []
        last, every, listed = None, 1, 0
        for number, (last, length) in enumerate(self._checked_log(keys)):
            if number % every:
                continue
            entries.append(last)
            listed += length
            if listed > MOST_LISTED:
                # Every second goes, and of those to come as many: still even, in half of the memory.
                entries, every, listed = entries[::2], 2 * every, listed // 2
        if last is not None and entries[-1] is not last:
            entries.append(last)
        if keys and not entries:
            raise self._log.damaged("it has no line")
        return entries

    def _checked_log(self, keys: Iterable[str] = ()) -> Iterator[tuple[dict[str, Any], int]]:
        """Each line of the log, and how many bytes it has. Raises RunError as `read_log`."""
        before = None
        for entry, length in self._log.each():
            if lost := [key for key in keys if key not in entry]:
                raise self._log.damaged(f"a line of it has no {lost[0]}")
            for key in _NUMBERS & entry.keys():
                if not _is_number(entry[key]) and (entry[key] is not None or key in _ALWAYS):
                    raise self._log.damaged(f"{key} is {entry[key]!r:.40} in it, which is no number")
            if before is not None and not before["step"] < entry["step"]:
                raise self._log.damaged(f"step {entry['step']} comes after step {before['step']} in it")
            if before is not None and entry.get("seconds", math.inf) < before.get("seconds", 0):
                raise self._log.damaged(f"time goes back at step {entry['step']} in it")
            yield entry, length
            before = entry

    def rewind_log(self, step: int) -> None:
        """Forget what was logged after `step`: it will be trained again. Raises RunError if it is damaged."""
        # A fault in the last line must be found before the first is written anew.
        for _ in self._checked_log():
            pass  # before anything is changed
        self._log.keep(lambda entry: bool(entry["step"] <= step))

    def sums_of_lines(self) -> dict[str, dict[str, Any]]:
        """Of the files that lines are added to, for a checkpoint."""
        found = {lines.path.name: lines.sum() for lines in (self._log, self.budget)}
        return {name: one for name, one in found.items() if one is not None}


_CLOCKS = ("seconds", "target_tokens_per_second", "padding_share")  # the share is that of lately
_ALWAYS = {"step", "seconds", "target_tokens_per_second", "padding_share"}
_NUMBERS = _ALWAYS | {
    *("loss", "rate_factor", "gradient_norm", "epoch", "skipped", "planned_steps", "share"),
    *("valid_loss", "valid_chrf", "valid_accuracy", "valid_exact"),
}
"""What lines of a log have, all as numbers; outside of `_ALWAYS`, where it is known and finite."""


def _is_number(value: object) -> bool:
    # Larger ones are no float, which is what all of them become.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def without_recipe(folder: Path, left: str) -> RunError:
    """What to tell a user who would train in a folder where `left` is of another training."""
    return RunError(
        f"{folder} holds a run whose recipe.toml is missing",
        why=f"{left} is there: a training would go on from what was done by another recipe, or replace it",
        fix="restore recipe.toml from a copy, and go on with --resume; or choose another folder with --out",
    )


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Within the block, in which `folder` is trained, a full disk is told with the command to go on by."""
    recipe, out = (shlex.quote(str(path)) for path in (folder / "recipe.toml", folder))
    command = f"atonce train {recipe} --out {out} --resume"
    with advising(f"go on: {command}", only_if=lambda: os.path.exists(folder / "recipe.toml")):
        yield


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Put tensors into a .safetensors file, whole or not at all. Raises DiskError. `about`: texts beside."""
    with replacing(path) as partial:
        _write_tensors(partial, tensors, about)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    try:
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(whole, path, None if about is None else dict(about))
    except SafetensorError as error:  # it wraps what the system said, a full disk for one
        # As an OSError, so that `replacing` tells of the disk as it does for every other file.
        raise OSError(None, str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote. Raises RunError if it is missing or damaged, `stored.Unreadable` if the
    system does not give it."""
    try:
        stored.check_regular(path)
        return load_file(path)
    # safetensors raises what torch makes of shapes that cannot be, too
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise stored.fault(path, error) from None


_READ = (
    *("recipe.toml", stored.SUMS, "model.safetensors", "tokenizer.model", "labels.json", "image.json"),
    *("data.json", "log.jsonl", "budget.jsonl", "scores.json", "lexicon.safetensors"),
    *("examples", "examples/train", "examples/valid", "examples/test"),
    *("examples/valid.jsonl", "examples/test.jsonl"),
)
"""What is read of a run; what else is in its folder is nobody's business. Checkpoints are looked at by who
goes on from them."""


def _check_readable(run: Path) -> None:
    """Raise RunError for a file that may not be read: it is not damaged, and training again is no help."""
    # With setuid, access would otherwise answer for the user who started the program.
    real = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    for path in (run / name for name in _READ):
        if not os.path.exists(path):  # or a link to nothing, which is told where it is read
            continue
        if os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0), **real):
            continue
        if path.stat().st_uid == _user():
            why, fix = (
                "it is yours, and its rights do not let you read it",
                "give yourself the right: chmod -R u+rX",
            )
        else:
            why, fix = (
                "it is another user's, who has not given the right to read it",
                "let them give it: chmod -R a+rX",
            )
        raise unreadable(path, why, fix=f"{fix} {shlex.quote(str(run))}", kind=RunError)


def _user() -> int | None:
    return None if sys.platform == "win32" else os.geteuid()

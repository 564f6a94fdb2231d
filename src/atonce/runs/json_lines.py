"""Files of JSON objects, one a line, that a training adds to, compared with what its checkpoints say of them.

Such a file grows after its sum was taken, so `sums.json` has none of it. Each checkpoint says which lines it
held by then, but for clocks, which no two trainings have in common.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from atonce import stored
from atonce.disk import disk_error, replacing, write_json
from atonce.errors import RunError, damaged, unreadable

MOST_LISTED = 1 << 25
"""Bytes of a log that are in memory at once: as objects they take up to thirty times as much."""


class JsonLines:
    """A file of JSON objects, one a line, to which lines are added. It may be of any length.

    `required`: a key that every line has. `if_deleted`: what happens if a user deletes it. `clocks`: keys of
    what differs from one training to another that learns the same.
    """

    def __init__(self, path: Path, *, required: str, if_deleted: str, clocks: Iterable[str] = ()) -> None:
        self.path = path
        self._clocks = frozenset(clocks)
        self._required = required
        self._if_deleted = if_deleted
        self._sum: _SumOfLines | None = None  # of the whole file, as far as it is known

    def append(self, **entry: Any) -> None:
        """Add one line. Raises DiskError."""
        line = _line(entry)
        try:
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise disk_error(self.path, error) from error
        if self._sum is not None:
            self._sum.add(json.loads(line), len(line))

    def read(self) -> list[dict[str, Any]]:
        """All lines; none, if there is no file. A last line cut off by a kill is left out.

        Raises RunError if it is damaged, or has more than `MOST_LISTED` bytes.
        """
        entries, listed = [], 0
        for entry, length in self.each():
            listed += length
            if listed > MOST_LISTED:
                raise self.damaged(f"it has more than {MOST_LISTED:,} bytes")
            entries.append(entry)
        return entries

    def each(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Each line, and how many bytes it has. Raises RunError as `read`, at the end for what is lost."""
        try:
            kept = sums_of_checkpoint(self.path.parent).get(self.path.name)  # before: it may grow meanwhile
            found = _SumOfLines(self._clocks)
            for line in stored.lines(self.path):
                if not line.endswith(b"\n"):
                    break
                # A last line without its end was cut off by a kill; anything else that is no JSON is damage.
                entry = stored.parse_json(line)
                if not isinstance(entry, dict) or self._required not in entry:
                    raise ValueError("a line is not what a training writes")
                # What was added after the checkpoint has no sum, and may be lost in a kill.
                if kept is not None and found.lines < kept["lines"]:
                    found.add(entry, len(line))
                yield entry, len(line)
            if kept is not None and found.value != kept:
                raise ValueError("it does not begin with the lines that it had at the last checkpoint")
        except FileNotFoundError:
            if self.path.is_symlink():
                raise self.damaged("it is a link to nothing") from None
        except OSError as error:
            raise unreadable(self.path, error, kind=RunError) from None
        except ValueError as error:
            raise self.damaged(str(error)) from None

    def sum(self) -> dict[str, Any] | None:
        """For a checkpoint: how many lines it has now, and a sum of them but for clocks; None if it has none.

        Nor if it is damaged or was deleted meanwhile: a training does not stop for that. The file is read
        where it has another length than it was left with.
        """
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut might take of it what its sum says is there
                length = os.fstat(file.fileno()).st_size
            if self._sum is None or self._sum.bytes != length:
                self._sum = None
                found = _SumOfLines(self._clocks)
                for entry, size in self.each():
                    found.add(entry, size)
                self._sum = found
            return self._sum.value
        except (OSError, RunError):
            return None

    def damaged(self, why: str) -> RunError:
        """What to tell a user whose file holds something else than was written."""
        return damaged(self.path, why, fix=f"delete it; {self._if_deleted}")

    def keep(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        """Leave only the lines wanted, and none that is cut off, so that others can be added."""
        # Deleted by the user, who was told that this is allowed: checkpoints must not miss it.
        if not self.path.exists():
            _forget_in_checkpoints(self.path)
        kept = _SumOfLines(self._clocks)
        with replacing(self.path) as partial, partial.open("wb") as file:
            for entry, _ in self.each():
                if wanted(entry):
                    line = _line(entry)
                    file.write(line)
                    kept.add(entry, len(line))
        self._sum = kept


class _SumOfLines:
    """What `stored.digest` gives of a list of entries without their clocks, one entry after the other."""

    def __init__(self, clocks: frozenset[str]) -> None:
        self.lines, self.bytes = 0, 0
        self._clocks = clocks
        self._digest = hashlib.sha256(b"[")

    def add(self, entry: Mapping[str, Any], length: int) -> None:
        """One more, whose line has so many bytes."""
        # By value and without clocks: a resumed training makes the same lines again, at other times.
        timeless = {key: entry[key] for key in entry.keys() - self._clocks}
        before = ", " if self.lines else ""
        self._digest.update((before + json.dumps(timeless, sort_keys=True)).encode())
        self.lines += 1
        self.bytes += length

    @property
    def value(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        # A copy, as more lines may follow: the list is only closed in it.
        digest = self._digest.copy()
        digest.update(b"]")
        return {"lines": self.lines, "sha256": digest.hexdigest()}


def sums_of_checkpoint(run: Path) -> dict[str, Any]:
    """What the newest checkpoint says that the files hold which lines are added to; {} if it says nothing."""
    try:
        newest = checkpoints_in(run / "checkpoints")[-1]
        sums = stored.read_json(newest / "progress.json", finite=False)["sums"]
        return {name: one for name, one in sums.items() if isinstance(one.get("lines"), int)}
    except (IndexError, ValueError, OSError, TypeError, KeyError, AttributeError, stored.Unreadable):
        return {}  # there is none, or it is damaged, which is found where it is read


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole ones, oldest first. Raises `stored.Unreadable` where the folder may not be looked into."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise stored.fault(folder, error) from None
    steps = {name: int(found[1]) for name in names if (found := _CHECKPOINT.fullmatch(name))}
    return [folder / name for name in sorted(steps, key=lambda name: steps[name])]


_CHECKPOINT = re.compile(r"step-([0-9]{8,18})")  # the numbers are of eight digits, or as many as it takes


def _forget_in_checkpoints(path: Path) -> None:
    """A user may delete a file of lines; what comes now begins otherwise than the checkpoints say."""
    for checkpoint in checkpoints_in(path.parent / "checkpoints"):
        path_of_progress = checkpoint / "progress.json"
        values = stored.read_json(path_of_progress, finite=False)
        if values.get("sums", {}).pop(path.name, None) is not None:
            write_json(path_of_progress, {**values, "sum": sum_of_progress(values)})


def sum_of_progress(values: Mapping[str, Any]) -> str:
    """Of what a checkpoint's progress.json holds: where the budget is time of all, else of all but clocks."""
    clocks = (
        ("seconds", "update_seconds", "validation_updates") if values["planned_steps"] is not None else ()
    )
    return stored.digest({key: value for key, value in values.items() if key not in ("sum", *clocks)})


def _line(entry: Mapping[str, Any]) -> bytes:
    return (json.dumps(entry, ensure_ascii=False) + "\n").encode()

"""The two ends of a model: what it reads (tokens or images) and what it writes (tokens or labels)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atonce import stored
from atonce.data.images import ImageShape
from atonce.data.normalization import normalized
from atonce.data.tokenizer import Tokenizer
from atonce.disk import write_json
from atonce.errors import DataError, damaged, reason

_TOKENIZER, _IMAGE, _LABELS = "tokenizer.model", "image.json", "labels.json"
FILES = (_TOKENIZER, _IMAGE, _LABELS)
"""Those that there may be; an end that is text on both sides is one file."""


class Labels:
    """Labels and their numbers, from 0."""

    def __init__(self, names: Iterable[str]) -> None:
        """Raises DataError unless there are two labels or more, all different."""
        self.names = tuple(names)
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise DataError(
                f"there is nothing to choose between: the labels are {', '.join(self.names) or 'none'}",
                why="a classification needs two different labels at least",
                fix="check which file, column or key the recipe names as target",
            )
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """The number of a label. Raises DataError if training knew none such."""
        found = self._numbers.get(name)
        if found is None:  # it may be spelt otherwise
            found = self._numbers.get(normalized([name], "nfc")[0])
        if found is None:
            # A thousand labels would bury the sentence.
            known = ", ".join(self.names[:20]) + (" …" if len(self) > 20 else "")
            raise DataError(
                f"{name!r} is no label that the training text has",
                why=f"it has {len(self)}: {known}",
                fix="correct the label, or add examples of it to the training text",
            )
        return found

    def save(self, path: Path) -> None:
        """Write them as JSON, whole or not at all."""
        write_json(path, list(self.names))

    @classmethod
    def open(cls, path: Path) -> "Labels":
        """What `save` wrote. Raises RunError if it is missing or damaged."""
        try:
            stored.check(path.parent, path.name)
            names = stored.read_json(path)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("it is not a list of labels")
            return cls(names)
        except (OSError, ValueError, DataError) as error:
            raise damaged(path, reason(error).partition("\n")[0]) from None


@dataclass(frozen=True)
class IOSpec:
    """What stands between the world and a model's numbers. Two ends that are text share a tokenizer."""

    source: Tokenizer | ImageShape
    target: Tokenizer | Labels

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the end which is text: of the target, or else of the source.

        Raises TypeError where neither is.
        """
        for end in (self.target, self.source):
            if isinstance(end, Tokenizer):
                return end
        raise TypeError("neither end of this model is text")

    def save(self, folder: Path) -> None:
        """Write each into a file of its own. Raises DiskError."""
        if not (isinstance(self.source, ImageShape) and isinstance(self.target, Labels)):
            self.tokenizer.save(folder / _TOKENIZER)
        if isinstance(self.source, ImageShape):
            self.source.save(folder / _IMAGE)
        if isinstance(self.target, Labels):
            self.target.save(folder / _LABELS)

    @classmethod
    def open(cls, folder: Path) -> "IOSpec":
        """What `save` wrote. Raises RunError if a file is missing or damaged."""
        # By what is there, or was: a file that got lost must not make a model of another kind of the run.
        image = ImageShape.open(folder / _IMAGE) if _is_there(folder, _IMAGE) else None
        labels = Labels.open(folder / _LABELS) if _is_there(folder, _LABELS) else None
        if image is not None and labels is not None:
            return cls(image, labels)
        tokenizer = Tokenizer.open(folder / _TOKENIZER)
        return cls(image or tokenizer, labels or tokenizer)


def _is_there(folder: Path, name: str) -> bool:
    """Whether there is such a file, or was one."""
    return stored.is_wanted(folder, name) or os.path.lexists(folder / name)

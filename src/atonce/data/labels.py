"""The labels of a classification: what a model may answer."""

from collections.abc import Iterable
from pathlib import Path

from atonce import stored
from atonce.data.normalization import normalized
from atonce.disk import write_json
from atonce.errors import DataError, damaged, reason


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

"""What every result of this package is: a frozen dataclass that says itself as JSON and as tables.

    @dataclass(frozen=True)
    class Timing(Result):
        seconds: float
        steps: int

        @computed
        def rate(self) -> float:
            return self.steps / self.seconds

    Timing(2.0, 10).to_dict()  # {"seconds": 2.0, "steps": 10, "rate": 5.0}

A result is defined once. Files, `--json`, reports, the REST interface and notebooks are made of its fields.
"""

import dataclasses
import html
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any, ClassVar, TypeVar

import numpy as np

T = TypeVar("T")


class computed(property):
    """A property that is part of `to_dict()`, after the fields."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(function)


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of texts. The first column says what a row is of."""

    title: str
    note: str
    header: tuple[str, ...]
    """The names of the columns; none where the rows say it all."""
    rows: tuple[tuple[str, ...], ...]
    strong: Set[tuple[int, int]] = frozenset()
    """Cells that stand out: row and column, counted from 0 as they are in `rows`."""

    def markdown(self) -> str:
        """As Markdown has it."""
        columns = max(map(len, (self.header, *self.rows)))
        header = self.header or ("",) * columns  # Markdown knows no table without a header
        rows = [
            [f"**{one}**" if (row, column) in self.strong else one for column, one in enumerate(cells)]
            for row, cells in enumerate(self.rows)
        ]
        lines = map(_markdown_line, (header, ("---", *["---:"] * (columns - 1)), *rows))
        return "\n".join([f"### {self.title}", "", self.note, "", *lines, ""])

    def html(self) -> str:
        """As HTML has it."""
        note = f" <span>{html.escape(self.note)}</span>" if self.note else ""
        head = f"<thead><tr>{_html_header(*self.header)}</tr></thead>\n" if self.header else ""
        rows = "\n".join(f"<tr>{self._html_row(number)}</tr>" for number in range(len(self.rows)))
        return (
            f"<table>\n<caption>{html.escape(self.title)}{note}</caption>\n"
            f"{head}<tbody>\n{rows}\n</tbody>\n</table>"
        )

    def _html_row(self, number: int) -> str:
        first, *others = self.rows[number]
        cells = [f'<th scope="row" dir="auto">{html.escape(first)}</th>']
        for column, one in enumerate(others, 1):
            look = " class=strongest" if (number, column) in self.strong else ""
            # Only words have a direction, and nearly all cells are numbers: a map of weights has thousands.
            direction = "" if one.isascii() else ' dir="auto"'
            text = "<br>".join(html.escape(one).split("\n"))
            cells.append(f"<td{look}{direction}>{text}</td>")
        return "".join(cells)


def _markdown_line(cells: Sequence[str]) -> str:
    written = (one.replace("|", r"\|").replace("\n", "<br>") for one in cells)
    return f"| {' | '.join(written)} |"


def _html_header(corner: str, *columns: str) -> str:
    names = (f'<th scope="col" dir="auto">{html.escape(one)}</th>' for one in columns)
    return f'<th dir="auto">{html.escape(corner)}</th>{"".join(names)}'


class Result:
    """Base of frozen dataclasses that are shown, stored and sent.

    `kind` and `version` name the form of a result that is written to a file of its own, for programs that
    read it later; they are its first keys. A field with `metadata=HIDDEN` is left out of `to_dict()`.
    """

    kind: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def to_dict(self) -> dict[str, Any]:
        """All fields and computed properties as plain lists, numbers and texts, ready for JSON.

        NaN becomes None. Arrays become nested lists of the shortest decimals that give the same numbers.
        """
        named = {} if self.kind is None else {"kind": self.kind, "version": self.version}
        return named | {name: to_plain(getattr(self, name)) for name in json_names(type(self))}

    def tables(self) -> Sequence[Table]:
        """Its numbers as tables of texts; none, where a result has no better form than its fields."""
        return ()


HIDDEN: Mapping[str, Any] = {"json": False}
"""Metadata of a field that is no part of `to_dict()`: `field(metadata=HIDDEN)`."""


def json_names(result: type) -> list[str]:
    """The names under which `to_dict()` says a result: fields in order, then computed properties."""
    fields = [field.name for field in dataclasses.fields(result) if field.metadata.get("json", True)]
    # From the base down, so that a subclass adds its properties at the end, and each once.
    of_classes = [vars(one).items() for one in reversed(result.__mro__)]
    found = [name for items in of_classes for name, value in items if isinstance(value, computed)]
    return list(dict.fromkeys([*fields, *found]))


def to_plain(value: Any) -> Any:
    """A value as JSON has it: what `Result.to_dict` does with each field."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return None if value != value else value
        case Result():
            return value.to_dict()
        case np.ndarray():
            return _of_array(value)
        case np.generic():
            return to_plain(plain(value)) if isinstance(value, np.floating) else value.item()
        case Mapping():
            return {str(key): to_plain(one) for key, one in value.items()}
        case Set():
            return [to_plain(one) for one in sorted(value)]
        case Sequence():
            return [to_plain(one) for one in value]
        case PurePath():
            return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "detach"):  # a tensor: torch is not imported for it
        return _of_array(value.detach().cpu().numpy())
    raise TypeError(f"{type(value).__name__} has no form in JSON: give a field of plain values or of results")


def _of_array(numbers: np.ndarray) -> Any:
    if numbers.ndim == 0:
        return to_plain(numbers[()])
    if not np.issubdtype(numbers.dtype, np.floating):
        return numbers.tolist()
    if numbers.ndim == 1:
        return [plain(one) for one in numbers]
    return [_of_array(part) for part in numbers]


def plain(number: np.floating[Any]) -> float | None:
    """A number as JSON has it; NaN is None."""
    # Through text: the shortest decimal that gives the same float32, 0.1 and not 0.10000000149011612.
    return None if np.isnan(number) else float(str(number))

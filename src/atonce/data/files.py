"""Pairs in the user's own files: two line-aligned texts, a table of columns, or JSON lines.

Lines are those of `lines`, one rule for all. In two texts each line is one, blank ones included; in a table a
blank line is no row. Either way it comes as a pair that is blank on both sides: whoever reads counts it.
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from atonce.config import nearest
from atonce.data.config import FilesConfig, TableConfig
from atonce.data.lines import existing, read_lines
from atonce.data.normalization import is_blank
from atonce.data.pairs import Corpus, Pair
from atonce.errors import DataError

_LONGEST_FIELD = 1 << 24  # characters: quotation marks that are never closed take the rest of the file
_BLANK = Pair("", "")


def open_files(config: FilesConfig) -> Corpus:
    """Two line-aligned texts, and those for validation and test where they are given.

    Raises DataError if one of them cannot be opened.
    """

    def aligned(source: str | Path | None, target: str | Path | None) -> Callable[[], Iterator[Pair]] | None:
        if source is None or target is None:
            return None
        return partial(read_aligned, existing(source), existing(target))

    train = aligned(config.source, config.target)
    assert train is not None
    return Corpus(
        train=train,
        valid=aligned(config.valid_source, config.valid_target),
        test=aligned(config.test_source, config.test_target),
        about=f"the user's own files {config.source} and {config.target}",
    )


def open_table(config: TableConfig) -> Corpus:
    """A table, and those for validation and test where they are given.

    Raises DataError if one of them cannot be opened.
    """
    read: Callable[..., Iterator[Pair]] = read_jsonl
    if config.kind != "jsonl":
        read = partial(read_table, delimiter=config.separator, quoted=config.is_quoted)

    def table(path: Path | None) -> Callable[[], Iterator[Pair]] | None:
        return None if path is None else partial(read, existing(path), config.source, config.target)

    train = table(config.path)
    assert train is not None
    return Corpus(
        train=train,
        valid=table(config.valid_path),
        test=table(config.test_path),
        about=f"the user's own file {config.path}, {config.source} to {config.target}",
    )


def read_aligned(source: Path, target: Path) -> Iterator[Pair]:
    """Line i of `source` with line i of `target`. Raises DataError as `read_lines`, or if one ends first."""
    try:
        # strict: the ValueError is zip's, as reading raises DataError alone.
        yield from map(Pair._make, zip(read_lines(source), read_lines(target), strict=True))
    except ValueError:
        what = f"{source} and {target} have not as many lines as one another"
        if not source.is_fifo() and not target.is_fifo():  # what came from a pipe is gone
            counts = [sum(1 for _ in read_lines(path)) for path in (source, target)]
            what = f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}"
        raise DataError(
            what,
            why="line 1 belongs to line 1, line 2 to line 2, and so on; one file ends too soon",
            fix="look for lines that were lost or split, and make the files equally long",
        ) from None


def read_tsv(path: Path, source: str, target: str) -> Iterator[Pair]:
    """`read_table` of columns that are separated by tabs and not quoted."""
    return read_table(path, source, target)


def read_table(
    path: Path, source: str, target: str, *, delimiter: str = "\t", quoted: bool = False
) -> Iterator[Pair]:
    """Two of the columns of a table, by name or by number from 1.

    Names stand in the first line. If only numbers are given, the first line is a pair like any other,
    unless the numbers are themselves names there. `quoted`: fields are as spreadsheets write them, in
    quotation marks where they hold the delimiter, quotation marks or line ends, which become spaces; without
    it, marks are part of the text. Raises DataError as `read_lines`, if there is no such column, or if a row
    has fewer or more columns than the first one (line named).
    """
    rows = _quoted_rows(path, delimiter) if quoted else _plain_rows(path, delimiter)
    # Blank lines before the header are pairs that say nothing, and are counted as such.
    for _, header in rows:
        if not _is_blank(header):
            break
        yield _BLANK
    else:
        return
    # A column may be called 2: names come before numbers.
    left, right = (_column(name, header, path, delimiter) for name in (source, target))
    if left == right:
        raise _same_column(path, source, target)
    if all(name not in header and _is_number(name) for name in (source, target)):
        yield Pair(header[left], header[right])
    width = len(header)
    for number, fields in rows:
        if len(fields) == width:
            yield Pair(fields[left], fields[right])
        elif _is_blank(fields):
            yield _BLANK
        else:
            raise _uneven(path, number, fields, width, delimiter, quoted=quoted)


def _same_column(path: Path, source: str, target: str) -> DataError:
    return DataError(
        f"source and target are the same column, or key, of {path}",
        why=f"the one is {source!r}, the other {target!r}",
        fix="name two columns, in data.columns or in data.source and data.target",
    )


def _plain_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.split(delimiter)) for number, line in enumerate(read_lines(path), start=1))


def _quoted_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its first line. Raises DataError where quotation marks do not fit."""
    # It holds for the whole process, in which somebody may have raised it further.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    # csv has to see line ends to know where a text goes on in the next line.
    lines = (f"{_without_returns(line)}\n" for line in read_lines(path))
    reader, number = csv.reader(lines, delimiter=delimiter, strict=True), 1
    try:
        for row in reader:
            yield number, [_on_one_line(field) for field in row]
            number = reader.line_num + 1
    except csv.Error as error:
        first = next(read_lines(path), "")
        other = next((one for one in _NAMES if one != delimiter and f'"{one}"' in first), None)
        raise DataError(
            f"{path}, line {number}: the quotation marks do not fit together",
            why=f"in the row that begins there: {error}",
            fix=(f"data.delimiter = {json.dumps(other)}; or " if other is not None and number == 1 else "")
            + 'close each text that begins with ", and write " inside of one as ""; or read marks as part '
            'of the texts: data.quoting = "none"',
        ) from None


def _without_returns(line: str) -> str:
    """A carriage return inside a line is white space; csv would end the row at it."""
    return line.replace("\r", " ") if "\r" in line else line


def _is_blank(fields: list[str]) -> bool:
    """Whether a row is a blank line: one or none field, which says nothing."""
    return len(fields) < 2 and is_blank("".join(fields))


def _uneven(
    path: Path, number: int, fields: list[str], width: int, delimiter: str, *, quoted: bool
) -> DataError:
    separator = _NAMES.get(delimiter, repr(delimiter))
    fix = f"columns are separated by one {separator} each; mend the line or leave it out"
    if not quoted and any(field.startswith('"') for field in fields):
        fix = f'if a spreadsheet wrote it, with texts in quotation marks: data.quoting = "csv"; or {fix}'
    which = "is missing" if len(fields) < width else "is one too many"
    column = min(len(fields), width) + 1
    return DataError(
        f"{path}, line {number}: column {column} {which}",
        why=f"the line has {_counted(len(fields), 'column')}, the first line has {width}",
        fix=fix,
    )


_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon"}


def read_jsonl(path: Path, source: str, target: str) -> Iterator[Pair]:
    """Two of the keys of the JSON objects in a file, one object a line. A blank line is a blank pair.

    A line end inside a text becomes a space. Raises DataError as `read_lines`, or if a line is not such
    an object (line named).
    """
    if source == target:
        raise _same_column(path, source, target)
    # Of equal keys, Python's parser takes the last in silence. Looking for them takes a second parse, so only
    # lines that have the key's spelling twice get one.
    spelt = {key: {json.dumps(key), json.dumps(key, ensure_ascii=False)} for key in (source, target)}
    for number, line in enumerate(read_lines(path), start=1):
        if is_blank(line):
            yield _BLANK
            continue
        row = _json_object(line, path, number)
        for key, spellings in spelt.items():
            if any(line.count(one) > 1 for one in spellings):  # it may be a text, too
                _check_said_once(line, key, path, number)
        yield Pair(_text(row, source, path, number), _text(row, target, path, number))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _column(name: str, header: list[str], path: Path, delimiter: str) -> int:
    """The index of the column called `name`, or of that number."""
    separated = _NAMES.get(delimiter, repr(delimiter))
    # Where numbers have decimal commas, spreadsheets write semicolons between columns.
    other = next((one for one in _NAMES if len(header) == 1 and one in header[0]), None)
    if other is not None and name not in header and name != "1":
        raise DataError(
            f"{path} has one column",
            why=f"there is no {separated} in its first line, but there is a {_NAMES[other]}",
            fix=f"data.delimiter = {json.dumps(other)}",
        )
    if header.count(name) > 1:
        places = [str(place) for place, one in enumerate(header, start=1) if one == name]
        raise DataError(
            f"{path} has {len(places)} columns {name!r}",
            why=f"its first line has that name at columns {', '.join(places)}",
            fix="give each column a name of its own",
        )
    if name in header:
        return header.index(name)
    if not _is_number(name):
        raise DataError(
            f"{path} has no column {name!r}",
            why=f"its first line names {_counted(len(header), 'column')}",
            fix=f"{nearest(name, header)}; a number, from 1, also names a column",
        )
    if not 1 <= int(name) <= len(header):
        raise DataError(
            f"{path} has no column {name}",
            why=f"its first line has {_counted(len(header), 'column')}, separated by {separated}s",
            fix=f"give a number from 1 to {len(header)}, or a name from the first line",
        )
    return int(name) - 1


def _json_object(line: str, path: Path, number: int) -> dict[str, object]:
    why = "it has lists, or objects, a thousand deep in one another"
    try:
        row = json.loads(line)
    except RecursionError:
        raise _not_json(path, number, why) from None
    except json.JSONDecodeError as error:
        raise _not_json(path, number, str(error)) from None
    except ValueError:
        raise _not_json(path, number, "it has a number of more than 4,300 digits") from None
    if not isinstance(row, dict):
        raise DataError(
            f"{path}, line {number} is not a JSON object",
            why=f"it is a {type(row).__name__}",
            fix='each line looks like {"en": "...", "de": "..."}',
        )
    return row


def _not_json(path: Path, number: int, why: str) -> DataError:
    return DataError(
        f"{path}, line {number} is not JSON", why=why, fix="put one whole JSON object on each line"
    )


def _check_said_once(line: str, key: str, path: Path, number: int) -> None:
    """Raises DataError for an object that has a key twice; Python's parser takes the last of them."""
    pairs: list[tuple[str, object]] = json.loads(line, object_pairs_hook=list)
    if [name for name, _ in pairs].count(key) > 1:
        raise DataError(
            f"{path}, line {number} has the key {key!r} more than once",
            why="nothing says which of its values is the text",
            fix="give each key of an object once",
        )


def _text(row: dict[str, object], key: str, path: Path, number: int) -> str:
    """The text under `key`, on one line."""
    if key not in row:
        fix = nearest(key, list(row)) if row else "the object is empty; leave the line out"
        raise DataError(
            f"{path}, line {number} has no key {key!r}", why="the recipe names it as a side", fix=fix
        )
    text = row[key]
    if not isinstance(text, str):
        raise DataError(
            f"{path}, line {number}: {key!r} is not a text",
            why=f"it is a {type(text).__name__}",
            fix="put it in quotation marks, or name another key",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}, line {number}: {key!r} holds half a character",
            why=f"\\u{ord(text[error.start]):04x} is one half of a surrogate pair",
            fix="write the character itself, or both of its halves",
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path}, line {number}: {key!r} has a zero byte",
            why="no text has one: something else was written into it",
            fix="leave \\u0000 out",
        )
    return _on_one_line(text)


def _on_one_line(text: str) -> str:
    """A text whose line ends are spaces."""
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""Bodies of docstrings and their summary lines, from whatever Python packages are installed.

A docstring begins with one line that sums it up, then a blank line, then the rest (PEP 257). Sources are
parsed, never imported. The texts stay on the machine: each is under the licence of its package.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from atonce.data.config import DocstringsConfig
from atonce.data.pairs import Corpus, Pair
from atonce.errors import DataError
from atonce.progress import progress

FEWEST_WORDS = 8
"""A shorter body says no more than its summary."""
FEWEST_SUMMARY_WORDS = 3

_NO_PROSE = re.compile(
    r"""^[ ]*(
        >>>                               # an example for doctest
      | :\w[^:\n]*:(\s|$)                 # a field of reStructuredText, ":param x:"
      | @\w+                              # or of Epydoc, "@param x:"
      | \.\.[ ]                           # a directive
      | ```                               # a fence
      | .+\n[ ]*([-=~^*\#])\3{2,}[ ]*$    # a heading with a rule below it, "Parameters"
      | [A-Z]\w*([ ]\w+){0,2}::?[ ]*$     # a heading with a colon, "Args:", "Example::"
    )""",
    re.MULTILINE | re.VERBOSE,
)
"""Where a body stops to be prose."""
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, spelt with an escape: no text can hold it
# What no file without a summary line matches: to search is a hundred times quicker than to parse.
_ANY_SUMMARY = re.compile(rb"(\"\"\"|''')\s*\S.*\.[ \t]*\r?\n[ \t]*\r?\n")

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def open_docstrings(config: DocstringsConfig, *, quiet: bool = False) -> Corpus:
    """Bodies with their summaries, ordered by file, each pair once. All are read at once, in up to a minute.

    Raises DataError if no package has any.
    """
    files = installed_files()
    found: dict[Pair, str] = {}
    with progress("Reading the docstrings of installed packages", total=len(files), quiet=quiet) as advance:
        for name in sorted(files):
            package, path = files[name]
            for pair in read_pairs(path):
                # The first keeps it: packages carry copies of one another.
                found.setdefault(pair, package)
            advance(1)
    if not found:
        raise DataError(
            "the installed packages have no docstrings to learn from",
            why=f"{len(files):,} Python files were read, and none has a docstring with a summary and a body",
            fix="install packages that document themselves, for example: pip install scipy",
        )
    packages = len(set(found.values()))
    about = (
        f"docstrings of {packages} installed Python package{'s' * (packages > 1)} and their summary lines "
        "(each under its own licence)"
    )
    return Corpus(train=partial(iter, list(found)), valid=None, test=None, about=about)


def installed_files() -> dict[str, tuple[str, Path]]:
    """The Python files of installed packages, without tests: the package and the place of each, by its name.

    A file is named as its package lists it, the same wherever that is installed.
    """
    return {
        file.as_posix(): (distribution.name, Path(str(distribution.locate_file(file))))
        for distribution in distributions()
        for file in distribution.files or ()
        if file.suffix == ".py" and not {"test", "tests"} & set(file.parts)
    }


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file, from top to bottom. A file that is not there or is no Python has none."""
    try:
        source = path.read_bytes()
    except OSError:
        return
    if not _ANY_SUMMARY.search(source):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strings with wrong escapes, which are not ours to mend
        try:
            tree = ast.parse(source)
        # ValueError: a zero byte; the last two: nested too deeply for the parser.
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    for node in documented(tree):
        docstring = ast.get_docstring(node)
        pair = split(docstring) if docstring else None
        if pair:
            yield pair


def documented(node: ast.stmt | Documented) -> Iterator[Documented]:
    """The module, classes and functions in a tree, outer before inner. Looks into statements only."""
    if isinstance(node, Documented):
        yield node
    for inner in getattr(node, "body", ()):
        yield from documented(inner)


def split(docstring: str) -> Pair | None:
    """Body and summary line of a docstring without indents; None if it has not both, or too few words."""
    summary, _, rest = docstring.partition("\n")
    blank, _, body = rest.partition("\n")
    if blank.strip() or not summary.rstrip().endswith(".") or _SURROGATE.search(docstring):
        return None
    if heading := _NO_PROSE.search(body):
        body = body[: heading.start()]
    words, summary_words = body.split(), summary.split()
    if len(words) < FEWEST_WORDS or len(summary_words) < FEWEST_SUMMARY_WORDS:
        return None
    return Pair(" ".join(words), " ".join(summary_words))

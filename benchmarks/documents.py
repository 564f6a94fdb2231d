"""The documents that people read, in parts: what is said, block by block, and code and links in it.

Read by `figures.py` and by `tests/test_docs.py`, so that both mean the same by a table row or a code block.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PROGRAMS = ("atonce", "curl", "make", "pip", "python", "python3.11", "torchrun")
"""What commands begin with, whatever folder it is in."""
BESIDE = re.compile(r"\s{2,}|\s#\s")
"""What is between a command and what is said about it on the same line."""
_NOT_MEASURED = re.compile(r"<!--\s*(?:not measured|(?P<held>held by)):\s*(?P<reason>\S.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph (of a list, too), the row of a table, or what stands beside a command."""

    line: int
    section: str
    text: str
    cells: tuple[str, ...] = ()
    """Of the row of a table."""
    header: tuple[str, ...] = ()
    """Of the table that a row is of; a header has itself."""
    not_measured: str = ""
    """Why numbers in it are not measured by figures.toml, where an HTML comment before it says so."""


@dataclass(frozen=True)
class Fence:
    """A block of code. The language is empty where none is named."""

    line: int
    language: str
    text: str


@dataclass
class Document:
    """One Markdown file."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    code: list[tuple[int, str]] = field(default_factory=list)
    """Code within text, with its line."""
    links: list[tuple[int, str]] = field(default_factory=list)
    """Links and pictures, with their line."""
    held_by: list[tuple[int, str]] = field(default_factory=list)
    """Tests that hold what a block says, with the line of the comment that names them."""

    @property
    def name(self) -> str:
        """The path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Take a file apart."""
        document = cls(path)
        lines = path.read_text(encoding="utf-8")
        _Reading(document, lines.splitlines()).read(MarkdownIt("commonmark").enable("table").parse(lines))
        return document

    def tables(self) -> dict[str, dict[str, dict[str, str]]]:
        """What each cell says: by section, by the first cell of its row, by the name of its column."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for block in self.blocks:
            if block.cells and block.cells != block.header:
                cells = dict(zip(block.header[1:], block.cells[1:], strict=True))
                found.setdefault(block.section, {})[block.cells[0]] = cells
        return found


def program(line: str) -> str:
    """What a line calls, without its folder."""
    return line.split(maxsplit=1)[0].rpartition("/")[2] if line.strip() else ""


def documents() -> Iterator[Document]:
    """README, all of docs/, and how benchmarks are run. NOTES.md is a diary, which nothing else repeats."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks/README.md"):
        yield Document.read(path)


class _Reading:
    """Goes through the parts of a file once, and keeps in mind where it is."""

    def __init__(self, document: Document, lines: list[str]) -> None:
        self.document, self.lines = document, lines
        self.section, self.header = "", ()
        self.reason, self.until_level = "", 0

    def read(self, tokens: list[Token]) -> None:
        in_row = False
        for number, token in enumerate(tokens):
            first = token.map[0] if token.map else 0
            if token.level == 0:
                self._reason_of(token)
            if token.type == "fence":
                self._fence(Fence(first + 1, token.info.strip(), token.content))
            elif token.type == "thead_open":
                self.header = ()
            elif token.type == "tr_open":
                in_row = True
                self._row(first)
            elif token.type == "tr_close":
                in_row = False
            elif token.type == "inline":
                if not in_row:
                    self._paragraph(first, token.content, heading=tokens[number - 1].type == "heading_open")
                self._inside(first, token.children or [])

    def _reason_of(self, token: Token) -> None:
        """A comment holds for what follows it; before a heading, for the whole section."""
        if token.type == "html_block" and (found := _NOT_MEASURED.search(token.content)):
            self.reason, self.until_level = found["reason"], -1
            if found["held"]:
                self.document.held_by.append((token.map[0] + 1 if token.map else 0, found["reason"]))
        elif self.until_level == -1 and token.nesting == 1:
            self.until_level = int(token.tag[1]) if token.type == "heading_open" else 0
        elif self.reason and self._ends(token):
            self.reason = ""

    def _ends(self, token: Token) -> bool:
        if self.until_level == 0:
            return token.nesting == 1
        return token.type == "heading_open" and int(token.tag[1]) <= self.until_level

    def _fence(self, fence: Fence) -> None:
        """What is said about a command is said like anything else."""
        self.document.fences.append(fence)
        for number, line in enumerate(fence.text.splitlines(), fence.line):
            _, *about = BESIDE.split(line.strip(), maxsplit=1)
            if about and program(line) in PROGRAMS:
                self._add(number, " ".join(about[0].split()), ())

    def _row(self, line: int) -> None:
        text = self.lines[line].strip()
        cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", text.strip("|")))
        self.header = self.header or cells
        self._add(line, text, cells)

    def _paragraph(self, line: int, content: str, *, heading: bool) -> None:
        text = " ".join(content.split())
        if heading:
            self.section = text
        self._add(line, text, ())

    def _add(self, line: int, text: str, cells: tuple[str, ...]) -> None:
        header = self.header if cells else ()
        self.document.blocks.append(Block(line + 1, self.section, text, cells, header, self.reason))

    def _inside(self, line: int, children: list[Token]) -> None:
        for child in children:
            if child.type == "softbreak":
                line += 1
            elif child.type == "code_inline":
                self.document.code.append((line + 1, child.content))
            elif child.type in ("link_open", "image"):
                target = child.attrs.get("href", child.attrs.get("src", ""))
                self.document.links.append((line + 1, str(target)))

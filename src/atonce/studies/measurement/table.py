"""A table of texts, for a terminal, a page and Markdown alike."""

import html
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A header and rows of texts. The first column says what a row is of."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown has it."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join(
            [f"### {self.title}", "", self.note, "", *(f"| {' | '.join(line)} |" for line in lines), ""]
        )

    def html(self) -> str:
        """As HTML has it."""
        head = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in self.header)
        rows = "\n".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(f"<td>{html.escape(one)}</td>" for one in others)
            + "</tr>"
            for first, *others in self.rows
        )
        return (
            f"<table>\n<caption>{html.escape(self.title)} <span>{html.escape(self.note)}</span></caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
        )

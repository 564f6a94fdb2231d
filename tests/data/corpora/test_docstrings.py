from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from atonce.data.config import DocstringsConfig
from atonce.data.corpora import docstrings
from atonce.data.corpora.docstrings import installed_files, read_pairs, split
from atonce.data.corpora.registry import open_corpus
from atonce.data.pairs import Pair
from atonce.errors import DataError

BODY = "These words say at length what the line above says shortly."
MODULE = f'''
"""Sum up the module.

{BODY}
"""
import one_that_does_not_exist

raise SystemExit("this must never be run")

if one_that_does_not_exist:
    class Inner:
        """
        Sum up the class.

        {BODY}
        It is a class,
        on several lines.
        """

        async def method(self):
            """Sum up the method.

            {BODY}
            """
            def nested():
                "Too short."

def undocumented():
    lambda: "\\d"

def repeated():
    """Sum up the module.

    {BODY}
    """
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages. One lists what is not there, the other has no list of its files."""
    folder = tmp_path / "site-packages"
    files = {
        "b/module.py": MODULE,
        "a.py": f'"""Sum up another.\n\n{BODY}"""',
        "b/broken.py": MODULE + "\ndef (",
        "b/tests/test_b.py": MODULE.replace("Sum", "Test"),
        "b/data.txt": MODULE,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    def installed(name: str, files: list[str] | None) -> SimpleNamespace:
        listed = None if files is None else [PurePosixPath(file) for file in files]
        return SimpleNamespace(name=name, files=listed, locate_file=lambda file: folder / file)

    found = [
        installed("second", [*files, "b/gone.py"]),
        installed("none", None),
        installed("first", ["a.py"]),
    ]
    monkeypatch.setattr(docstrings, "distributions", lambda: found)
    return folder


def test_bodies_with_their_summaries_in_order_and_once_each(site: Path) -> None:
    corpus = open_corpus(DocstringsConfig())
    assert list(corpus.train()) == [
        Pair(BODY, "Sum up another."),
        Pair(BODY, "Sum up the module."),
        Pair(f"{BODY} It is a class, on several lines.", "Sum up the class."),
        Pair(BODY, "Sum up the method."),
    ]
    assert list(corpus.train()) == list(corpus.train()), "it can be read again"
    assert corpus.valid is corpus.test is None
    assert "2 installed Python packages" in corpus.about


def test_python_files_without_tests(site: Path) -> None:
    assert sorted(installed_files()) == ["a.py", "b/broken.py", "b/gone.py", "b/module.py"]


def test_no_docstrings_at_all(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings, "distributions", list)
    with pytest.raises(DataError, match="no docstrings to learn from") as caught:
        open_corpus(DocstringsConfig())
    assert "pip install" in caught.value.fix


@pytest.mark.parametrize(
    "content",
    [
        b'"""Sum up the file.\n\n' + BODY.encode() + b'"""\n"\xff"',
        b'"""Sum up the file.\n\n' + BODY.encode() + b'"""\n\0',
        b'"""Sum up the file.\n\n' + BODY.encode() + b'"""\nif',
    ],
)
def test_what_is_no_python(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.py").write_bytes(content)
    assert list(read_pairs(tmp_path / "file.py")) == []


@pytest.mark.parametrize(
    "content",
    [
        f'"""Sum up the file.\n\n{BODY}"""\n"\\d"',
        f"'''\nSum up the file. \n  \n{BODY}'''",
        f'r"""Sum up the file.\r\n\r\n{BODY}\r\n"""',
        f'# -*- coding: latin-1 -*-\n"""Sum up the file.\n\n{BODY}"""\n"ä"',
    ],
)
def test_strings_of_all_kinds(tmp_path: Path, content: str) -> None:
    (tmp_path / "file.py").write_bytes(content.encode("latin-1"))
    assert list(read_pairs(tmp_path / "file.py")) == [Pair(BODY, "Sum up the file.")]


@pytest.mark.parametrize(
    "rest",
    [
        "Parameters\n----------\nx : int",
        "Args:\n    x: a number",
        "Returns:\n    a number",
        "Keyword arguments:\n    x: a number",
        "Example::\n\n    f(x)",
        ":param x: a number",
        ":return: a number",
        ":returns:\n    a number",
        "@param x: a number",
        ">>> f(1)\n2",
        "    >>> f(1)\n    2",
        ".. note:: a note",
        "```python\nf(1)\n```",
        "Notes\n=====\nMore words.",
    ],
)
def test_prose_ends_where_a_section_begins(rest: str) -> None:
    before = "An @ sign, two >>> and\nso on: all this is prose."
    expected = Pair(" ".join(before.split()), "Sum up the thing.")
    assert split(f"Sum up the thing.\n\n{before}\n\n{rest}") == expected
    assert split(f"Sum up the thing.\n\n{rest}\n{BODY}") is None


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Sum up the thing.",
        "Sum up the thing.\n",
        f"Sum up the thing.\n{BODY}",
        f"Sum up the thing\n\n{BODY}",
        f"Sum up a thing\nin two lines.\n\n{BODY}",
        f"Sum up.\n\n{BODY}",
        "Sum up the thing.\n\nOnly a few words.",
        f"Sum up half a \ud800 character.\n\n{BODY}",
        "\n\n",
    ],
)
def test_what_has_no_summary_or_no_body(docstring: str) -> None:
    assert split(docstring) is None

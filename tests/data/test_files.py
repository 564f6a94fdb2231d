import bz2
import gzip
import io
import lzma
import os
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from atonce.data import lines as lines_module
from atonce.data import packed as packed_module
from atonce.data.config import FilesConfig, TableConfig
from atonce.data.corpora.registry import open_corpus
from atonce.data.files import read_aligned, read_jsonl, read_table
from atonce.data.lines import existing, read_lines, read_stdin
from atonce.data.pairs import Corpus, Pair
from atonce.errors import DataError, RecipeError

PAIRS = [Pair("a house", "ein Haus"), Pair("", "leer"), Pair("two", "zwei")]


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def aligned(folder: Path, source: str | bytes, target: str | bytes) -> Corpus:
    config = FilesConfig(
        source=str(text(folder / "s.txt", source)), target=str(text(folder / "t.txt", target))
    )
    return open_corpus(config)


def table(path: Path, source: str, target: str, **more: object) -> list[Pair]:
    values = {"kind": path.suffix.removeprefix("."), "path": path, "source": source, "target": target, **more}
    return list(open_corpus(TableConfig.parse(values, origin="test")).train())


def test_files_pair_line_by_line_with_either_line_end(tmp_path: Path) -> None:
    corpus = aligned(tmp_path, "a house\r\n\r\ntwo\r\n", "ein Haus\nleer\nzwei")
    assert list(corpus.train()) == PAIRS
    assert list(corpus.train()) == PAIRS, "a second reading starts again"
    assert corpus.valid is None
    assert corpus.test is None


def test_files_may_be_gzip_by_name_or_content(tmp_path: Path) -> None:
    packed = gzip.compress(b"a house\n\ntwo\n")
    (tmp_path / "s.gz").write_bytes(packed)
    (tmp_path / "s.txt").write_bytes(packed)
    text(tmp_path / "t.txt", "ein Haus\nleer\nzwei\n")
    for name in ("s.gz", "s.txt"):
        config = FilesConfig(source=str(tmp_path / name), target=str(tmp_path / "t.txt"))
        assert list(open_corpus(config).train()) == PAIRS


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    strange = "one\u2028still one\x85and\x0bstill\rone\x1c"
    first = next(aligned(tmp_path, strange + "\ntwo\n", "eins\nzwei\n").train())
    assert first == Pair(strange, "eins")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert list(aligned(tmp_path, "\ufeffone\n", "eins\n").train()) == [Pair("one", "eins")]


def test_home_and_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(tmp_path / "s", "one\n")
    text(tmp_path / "t", "eins\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert list(open_corpus(FilesConfig(source="~/s", target="t")).train()) == [Pair("one", "eins")]


def test_given_splits_are_read(tmp_path: Path) -> None:
    source, target = text(tmp_path / "s", "one\n"), text(tmp_path / "t", "eins\n")
    corpus = open_corpus(
        FilesConfig(source=str(source), target=str(target), valid_source=target, valid_target=source)
    )
    assert corpus.valid is not None
    assert list(corpus.valid()) == [Pair("eins", "one")]


def test_a_missing_file_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text(tmp_path / "s", "one\n")
    with pytest.raises(DataError, match=r"there is no file gone\.txt") as caught:
        open_corpus(FilesConfig(source="s", target="gone.txt"))
    assert str(tmp_path) in caught.value.fix
    with pytest.raises(DataError, match="there is no file"):
        open_corpus(TableConfig(kind="tsv", path=tmp_path / "gone.tsv", source="1", target="2"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read") as caught:
        open_corpus(FilesConfig(source=str(tmp_path), target=str(tmp_path)))
    assert caught.value.why == "Is a directory"


@pytest.mark.parametrize(
    ("source", "target"), [("1\n2\n3\n4\n5\n", "1\n2\n3\n"), ("1\n2\n3\n", "1\n2\n3\n4\n5\n")]
)
def test_unequal_line_counts_are_both_named(tmp_path: Path, source: str, target: str) -> None:
    with pytest.raises(DataError) as caught:
        list(aligned(tmp_path, source, target).train())
    counts = [len(side.splitlines()) for side in (source, target)]
    assert caught.value.what == f"{tmp_path}/s.txt has {counts[0]} lines and {tmp_path}/t.txt has {counts[1]}"
    assert "too soon" in caught.value.why
    assert "equally long" in caught.value.fix


some_bytes = st.lists(
    st.sampled_from([b"a", b"\n", b"\r", b"\r\n", "ü€".encode(), b"\xfc", "\ufeff".encode()])
)


@given(some_bytes.map(b"".join), st.integers(1, 9))
def test_reading_many_lines_at_once_is_reading_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, bytes_at_once: int
) -> None:
    path = text(tmp_path_factory.mktemp("lines") / "f", raw)
    expected: list[str | tuple[int, int]] = []
    start = 0
    for line in io.BytesIO(raw):
        try:
            decoded = line.decode()
        except UnicodeDecodeError as error:
            expected.append((len(expected) + 1, start + error.start))
            break
        if not start and raw.count(b"\n") == 0 and "\r" in decoded.rstrip("\r"):
            expected.append(f"the lines of {path} end in carriage returns alone")
            break
        expected.append(decoded.removesuffix("\n").rstrip("\r").lstrip("\ufeff"))
        start += len(line)
    got: list[str | tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_BYTES_AT_ONCE", bytes_at_once)
        try:
            got.extend(read_lines(path))
        except DataError as error:
            line_and_byte = re.search(r"line (\d+), byte (\d+)", error.what)
            got.append((int(line_and_byte[1]), int(line_and_byte[2])) if line_and_byte else error.what)
    assert got == expected


def test_invalid_utf8_is_named_by_line_and_byte(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(aligned(tmp_path, "für\nzwölf\n".encode() + b"gr\xfcn\n", "a\nb\nc\n").train())
    assert caught.value.what == f"{tmp_path}/s.txt is not UTF-8: line 3, byte 14 (counted from 0)"
    assert "0xfc" in caught.value.why
    assert caught.value.fix == "what else it has around there is UTF-8: mend that line"


def test_broken_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\n" * 1000)
    target = text(tmp_path / "t", "eins\n" * 1000)
    for content in (whole[:-20], whole[:20] + b"\xff" * 40, b"not gzip at all"):
        config = FilesConfig(source=str(text(tmp_path / "s.gz", content)), target=str(target))
        with pytest.raises(DataError, match=r"s\.gz is broken gzip") as caught:
            list(open_corpus(config).train())
        assert "gzip -t" in caught.value.fix


def test_tsv_columns_by_name_and_by_number(tmp_path: Path) -> None:
    named = text(tmp_path / "named.tsv", 'id\ten\tde\n1\ta "quoted" house\tein Haus\n')
    assert table(named, "en", "de") == [Pair('a "quoted" house', "ein Haus")]
    assert table(named, "de", "2") == [Pair("ein Haus", 'a "quoted" house')]
    plain = text(tmp_path / "plain.tsv", "one\teins\ntwo\tzwei\n")
    assert table(plain, "2", "1") == [Pair("eins", "one"), Pair("zwei", "two")]
    assert table(text(tmp_path / "empty.tsv", ""), "en", "de") == []


def test_tsv_without_the_column(tmp_path: Path) -> None:
    path = text(tmp_path / "a.tsv", "english\tgerman\none\teins\ntwo\n")
    with pytest.raises(DataError, match="has no column 'germna'") as caught:
        table(path, "english", "germna")
    assert "did you mean 'german'?" in caught.value.fix
    with pytest.raises(DataError, match="has no column 3") as caught:
        table(path, "1", "3")
    assert caught.value.why == "its first line has 2 columns, separated by tabs"
    with pytest.raises(DataError, match="line 3: column 2 is missing") as caught:
        table(path, "english", "german")
    assert caught.value.why == "the line has 1 column, the first line has 2"


def test_jsonl(tmp_path: Path) -> None:
    path = text(
        tmp_path / "a.jsonl", '{"en": "one\\nhouse", "de": "ein\\r\\nHaus"}\n\n{"de": "x", "en": "\\u2028"}'
    )
    assert table(path, "en", "de") == [Pair("one house", "ein Haus"), Pair("", ""), Pair("\u2028", "x")]


@pytest.mark.parametrize(
    ("line", "what", "help"),
    [
        ('{"en": "one", "de": ', "line 2 is not JSON", "Expecting value"),
        ('["one", "eins"]', "line 2 is not a JSON object", "it is a list"),
        ('{"en": "one", "ed": "eins"}', "line 2 has no key 'de'", "did you mean 'en'?"),
        ("{}", "line 2 has no key 'en'", "the object is empty"),
        ('{"en": "one", "de": 1}', "line 2: 'de' is not a text", "it is a int"),
        ('{"en": "one", "de": "\\ud83d!"}', "line 2: 'de' holds half a character", "\\ud83d"),
        ('{"en": "one", "de": "a\\u0000"}', "line 2: 'de' has a zero byte", "leave \\u0000 out"),
    ],
)
def test_broken_json_lines_are_named(tmp_path: Path, line: str, what: str, help: str) -> None:
    path = text(tmp_path / "a.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n')
    with pytest.raises(DataError) as caught:
        table(path, "en", "de")
    assert caught.value.what == f"{path}, {what}"
    assert help in caught.value.why + caught.value.fix


KINDS = ("files", "tsv", "csv", "jsonl")


def as_kind(kind: str, folder: Path, lines: list[str], *, end: str = "\n", begin: str = "") -> list[Pair]:
    """The lines as both sides of a corpus of that kind, or as it is written there; "" is a blank line."""
    if kind == "files":
        content = begin + "".join(f"{line}{end}" for line in lines)
        return list(aligned(folder, content, content).train())
    rows = {
        "tsv": lambda line: f"{line}\t{line}",
        "csv": lambda line: f"{line},{line}",
        "jsonl": lambda line: f'{{"1": "{line}", "2": "{line}"}}',
    }
    content = begin + "".join((rows[kind](line) if line else "") + end for line in lines)
    return table(text(folder / f"t.{kind}", content), "1", "2")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\ufeff\ufeff"])
def test_one_rule_for_all_kinds(tmp_path: Path, kind: str, end: str, begin: str) -> None:
    lines = ["one", "", "two\x85one\u2028", "three"]
    expected = [Pair(line, line) for line in lines]
    assert as_kind(kind, tmp_path, lines, end=end, begin=begin) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_marks_of_files_put_together_are_no_text(tmp_path: Path, kind: str) -> None:
    assert as_kind(kind, tmp_path, ["one"]) == [Pair("one", "one")]
    (path,) = (tmp_path / name for name in ({"files": "s.txt"}.get(kind, f"t.{kind}"),))
    half = "\ufeff".encode() + path.read_bytes()
    path.write_bytes(half + half)
    assert list(read_lines(path)) == half.decode().removeprefix("\ufeff").splitlines() * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_byte_is_named_by_line(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="line 2 has a zero byte"):
        as_kind(kind, tmp_path, ["one", "t\0wo", "three"])


def test_lines_of_old_macs_are_not_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="end in carriage returns alone") as caught:
        list(read_lines(text(tmp_path / "a", "one\rtwo\r")))
    assert caught.value.fix == "tr '\\r' '\\n' < OLD > NEW"
    assert list(read_lines(text(tmp_path / "a", "one\rstill one\ntwo\r"))) == ["one\rstill one", "two"]


LETTERS = {
    "latin": "für\nzwölf Tage\n",
    "cyrillic": "Привет, мир\nда\n",
    "chinese": "你好\n世界,今天\n",
    "emoji": "a 🙂\n",
}


@pytest.mark.parametrize("script", LETTERS)
@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("order", ["le", "be"])
def test_wide_encodings_are_read_with_a_mark_and_named_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, width: int, order: str
) -> None:
    content, encoding = LETTERS[script], f"utf-{width}-{order}"
    path = text(tmp_path / "a", f"\ufeff{content}".encode(encoding))
    assert list(read_lines(path)) == content.splitlines()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert list(read_stdin()) == content.splitlines()
    monkeypatch.setattr(lines_module, "_BYTES_AT_ONCE", 3)
    assert list(read_lines(path)) == content.splitlines(), "in parts"
    monkeypatch.setattr(lines_module, "_BYTES_AT_ONCE", 1000)
    text(path, content.encode(encoding))
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert caught.value.what == f"{path} looks like UTF-{width}{order.upper()} without a byte order mark"
    assert caught.value.fix == f"iconv -f UTF-{width}{order.upper()} -t UTF-8 OLD > NEW"


def test_broken_wide_encodings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is broken UTF-16-LE"):
        list(read_lines(text(tmp_path / "a", "\ufeffone\n".encode("utf-16-le") + b"x")))


PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: zstandard.compress(content),
    "zip": lambda content: zipped({"a.txt": content}),
}


def zipped(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


@pytest.mark.parametrize("ending", PACK)
def test_packed_files_are_read_to_their_end(tmp_path: Path, ending: str) -> None:
    lines = [f"line {number}" for number in range(30_000)]
    content = "".join(f"{line}\n" for line in lines).encode()
    whole = PACK[ending](content)
    for name in (f"a.{ending}", "a.txt"):
        assert list(read_lines(text(tmp_path / name, whole))) == lines
    if ending != "zip":
        twice = PACK[ending](content[:1000]) + PACK[ending](content[1000:])
        assert list(read_lines(text(tmp_path / "twice", twice))) == lines, "of two streams"
    for broken in (whole[: len(whole) // 2], whole + whole[: len(whole) // 2], whole[:40] + b"\xff" * 99):
        if ending == "zip" and len(broken) > len(whole):
            continue  # the end of an archive is looked for from behind
        with pytest.raises(DataError, match=r"a\.txt is broken"):
            list(read_lines(text(tmp_path / "a.txt", broken)))


def test_xz_may_be_padded(tmp_path: Path) -> None:
    padded = lzma.compress(b"one\n") + bytes(8) + lzma.compress(b"two\n") + bytes(70_000)
    assert list(read_lines(text(tmp_path / "a", padded))) == ["one", "two"]


def test_zstd_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text(tmp_path / "a.zst", zstandard.compress(b"one\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(DataError, match="cannot read") as caught:
        list(read_lines(path))
    assert caught.value.fix == f"pip install 'atonce[zstd]', or unpack it: zstd -dc {path} > NEW"


def test_archives_of_other_than_one_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="zip archive with 2 files") as caught:
        list(read_lines(text(tmp_path / "a.zip", zipped({"a": b"", "b": b""}))))
    assert "it has a, b" in caught.value.why
    one = {"a/": b"", "a/b": b"one\n", "__MACOSX/a": b"?"}
    assert list(read_lines(text(tmp_path / "a.zip", zipped(one)))) == ["one"]
    with pytest.raises(DataError, match="is an Office document, not a text") as caught:
        list(read_lines(text(tmp_path / "a.xlsx", zipped({"[Content_Types].xml": b"", "xl/a.xml": b""}))))
    assert "CSV UTF-8" in caught.value.fix


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF document, not a text", "save what is to be read as a UTF-8 text"),
        (b"PAR1\x15\x04\x15\x1e", "is a Parquet table, not a text", "UTF-8"),
        (b"a" * 257 + b"ustar\0" + b"00", "is a tar archive, not a text", "UTF-8"),
        (b"\x80\x04\x95\x01\x02\x03\x04\x05", "is not UTF-8: line 1, byte 0", "seems to be no text"),
        (b"gr\xfcn und bl\xe4u\n", "is not UTF-8: line 1, byte 2", "iconv -f WINDOWS-1252 -t UTF-8"),
        ("Привет мир".encode("cp1251"), "is not UTF-8: line 1, byte 0", "iconv -f NAME"),
        ("日本語の文章".encode("shift_jis"), "is not UTF-8: line 1, byte 0", "iconv -f NAME"),
        ("für zwölf Köche".encode()[:8], "is not UTF-8: line 1, byte 7", "breaks off within a character"),
        (gzip.compress(gzip.compress(b"one\n", mtime=0), mtime=0), "is packed in gzip", "gzip -dc OLD > NEW"),
    ],
    ids=["pdf", "parquet", "tar", "pickle", "cp1252", "cp1251", "shift_jis", "cut", "gzip twice"],
)
def test_what_is_no_utf8_is_named_for_what_it_is(tmp_path: Path, content: bytes, what: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_lines(text(tmp_path / "a", content)))
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert ("iconv" in caught.value.fix) == ("iconv" in fix)


def test_packed_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lzma.compress(b"one\n"))))
    with pytest.raises(DataError, match="standard input is packed in xz") as caught:
        list(read_stdin())
    assert caught.value.fix == "unpack it: xz -dc OLD > NEW"


@pytest.mark.parametrize("quoting", ["none", "csv"])
@pytest.mark.parametrize(
    ("row", "which"), [("two\tzwei\tx", "column 3 is one too many"), ("two", "column 2 is missing")]
)
def test_a_row_of_another_width_is_refused(tmp_path: Path, row: str, which: str, quoting: str) -> None:
    path = text(tmp_path / "a.tsv", f"one\teins\n\n{row}\n")
    with pytest.raises(DataError, match=f"line 3: {which}"):
        table(path, "1", "2", quoting=quoting)


def test_what_spreadsheets_write(tmp_path: Path) -> None:
    rows = 'en\tde\n"a\ttab"\tein "Wort"\n"two\r\nlines"\t"er sagt ""ja"""\n\nplain\t\n'
    path = text(tmp_path / "a.tsv", rows)
    expected = [
        Pair("a\ttab", 'ein "Wort"'),
        Pair("two lines", 'er sagt "ja"'),
        Pair("", ""),
        Pair("plain", ""),
    ]
    assert table(path, "en", "de", quoting="csv") == expected
    assert (
        table(
            text(tmp_path / "a.csv", rows.replace("a\ttab", "a|tab").replace("\t", ",").replace("|", "\t")),
            "en",
            "de",
        )
        == expected
    )
    with pytest.raises(DataError, match="line 2: column 3 is one too many") as caught:
        table(path, "en", "de")
    assert 'data.quoting = "csv"' in caught.value.fix
    unclosed = text(tmp_path / "b.csv", 'a,b\n"two\nlines",c\n"never,closed\nx,y\n')
    with pytest.raises(DataError, match="line 4: the quotation marks do not fit"):
        table(unclosed, "1", "2")
    odd = text(tmp_path / "c.csv", 'a,b\none\rtwo,"three\rfour"\n')
    assert table(odd, "a", "b") == [Pair("one two", "three four")]


def test_other_delimiters(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "en;de\none;eins\n")
    with pytest.raises(DataError, match="has one column") as caught:
        table(path, "en", "de")
    assert caught.value.fix == 'data.delimiter = ";"'
    assert table(path, "en", "de", delimiter=";") == [Pair("one", "eins")]
    quoted = text(tmp_path / "b.csv", '"en";"de"\n"one";"eins"\n')
    with pytest.raises(DataError, match="line 1: the quotation marks do not fit") as caught:
        table(quoted, "en", "de")
    assert caught.value.fix.startswith('data.delimiter = ";"')


def test_columns_name_both_sides(tmp_path: Path) -> None:
    path = text(tmp_path / "a.tsv", "id\ten\tde\n1\tone\teins\n")
    for columns in (["en", "de"], [2, 3]):
        config = TableConfig.parse({"kind": "tsv", "path": path, "columns": columns}, origin="test")
        assert (config.source, config.target) == tuple(map(str, columns))
        assert list(open_corpus(config).train())[-1] == Pair("one", "eins")
        assert TableConfig.parse(config.model_dump(), origin="again") == config
    for wrong, what in (
        ({"columns": ["en", "de"], "source": "id"}, "names others"),
        ({"source": "en"}, "which columns"),
        ({"columns": ["en"]}, "columns"),
        ({"source": "en", "target": "de", "kind": "jsonl", "quoting": "csv"}, "marks of its own"),
    ):
        with pytest.raises(RecipeError, match=what):
            TableConfig.parse({"kind": "tsv", "path": path, **wrong}, origin="test")


def one_in_zip(content: bytes, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text", content)
        archive.comment = comment
    return buffer.getvalue()


def test_a_zip_archive_is_whole(tmp_path: Path) -> None:
    path = text(tmp_path / "a.zip", one_in_zip(b"one\n", b"a comment"))
    assert list(read_lines(path)) == ["one"]
    for content, where in (
        (one_in_zip(b"one\n") + one_in_zip(b"two\n"), "before the archive"),
        (one_in_zip(b"one\n", b"a comment") + b"two\n", "behind the archive"),
    ):
        with pytest.raises(DataError, match=where):
            list(read_lines(text(path, content)))


@pytest.mark.parametrize(
    "content",
    [
        "Grüße an alle hier im Land\nmit\0 Leuten und Tieren\n".encode(),
        "Сегодня хорошая \0погода\nЗавтра\0 тоже\n".encode(),
        b"\0" * 50,
        b"Hello there\n" * 100 + b"\0" * 4096,
        "Grüße an alle\nmit \0Leuten\n".encode("latin-1"),
    ],
)
def test_a_text_with_zeros_is_not_taken_for_utf16(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError) as caught:
        list(read_lines(text(tmp_path / "a", content)))
    assert "UTF-16" not in str(caught.value)
    assert "UTF-32" not in str(caught.value)


@pytest.mark.parametrize("word", ["Привет", "😀😃\n"])
@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
def test_a_word_in_a_wide_encoding_is_named(tmp_path: Path, word: str, encoding: str) -> None:
    with pytest.raises(DataError, match=f"looks like {encoding}"):
        list(read_lines(text(tmp_path / "a", word.encode(encoding.lower()))))


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\x04\x22\x4d\x18d@\xa7", "packed in lz4"), (b"LZIP\1\x0c\0!", "packed in lzip")],
)
def test_other_packings_are_named(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what):
        list(read_lines(text(tmp_path / "a", content)))


@contextmanager
def pipe(path: Path, content: bytes) -> Iterator[Path]:
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield path
    writer.join()


def test_pipes_are_read_once(tmp_path: Path) -> None:
    with pipe(tmp_path / "plain", b"one\ntwo\n") as path:
        assert list(read_lines(path)) == ["one", "two"]
    with pipe(tmp_path / "gzip", gzip.compress(b"one\n")) as path:
        assert list(read_lines(path)) == ["one"]
    with pipe(tmp_path / "zip", one_in_zip(b"one\n")) as path, pytest.raises(DataError, match="from a pipe"):
        list(read_lines(path))
    with pipe(tmp_path / "longer", b"one\ntwo\n") as path, pytest.raises(DataError, match="as many lines"):
        list(read_aligned(path, text(tmp_path / "shorter", b"one\n")))
    with pytest.raises(DataError, match="is a pipe, not a file"):
        existing(tmp_path / "plain")


def test_columns_are_two(tmp_path: Path) -> None:
    path = text(tmp_path / "a", b"en\tde\tde\na\tb\tc\n")
    with pytest.raises(DataError, match="has 2 columns 'de'"):
        list(read_table(path, "en", "de"))
    for target in ("en", "1"):
        with pytest.raises(DataError, match="are the same column"):
            list(read_table(path, "en", target))
    with pytest.raises(DataError, match="are the same column"):
        list(read_jsonl(text(tmp_path / "b", b'{"en": "a"}\n'), "en", "en"))


def test_lines_without_width_are_blank(tmp_path: Path) -> None:
    table = text(tmp_path / "a", "en\tde\na\tb\n\u200b\n".encode())
    assert list(read_table(table, "en", "de")) == [("a", "b"), ("", "")]
    objects = text(tmp_path / "b", '{"en": "a", "de": "b"}\n\u200b\n'.encode())
    assert list(read_jsonl(objects, "en", "de")) == [("a", "b"), ("", "")]


def test_json_of_any_depth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1 is not JSON"):
        list(read_jsonl(text(tmp_path / "a", b"[" * 100_000 + b"\n"), "en", "de"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_line_without_end_is_not_read_on(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 300_000)
    whole = f"a house\n{'b' * 120_000}\nlast\n"
    path = text(tmp_path / "s.txt", whole.encode(encoding))
    assert list(read_lines(path)) == whole.split("\n")[:-1]
    text(path, (whole + "x" * 700_000).encode(encoding))
    with pytest.raises(DataError, match=r"line 4 has more than 300,000 bytes"):
        list(read_lines(path))


def test_standard_input_without_line_ends_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 1000)
    stdin = io.BytesIO(b"one\n" + b"x" * 5000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
    found = read_stdin()
    assert next(found) == "one"
    with pytest.raises(DataError, match=r"standard input, line 2 has more than 1,000 bytes"):
        next(found)
    assert stdin.tell() < 5004


BOMBS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda raw: zstandard.ZstdCompressor(write_content_size=False).compress(raw),
}


@pytest.mark.parametrize("packing", BOMBS)
def test_a_few_bytes_that_stand_for_many_are_unpacked_a_little_at_a_time(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much as is asked for, and no more than a few blocks ahead."""
    packed = BOMBS[packing](b"x" * 30_000_000)
    assert len(packed) < 60_000
    made: list[int] = []

    class Counting(packed_module._Chunks):
        def __init__(self, chunks: Iterator[bytes]) -> None:
            super().__init__(made.append(len(chunk)) or chunk for chunk in chunks)

    monkeypatch.setattr(packed_module, "_Chunks", Counting)
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 100_000)
    with pytest.raises(DataError, match="line 1 has more than"):
        list(read_lines(text(tmp_path / "bomb", packed)))
    assert max(made, default=0) <= 16 * 2**20
    assert sum(made) < 25_000_000, "the rest is not unpacked"


def test_a_window_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "_XZ_MEMORY", 2**20)
    with pytest.raises(DataError, match="is broken xz") as caught:
        list(read_lines(text(tmp_path / "s.xz", lzma.compress(b"one\n", preset=9))))
    assert "memory" in caught.value.why


@pytest.mark.parametrize(
    ("line", "what", "why"),
    [
        ("[" * 100_000, "line 2 is not JSON", "a thousand deep"),
        ('{"s":' * 50_000, "line 2 is not JSON", "a thousand deep"),
        ('{"s": "a", "t": "b", "n": ' + "9" * 5000 + "}", "line 2 is not JSON", "more than 4,300 digits"),
        ('{"s": "a", "s": "b", "t": "c"}', "line 2 has the key 's' more than once", "which of its values"),
        ('{"s": NaN, "t": "c"}', "line 2: 's' is not a text", "it is a float"),
        ('{"s": 1e999, "t": "c"}', "line 2: 's' is not a text", "it is a float"),
    ],
    ids=["list", "object", "number", "twice", "NaN", "infinite"],
)
def test_hostile_json_lines_are_named(line: str, what: str, why: str, tmp_path: Path) -> None:
    path = text(tmp_path / "t.jsonl", '{"s": "a \\"s\\" \\"s\\"", "t": "\\"t\\"", "x": {"s": 1}}\n' + line)
    rows = read_jsonl(path, "s", "t")
    assert next(rows) == Pair('a "s" "s"', '"t"'), "a name of a key in a text, or further inside, is no key"
    with pytest.raises(DataError) as caught:
        next(rows)
    assert caught.value.what == f"{path}, {what}"
    assert why in caught.value.why


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "~nobody-at-all/x", "x" * 5000], ids="0123")
def test_paths_that_cannot_be_are_three_lines(path: str) -> None:
    with pytest.raises(DataError):
        existing(path)
    with pytest.raises(DataError):
        list(read_lines(Path(path)))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no devices by name")
def test_devices_are_no_corpora() -> None:
    with pytest.raises(DataError, match="is a device, not a file"):
        existing("/dev/zero")
    with pytest.raises(DataError, match="line 1 has more than"):
        list(read_lines(Path("/dev/zero")))

import gzip
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data import files as files_module
from atonce.data.config import FilesConfig, TableConfig
from atonce.data.corpora import Corpus, Pair, open_corpus
from atonce.data.files import read_lines
from atonce.errors import DataError

PAIRS = [Pair("a house", "ein Haus"), Pair("", "leer"), Pair("two", "zwei")]


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def aligned(folder: Path, source: str | bytes, target: str | bytes) -> Corpus:
    config = FilesConfig(
        source=str(text(folder / "s.txt", source)), target=str(text(folder / "t.txt", target))
    )
    return open_corpus(config)


def table(path: Path, source: str, target: str) -> list[Pair]:
    kind = "jsonl" if "jsonl" in path.name else "tsv"
    return list(open_corpus(TableConfig(kind=kind, path=path, source=source, target=target)).train())


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
        end = "\r\n" if decoded.endswith("\r\n") else "\n"
        expected.append(
            decoded.removesuffix(end) if start else decoded.removeprefix("\ufeff").removesuffix(end)
        )
        start += len(line)
    got: list[str | tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_module, "_BYTES_AT_ONCE", bytes_at_once)
        try:
            got.extend(read_lines(path))
        except DataError as error:
            line_and_byte = re.search(r"line (\d+), byte (\d+)", error.what)
            assert line_and_byte is not None
            got.append((int(line_and_byte[1]), int(line_and_byte[2])))
    assert got == expected


def test_invalid_utf8_is_named_by_line_and_byte(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(aligned(tmp_path, "für\nzwölf\n".encode() + b"gr\xfcn\n", "a\nb\nc\n").train())
    assert caught.value.what == f"{tmp_path}/s.txt is not UTF-8: line 3, byte 14 (counted from 0)"
    assert "0xfc" in caught.value.why
    assert "iconv" in caught.value.fix


def test_broken_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\n" * 1000)
    target = text(tmp_path / "t", "eins\n" * 1000)
    for content in (whole[:-20], whole[:20] + b"\xff" * 40, b"not gzip at all"):
        config = FilesConfig(source=str(text(tmp_path / "s.gz", content)), target=str(target))
        with pytest.raises(DataError, match=r"s\.gz is broken gzip") as caught:
            list(open_corpus(config).train())
        assert "gzip -t" in caught.value.fix


def test_tsv_columns_by_name_and_by_number(tmp_path: Path) -> None:
    named = text(tmp_path / "named.tsv", 'id\ten\tde\n1\ta "quoted" house\tein Haus\textra\n')
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
    assert table(path, "en", "de") == [Pair("one house", "ein Haus"), Pair("\u2028", "x")]


@pytest.mark.parametrize(
    ("line", "what", "help"),
    [
        ('{"en": "one", "de": ', "line 2 is not JSON", "Expecting value"),
        ('["one", "eins"]', "line 2 is not a JSON object", "it is a list"),
        ('{"en": "one", "ed": "eins"}', "line 2 has no key 'de'", "did you mean 'en'?"),
        ("{}", "line 2 has no key 'en'", "the object is empty"),
        ('{"en": "one", "de": 1}', "line 2: 'de' is not a text", "it is a int"),
        ('{"en": "one", "de": "\\ud83d!"}', "line 2: 'de' holds half a character", "\\ud83d"),
    ],
)
def test_broken_json_lines_are_named(tmp_path: Path, line: str, what: str, help: str) -> None:
    path = text(tmp_path / "a.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n')
    with pytest.raises(DataError) as caught:
        table(path, "en", "de")
    assert caught.value.what == f"{path}, {what}"
    assert help in caught.value.why + caught.value.fix

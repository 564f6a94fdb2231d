"""Corpora that are small and strange: odd texts, bytes, columns, quoting, encodings, packings, JSON.

One step of training and a translation of the odd texts, or a reason. Checked beside how they end: every count
of data.json adds up, a line in gives a line out, and what the tokenizer spells is the text.
"""

import bz2
import gzip
import io
import json
import lzma
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import zstandard

from atonce.data.tokenizer import Tokenizer
from campaign.forked import run_forked
from campaign.outcome import Outcome
from campaign.recipes import verdict_of

ODD = [
    *"\x85\u2028\u2029\v\f\x1c\x1d\x1e\x01\r\t\u200b\u200e\u202e\ufeff\u2581\u2585\ufdd0\ufffe\uffff\ufffd\xad\u0300",
    *["👩‍👩‍👧", "🏳️‍🌈", "אב", "עברית", "العربية", "हिन्दी", "ไทย", "中文", "ﬀ", "ß", "İ", "ı", "ᾳ", "𝔘"],
    *[
        "\U000e0041",
        "\U0010ffff",
        "<s>",
        "</s>",
        "<unk>",
        "<pad>",
        "<0x41>",
        "▁",
        "..",
        "!?",
        "—",
        "\\",
        '"',
        "'",
    ],
    *["&lt;", "<b>", "%s", "{0}", "1234567890", "a" * 5000, '""', '"a', 'a"', ",", ";", "|"],
]
WORDS = "the a device is configured 1 2 2001 house dog sees der Hund das Haus sieht ist"
KINDS = "odd punctuation one char long same spaces rtl digits random plain plain plain plain"


def text(kind: str, draw: random.Random) -> str:
    """A line of some kind."""
    words, count = WORDS.split(), draw.randrange(1, 12)
    match kind:
        case "odd":
            return "".join(draw.choices([*ODD, *words, " "], k=count))
        case "punctuation":
            return "".join(draw.choices("!?.,;:—–-…'\"()[]{}/\\", k=count))
        case "one":
            return draw.choice("abcdefgh")
        case "char":
            return chr(draw.choice([draw.randrange(32, 0xD800), draw.randrange(0xE000, 0x110000)]))
        case "long":
            return draw.choice([" ".join(draw.choices(words, k=2000)), draw.choice("abc") * 10_000])
        case "same":
            return "same line"
        case "spaces":
            return draw.choice(["", " ", "   ", "\u3000", "\u00a0", "\u200b"])
        case "rtl":
            return " ".join(draw.choices(["אב", "שלום", "سلام", "abc", "\u202e", "12"], k=count))
        case "digits":
            return str(draw.randrange(10**count))
        case "random":
            codes = [draw.randrange(0x110000) for _ in range(count)]
            return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
        case _:
            return f"{' '.join(draw.choices(words, k=count))} {draw.randrange(1000)}"


def packed_zip(raw: bytes) -> bytes:
    """A zip archive of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw_kind(raw)) as archive:
        archive.writestr("a.txt", raw)
    return file.getvalue()


def draw_kind(raw: bytes) -> int:
    """Some compression, by what is packed."""
    return (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[len(raw) % 4]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda raw: zstandard.ZstdCompressor().compress(raw),
    "zip": packed_zip,
}


def spoilt(raw: bytes, draw: random.Random) -> tuple[bytes, str]:
    """The bytes of a text, in another encoding, packed or damaged, and what was done."""
    how = draw.random()
    if how < 0.55:
        return raw, ""
    if how < 0.6:
        return b"\xef\xbb\xbf" + raw, "byte order mark"
    if how < 0.68:
        encoding = draw.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "shift_jis"])
        return raw.decode().encode(encoding, "replace"), encoding
    if how < 0.78:
        name = draw.choice(list(PACK))
        return PACK[name](raw), name
    if how < 0.84:
        name, more = draw.choice(list(PACK)), draw.choice([b"x", b"\0" * 9, b"PK\3\4", b"\x1f\x8b"])
        whole = PACK[name](raw)
        return draw.choice([whole[: -draw.randrange(1, 9)], whole + more, more + whole]), f"damaged {name}"
    if how < 0.87:
        name = draw.choice(["gzip", "bzip2", "xz", "zstd"])
        return PACK[name](b"\0" * 40_000_000 if draw.random() < 0.5 else b"ab " * 10_000_000), f"{name} bomb"
    if how < 0.93 and raw:
        place = draw.randrange(len(raw))
        changed = bytes([draw.choice([0, 10, 13, 34, 44, 9, 127, 128, 195, 255, draw.randrange(256)])])
        return raw[:place] + changed + raw[place + draw.choice([0, 1]) :], f"byte {place} is {changed!r}"
    extra = draw.choice(
        [b"\xff\xfe\n", b"\xed\xa0\x80\n", b"%PDF-1.7\n", b"\x89PNG\r\n", b"\r\r\r", b"\n" * 50]
    )
    return draw.choice([extra + raw, raw + extra]), f"{extra!r} beside it"


def odd_json(draw: random.Random) -> str:
    """A line that is no pair, or an odd one."""
    lines = [
        '{"s": 1, "t": "x"}',
        '{"s": "x"}',
        "[]",
        "nul",
        '{"s": "\\ud800", "t": "x"}',
        "{}",
        '"x"',
        "NaN",
    ]
    lines += [
        '{"s": null, "t": "b"}',
        '{"s": NaN, "t": "b"}',
        '{"s": "a", "s": "b", "t": "c"}',
        "[" * 100_000,
    ]
    lines += ['{"s":' * 50_000, '{"s": ' + "9" * 5000 + ', "t": "b"}', '{"s": "a", "t": "b", "n": 1e999}']
    lines += ['{"s": "a", "t": "b"} x', '{"s": "a\\u0000", "t": "b"}', '{"s": ["a"], "t": "b"}', "﻿{}"]
    return draw.choice(lines) + "\n"


def corpus(folder: Path, draw: random.Random) -> tuple[str, dict[str, Any]]:
    """Files in `folder`, what they are, and the section [data] that reads them."""
    count = draw.choice([0, 3, 30, 60, 120, 120, 120, 200, 200, 200])
    kinds = KINDS.split()
    left, right = draw.choice(kinds), draw.choice(kinds)
    mixed = draw.random() < 0.5
    rows = [
        [text(draw.choice([kind, "plain", "plain"]) if mixed else kind, draw) for kind in (left, right)]
        for _ in range(count)
    ]
    end = draw.choice(["\n", "\n", "\n", "\r\n", "\r"] if draw.random() < 0.3 else ["\n"])
    form = draw.choice(["files", "files", "tsv", "csv", "jsonl", "jsonl"])
    said = f"{count} rows of {left}/{right}{' mixed' if mixed else ''} as {form}"
    one_line = [[cell.replace("\n", " ") for cell in row] for row in rows]
    if form == "files":
        done = []
        for side, name in enumerate("ab"):
            whole = end.join(row[side] for row in one_line) + (end if draw.random() < 0.7 else "")
            raw, how = spoilt(whole.encode(), draw)
            (folder / name).write_bytes(raw)
            done += [how] * bool(how)
        data: dict[str, Any] = {"kind": "files", "source": "a", "target": "b"}
        if draw.random() < 0.15:
            data |= {"valid_source": "a", "valid_target": "b"}
        return ", ".join([said, *done]), data
    if form == "jsonl":
        spell = draw.random() < 0.5
        body = "".join(json.dumps({"s": a, "t": b}, ensure_ascii=spell) + "\n" for a, b in rows)
        body += odd_json(draw) if draw.random() < 0.3 else ""
        data = {"kind": "jsonl", "path": "t", "columns": ["s", "t"]}
    else:
        delimiter = {"tsv": "\t", "csv": ","}[form] if draw.random() < 0.8 else draw.choice(";|,\t ")
        quoted = draw.random() < 0.5
        lines = []
        for row in one_line:
            cells = [cell.replace("\t", " ") for cell in row] + ["more"] * (draw.random() < 0.01)
            if quoted:
                cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells]
            lines.append(delimiter.join(cells) + end)
        body = "".join(lines)
        data = {"kind": form, "path": "t", "columns": [1, 2]}
        if draw.random() < 0.6:
            data |= {"delimiter": delimiter, "quoting": "csv" if quoted else "none"}
    raw, how = spoilt(body.encode("utf-8", "replace"), draw)
    (folder / "t").write_bytes(raw)
    return ", ".join([said, *[how] * bool(how)]), data


def recipe(data: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """One step with a corpus."""
    task = draw.choice(["translation"] * 6 + ["summarization", "classification"])
    sizes = dict(zip(("valid_size", "test_size"), draw.choice([(1, 1), (5, 5), (1000, 1000)]), strict=True))
    decoder: dict[str, Any] = {"kind": draw.choice(["gru", "transformer", "mingru"])}
    if decoder["kind"] != "gru":
        decoder |= {"layers": 1, "feed_forward": 16}
    if task == "classification":
        decoder = {"kind": "classifier"}
    return {
        "data": {**data, "task": task, **sizes, "max_length": draw.choice([256] * 6 + [1, 20])},
        "vocabulary": {
            "kind": draw.choice(["bpe", "unigram", "words", "characters"]),
            "size": draw.choice([300, 320, 8000]),
            "split_digits": draw.random() < 0.7,
            "normalization": draw.choice(["nfc", "nfc", "none", "spaces", "nfkc"]),
        },
        "model": {"dim": 16, "encoder": {"kind": "gru"}, "decoder": decoder},
        "training": {"steps": 1, "batch_tokens": 256, "validation_sentences": 5},
        "decoding": {"beam": draw.choice([1, 4])},
    }


COMMANDS = {"translation": "translate", "summarization": "summarize", "classification": "classify"}


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One step with each corpus, and what it makes of odd lines."""
    for number in numbers:
        draw = random.Random(f"corpora-{seed}-{number}")
        said, data = corpus(folder, draw)
        values = recipe(data, draw)
        task = values["data"]["task"]
        said = f"{said}, {task}, {values['vocabulary']['kind']} {values['vocabulary']['size']}"
        (folder / "r.toml").write_text(tomli_w.dumps(values), encoding="utf-8")
        shutil.rmtree(folder / "run", ignore_errors=True)
        ended = run_forked(["train", "r.toml", "--out", "run"], folder, seconds=60)
        verdict, fine = verdict_of(ended, folder / "run")
        detail = ended.stderr[-400:]
        if verdict == "ok" and draw.random() < 0.3:
            wrong = _wrong_counts(folder / "run") or _lost(folder / "run", draw)
            verdict, fine, detail = (wrong, False, wrong) if wrong else _used(folder, COMMANDS[task], draw)
        yield Outcome(number, said, verdict, fine, "" if fine else detail)


def _wrong_counts(run: Path) -> str:
    """What is wrong with the counts of data.json, if anything."""
    counts = json.loads((run / "data.json").read_text(encoding="utf-8"))
    parts = ("pairs_blank", "pairs_empty", "pairs_too_long", "pairs_leaking", "pairs_leaking_by_target")
    parts += ("pairs_repeated", "train_pairs", "valid_pairs", "test_pairs")
    total = sum(counts[part] for part in parts)
    return "" if total == counts["pairs_read"] else f"counts are {total} of {counts['pairs_read']}"


def _lost(run: Path, draw: random.Random) -> str:
    """What the tokenizer does not spell again, if anything."""
    tokenizer = Tokenizer.open(run / "tokenizer.model")
    for _ in range(5):
        line = text("odd", draw)
        if tokenizer.decode(tokenizer.encode(line)) != tokenizer.normalized(line):
            return f"the tokenizer loses {line!r}"
    return ""


def _used(folder: Path, command: str, draw: random.Random) -> tuple[str, bool, str]:
    """How the run takes odd lines: verdict, whether it is right, and what was said."""
    lines = [text("odd", draw).replace("\n", " ") for _ in range(8)]
    (folder / "in").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    ended = run_forked([command, "run", "in"], folder, seconds=60)
    if ended.verdict != "ok":
        return f"{command}: {ended.verdict}", False, ended.stderr[-400:]
    written = ended.stdout.count("\n")
    if written != len(lines):
        return f"{command}: {len(lines)} lines in, {written} out", False, ended.stdout[-400:]
    return "ok", True, ""

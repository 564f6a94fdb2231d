#!/usr/bin/env bash
# A .zst file that is cut off, read from Python.
#
# Guess, written before looking: as gzip.open, bz2.open and lzma.open do (EOFError: "Compressed file ended before
# the end-of-stream marker was reached"), zstandard.open says so too, and so does `zstd -d`.
#
# Seen with zstandard 0.25.0: zstandard.open and ZstdDecompressor().stream_reader give what they can and then the
# end of the file, without an error; whoever reads a corpus of .jsonl.zst gets a shorter one. The three of the
# standard library raise. Remedy: read with decompressobj() and look at its `eof` at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet zstandard==0.25.0
"$folder/venv/bin/python" - <<'PYTHON'
import bz2, gzip, io, lzma, random, sys

import zstandard

draw = random.Random(1)
text = "".join(f"line {number} {draw.random()}\n" for number in range(100_000)).encode()
seen = {}
for name, library in (("gzip", gzip), ("bz2", bz2), ("lzma", lzma), ("zstandard", zstandard)):
    packed = library.compress(text)
    cut = io.BytesIO(packed[: len(packed) // 2])
    try:
        with library.open(cut, "rb") as file:
            lines = file.read().count(b"\n")
        seen[name] = "no error"
        print(f"{name}: {lines:,} of 100,000 lines, no error")
    except EOFError as error:
        seen[name] = "error"
        print(f"{name}: EOFError: {error}")
sys.exit(seen != {"gzip": "error", "bz2": "error", "lzma": "error", "zstandard": "no error"})
PYTHON

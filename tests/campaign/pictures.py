"""Pictures of many formats, kinds and sizes, whole and damaged: to the server, `classify` and `read`."""

import base64
import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from campaign.forked import run_forked
from campaign.outcome import Outcome
from campaign.served import Watched, client_of, fault_in, runs

READ = ("PNG", "JPEG", "WEBP", "GIF")
OTHERS = ("BMP", "TIFF", "PPM", "ICO", "TGA", "PCX", "DIB", "SGI", "JPEG2000")
"""Which are refused by name."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")
SIZES = (
    (8, 8),
    (1, 1),
    (28, 28),
    (88, 12),
    (1, 5_000),
    (5_000, 1),
    (300, 200),
    (1_500, 1_500),
    (2_500, 2_500),
)


def picture_of(draw: random.Random) -> tuple[str, bytes]:
    """What it is, and the file."""
    kind = draw.choice([*READ * 4, *OTHERS])
    mode, size = draw.choice(MODES), draw.choice(SIZES)
    noise = np.random.default_rng(draw.randrange(1 << 30)).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    picture = Image.fromarray(noise).resize(size, Image.Resampling.NEAREST)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    options = {}
    if mode in ("P", "L", "1") and draw.random() < 0.4:
        options["transparency"] = draw.choice([0, 3, bytes(range(256))] if mode == "P" else [0, 3])
    if draw.random() < 0.3 and kind in READ[:3]:
        exif = Image.Exif()
        exif[0x0112] = draw.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 65_535])
        options["exif"] = exif
    if draw.random() < 0.2 and kind != "JPEG":
        options |= {"save_all": True, "append_images": [picture.rotate(90)] * 3}
    if kind == "JPEG" and draw.random() < 0.3:
        options["progressive"] = True
    file = io.BytesIO()
    try:
        picture.save(file, kind, **options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no such file: another in its place
        kind, mode, options = "PNG", "RGB", {}
        file = io.BytesIO()
        picture.convert(mode).save(file, kind)
    return f"{kind} {mode} {size} {sorted(options)}", file.getvalue()


def damaged(draw: random.Random, content: bytes) -> tuple[str, bytes]:
    """What was done to it, and what is left."""
    match draw.randrange(9):
        case 0 | 1 | 2:
            return "whole", content
        case 3:
            end = draw.randrange(len(content))
            return f"cut after {end}", content[:end]
        case 4 | 5:
            changed = bytearray(content)
            places = [draw.randrange(len(changed)) for _ in range(draw.choice([1, 3, 30]))]
            for place in places:
                changed[place] ^= draw.randrange(1, 256)
            return f"changed at {places[:5]}", bytes(changed)
        case 6:
            changed = bytearray(content)
            places = [draw.randrange(min(64, len(changed))) for _ in range(2)]  # the head
            for place in places:
                changed[place] = draw.choice([0, 255, 127, 128])
            return f"changed at {places}", bytes(changed)
        case 7:
            end = draw.randrange(len(content))
            return f"cut out at {end}", content[:end] + content[end + draw.randrange(1, 20) :]
    return "more behind", content + bytes(draw.randrange(256) for _ in range(100))


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Send each to one of the three."""
    made = runs(folder)
    with client_of(made) as client:
        for number in numbers:
            draw = random.Random(f"pictures {seed} {number}")
            what, content = picture_of(draw)
            how, content = damaged(draw, content)
            door = ("server", "classify", "read")[number % 3]
            done = f"{door}: {what}, {how}"
            if door == "server":
                watched = Watched()
                signs = base64.b64encode(content).decode()
                answer = client.post(
                    "/v1/classify", json={"images": [signs]}, headers={"Authorization": "Bearer sesame"}
                )
                fault = fault_in(answer, "POST") or watched.fault()
                verdict = fault or str(answer.status_code)
                fine = not fault and answer.status_code in (200, 413, 422)
                yield Outcome(number, done, verdict, fine, answer.text[:300] * (not fine))
                continue
            (folder / "picture").write_bytes(content)
            run = made["labels" if door == "classify" else "images"]
            ended = run_forked([door, str(run), "picture"], folder, seconds=60)
            yield Outcome(number, done, ended.verdict, ended.fine, ended.stderr[-500:] * (not ended.fine))

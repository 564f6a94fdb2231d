"""Requests that are wrong in one to three places: values, types, sizes, headers, methods, bodies."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.outcome import Outcome
from campaign.served import Watched, client_of, fault_in, runs

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQAAAADsdIMmAAAAEElEQVR4nGNoYGhgOAAGAAzpAwFjX3m2AAAAAElFTkSuQmCC"
TEXT = {"text": "Monday, 3 May 1999", "model": "dates", "target": "1999-05-03"}
DRAWN = {**TEXT, "layer": "1", "head": "mean", "words": True, "end": "shown", "format": "spec"}
POSTED: dict[str, dict[str, Any]] = {
    "/v1/translate": {
        "texts": ["3 May 1999", "7. Juli 2021"], "model": "dates", "beam": 2, "nbest": 2, "temperature": 0,
        "seed": 7, "alignment": True, "attention": True, "stream": False,
    },
    "/v1/translate?drawn": {"texts": ["3 May 1999"], "temperature": 0.5, "nbest": 2, "seed": 7},
    "/v1/translate?stream": {"texts": ["3 May 1999"], "stream": True, "beam": 1},
    "/v1/summarize": {"texts": ["3 May 1999"], "beam": 2},
    "/v1/look?drawn": {"text": "3 May 1999", "temperature": 0.5, "nbest": 2, "seed": 7},
    "/v1/classify": {"images": [PICTURE], "model": "labels"},
    "/v1/look": {
        **TEXT, "beam": 2, "nbest": 2, "temperature": 0, "seed": 7, "prefix": "1", "hidden": [0],
        "dropped": {"decoder.layers.0.cross_attention": [1]},
    },
    "/v1/heads": {key: value for key, value in DRAWN.items() if key not in ("head", "format")},
    "/v1/heatmap": DRAWN,
    "/v1/influence": {**TEXT, "measure": "gradient", "format": "csv"},
    "/v1/beam": {"text": "3 May 1999", "model": "dates", "beam": 2, "prefix": "1"},
    "/v1/comparison": {"text": "3 May 1999", "models": ["dates", "gru"], "words": True, "format": "json"},
}  # fmt: skip
GOT = (
    "/v1/models", "/v1/runs", "/v1/architectures", "/v1/ticks?model=dates",
    "/v1/ticks?model=dates&phase=generation", "/health", "/metrics", "/docs", "/", "/openapi.json",
    "/page/main.js", "/page/palette.css",
)  # fmt: skip
NUMBERS = (
    "0", "-0", "-0.0", "1", "-1", "2.0", "0.5", "32", "33", "100", "1e2", "1e-300", "5e-324", "0.1e-999",
    "1e308", "1e999", "-1e400", "1" + "0" * 399, "1" + "0" * 400, "9" * 5_000, "NaN", "Infinity", "-Infinity",
    "18446744073709551615", "18446744073709551616", "9007199254740993", "2147483648", "01", "1.", ".5",
    "0x10", "+1",
)  # fmt: skip
TEXTS = (
    "", " ", "a\0b", "\0", "\ud800", "\udfff\ud800", "𝕳𝖎", "é" * 399, "a" * 400, "a" * 401, "a" * 100_000,
    "\u202eRTL\u202c", "\ufeff", "\n", "\r\n" * 50, "NaN", "null", "1e999", "²", "٣", "-1", "1" * 5_000,
    "mean", "all", "../dates", "dates/", "<script>", "{{7*7}}", "%s%n", "'; --", "a " * 150, "日" * 100,
)  # fmt: skip
DEEP = (50, 500, 5_000, 100_000)
TYPES = (
    "", "text/plain", "application/json; charset=utf-16", "application/json;charset", "APPLICATION/JSON",
    "application/merge-patch+json", "multipart/form-data", "application/x-www-form-urlencoded", "*/*",
    "a" * 2_000, "ÿ",
)  # fmt: skip
HEADERS = (
    ("Host", "LOCALHOST"), ("Host", "localhost.:80"), ("Host", "[::1]"), ("Host", "evil.example"),
    ("Host", ""), ("Host", "localhost:"), ("Host", "localhost:x"), ("Host", "localhost@evil"),
    ("Host", "[::1"), ("Host", ":80"), ("Authorization", "bearer sesame"),
    ("Authorization", "BEARER   sesame"), ("Authorization", "Bearer"), ("Authorization", "Bearer ÿ"),
    ("Authorization", "Basic c2VzYW1l"), ("Authorization", ""), ("Content-Encoding", "gzip"),
    ("Content-Encoding", "identity"), ("Expect", "100-continue"), ("Expect", "else"), ("Accept", "text/html"),
    ("Origin", "http://evil.example"), ("Transfer-Encoding", "gzip"), ("X-Long", "a" * 9_000),
    ("Cookie", "a=b; " * 500), ("Content-Length", "5"), ("Connection", "Upgrade"), ("Range", "bytes=0-1"),
)  # fmt: skip
METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO", "post")
PATHS = (
    "/", "//", "/..", "/%00", "/%2e%2e", "%", "%ff", "/ü", ";a", "/" + "a" * 3_000, "?", "?a=%ff&a",
    "?model=",
)  # fmt: skip
QUERIES = (
    "model=dates&phase=x", "model=dates&phase=", "model=%00", "model=%ED%A0%80", "model=" + "a" * 5_000,
    "phase=training", "model=dates&model=gru", "model[]=dates", "=&=&&", "model=NaN", "model=../dates",
    "model=images", "model=labels", "model=dates&phase=generation&beam=1e999",
)  # fmt: skip


@dataclass
class Case:
    """A request. `fields`: of its body, each spelt in JSON already."""

    method: str
    path: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    spoil: list[Callable[[bytes], bytes]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def body(self) -> bytes:
        """What is sent."""
        if not self.fields:
            return b""
        text = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in self.fields) + "}"
        body = text.encode("utf-8", "surrogatepass")
        for spoil in self.spoil:
            body = spoil(body)
        return body


def case_of(seed: int, number: int) -> Case:
    """One case."""
    draw = random.Random(f"requests {seed} {number}")
    if draw.random() < 0.85:
        path = draw.choice(list(POSTED))
        case = Case("POST", path, [(name, json.dumps(value)) for name, value in POSTED[path].items()])
        case.headers["Content-Type"] = "application/json"
    else:
        case = Case(draw.choice(["GET", "GET", "HEAD"]), draw.choice(GOT))
    case.headers["Authorization"] = "Bearer sesame"
    for _ in range(draw.choice([1, 1, 2, 3])):
        of_body = [value, value, value, value, leave_out, twice, spoil] if case.fields else [query]
        draw.choice([*of_body, header, method, path_of])(draw, case)
    return case


def value(draw: random.Random, case: Case) -> None:
    """Another value, mostly of a field that there is."""
    place = draw.randrange(len(case.fields)) if case.fields and draw.random() < 0.95 else None
    odd = spelt(draw)
    if place is None:
        case.fields.append((draw.choice(["unknown", "text", "\ud800", "", "a" * 500]), odd))
        case.done.append(f"an unknown field {odd[:60]}")
        return
    name, before = case.fields[place]
    if before.startswith("[") and draw.random() < 0.5:
        odd = "[" + ", ".join([odd] * draw.choice([1, 2, 9])) + "]"
    elif before.startswith("{") and draw.random() < 0.7:
        odd = f"{{{draw.choice([json.dumps('decoder.layers.0.cross_attention'), json.dumps('')])}: [{odd}]}}"
    case.fields[place] = name, odd
    case.done.append(f"{name} = {odd[:60]}")


def spelt(draw: random.Random) -> str:
    """Some JSON, or what is taken for it."""
    match draw.randrange(8):
        case 0 | 1 | 2:
            return draw.choice(NUMBERS)
        case 3 | 4:
            return json.dumps(draw.choice(TEXTS), ensure_ascii=draw.random() < 0.5)
        case 5:
            return draw.choice(
                ["true", "false", "null", "[]", "{}", "[[]]", '{"a": null}', "[true]", '["a", 1]']
            )
        case 6:
            depth, (opening, closing) = draw.choice(DEEP), draw.choice([("[", "]"), ('{"a":', "}")])
            return opening * depth + ("1" if opening != "[" else "") + closing * depth
    return (
        "["
        + ",".join([draw.choice(["1", "{}", '"a"', "[]", "1e999"])] * draw.choice([10, 300, 20_000]))
        + "]"
    )


def leave_out(draw: random.Random, case: Case) -> None:
    """Without a field."""
    if case.fields:
        name, _ = case.fields.pop(draw.randrange(len(case.fields)))
        case.done.append(f"without {name}")


def twice(draw: random.Random, case: Case) -> None:
    """A field twice."""
    if case.fields:
        name, given = draw.choice(case.fields)
        case.fields.append((name, draw.choice([given, spelt(draw)])))
        case.done.append(f"{name} twice")


def spoil(draw: random.Random, case: Case) -> None:
    """A body that is cut, changed, or not UTF-8."""
    cut, place, bits = draw.random(), draw.random(), draw.randrange(1, 256)
    ways: dict[str, Callable[[bytes], bytes]] = {
        "cut": lambda body: body[: int(len(body) * cut)],
        "a byte changed": lambda body: flipped(body, place, bits),
        "a mark of byte order": lambda body: b"\xef\xbb\xbf" + body,
        "UTF-16": lambda body: body.decode("utf-8", "replace").encode("utf-16"),
        "more behind": lambda body: body + b" {}",
        "within a list": lambda body: b"[" + body + b"]",
        "doubled": lambda body: body + body,
        "no UTF-8": lambda body: body.replace(b"a", b"\xff"),
        "spaces": lambda body: body.replace(b" ", b" " * 20_000),
        "nothing": lambda body: b"",
        "zeros": lambda body: b"\0" * len(body),
        "too large": lambda body: body + b" " * 300_000,
    }
    name = draw.choice(list(ways))
    case.spoil.append(ways[name])
    case.done.append(f"the body: {name}")


def flipped(body: bytes, place: float, bits: int) -> bytes:
    """With other bits in one byte."""
    at = int(place * len(body))
    return body[:at] + bytes([body[at] ^ bits]) + body[at + 1 :] if body else body


def header(draw: random.Random, case: Case) -> None:
    """An odd header."""
    name, text = draw.choice([*HEADERS, *(("Content-Type", one) for one in TYPES)])
    case.headers[name] = text
    case.done.append(f"{name}: {text[:60]}")


def method(draw: random.Random, case: Case) -> None:
    """Another method."""
    case.method = draw.choice(METHODS)
    case.done.append(case.method)


def path_of(draw: random.Random, case: Case) -> None:
    """Something behind the path."""
    more = draw.choice(PATHS)
    case.path += more
    case.done.append(f"{more[:60]} behind the path")


def query(draw: random.Random, case: Case) -> None:
    """Another query."""
    case.path = "/v1/ticks?" + draw.choice(QUERIES)
    case.done.append(case.path[:60])


def run(folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Send them to an app in this process."""
    with client_of(runs(folder)) as client:
        client.get(
            "/v1/ticks?model=dates", headers={"Authorization": "Bearer sesame"}
        )  # what it imports, once
        for number in numbers:
            case = case_of(seed, number)
            watched = Watched()
            headers = [(name.encode(), text.encode("latin-1")) for name, text in case.headers.items()]
            done = f"{case.method} {case.path[:80]}: {'; '.join(case.done)}"
            try:
                answer = client.request(
                    case.method, case.path, content=case.body(), headers=headers, follow_redirects=False
                )
            except Exception as error:
                yield Outcome(number, done, "exception", False, repr(error)[:500])
                continue
            fault = fault_in(answer, case.method) or watched.fault()
            yield Outcome(
                number, done, fault or str(answer.status_code), not fault, answer.text[:300] * bool(fault)
            )

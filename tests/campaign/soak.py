"""A server that honest and hostile clients ask at once, for as long as one likes.

    python tests/campaign/soak.py --minutes 20                  with a small model that it trains first
    python tests/campaign/soak.py --run RUN --minutes 5 --phase 30

Phases without hostile clients and with them take turns. Every answer to an honest client must be what the
model gives by itself; their median latency beside the hostile ones at most `MOST_SLOWER` times that without
them; the server's memory at most `MOST_MB` above what it was before, and flat. A line of JSON for each phase,
a table at the end; the exit code is 1 where a promise is broken.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests, as pytest has it

import tiny
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError
from atonce.serve.limits import Inspection, Limits, check_search

HONEST = HOSTILE = 32
"""Clients."""
MOST_SLOWER = 2.0
MOST_MB = 512
MOST_GROWTH_MB = 64
"""Of the server's memory, from the first half of the phases with hostile clients to the second."""
PATIENCE = 90.0
"""Seconds after which a client takes the server for dead."""

Address = tuple[str, int]
Bodies = dict[str, tuple[str, bytes]]
"""Path and body of requests, by name."""
Expected = tuple[str, tuple[str, float], tuple[str, float]]
"""A text, and what becomes of it by beam and by greedy search: output and score."""


# --- a server, and how much memory it has


@dataclass(frozen=True)
class Server:
    """A process of `atonce serve`."""

    process: "subprocess.Popen[str]"
    address: Address

    def megabytes(self) -> float:
        """Resident, now."""
        return self._megabytes("VmRSS")

    def peak(self) -> float:
        """The most that was ever resident."""
        return self._megabytes("VmHWM")

    def _megabytes(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


@asynccontextmanager
async def served(run: Path, *options: str) -> AsyncIterator[Server]:
    """A server of a run; stopped at the end of the block, without a traceback."""
    command = [sys.executable, "-m", "atonce", "serve", str(run), "--port", "0", *options]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, text=True)
        try:
            url = None
            while url is None and process.poll() is None:
                await asyncio.sleep(0.1)
                said.seek(0)
                url = re.search(r"serving at http://127\.0\.0\.1:(\d+)", said.read())
            assert url is not None, "the server did not start"
            yield Server(process, ("127.0.0.1", int(url[1])))
            process.terminate()
            await asyncio.to_thread(process.wait, 60)
            said.seek(0)
            complaints = said.read()
            assert "Traceback" not in complaints, complaints[-3000:]
        finally:
            process.kill()
            process.wait()


# --- one request


async def ask(address: Address, path: str, body: bytes | dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of an answer; status 0 where the server hung up."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(head(path, content := body if isinstance(body, bytes) else json.dumps(body).encode()))
        writer.write(content)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
    except (ConnectionError, BrokenPipeError):
        return 0, b""
    finally:
        writer.close()
    top, _, rest = answer.partition(b"\r\n\r\n")
    if not top:
        return 0, b""
    if b"transfer-encoding: chunked" in top.lower():
        rest = _unchunked(rest)
    return int(top.split(b" ", 2)[1]), rest


def head(path: str, content: bytes, *, length: int | None = None) -> bytes:
    """The head of a request."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(content) if length is None else length}\r\n\r\n"
    ).encode()


def _unchunked(body: bytes) -> bytes:
    parts, begin = [], 0
    while begin < len(body):
        end = body.index(b"\r\n", begin)
        size = int(body[begin:end], 16)
        parts.append(body[end + 2 : end + 2 + size])
        begin = end + 2 + size + 2
    return b"".join(parts)


# --- honest clients


@dataclass
class Told:
    """What clients saw in one phase."""

    seconds: list[float] = field(default_factory=list)
    """Of each honest answer."""
    wrong: list[str] = field(default_factory=list)
    """Answers to honest clients that were not right."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Of answers to hostile ones, by what they did."""


async def be_honest(
    address: Address, expected: Sequence[Expected], told: Told, seed: int, until: float
) -> None:
    """Ask for translations, and see whether they are right."""
    draw = random.Random(seed)
    while time.monotonic() < until:
        text, by_beam, greedily = draw.choice(expected)
        kind = draw.choice(["translate", "translate", "translate", "look", "stream"])
        body = {"text": text} if kind == "look" else {"texts": [text], "stream": kind == "stream"}
        began = time.monotonic()
        status, answer = await ask(address, "/v1/look" if kind == "look" else "/v1/translate", body)
        told.seconds.append(time.monotonic() - began)
        found = _found(kind, status, answer)
        if found is None or not _equal(found, greedily if kind == "stream" else by_beam):
            told.wrong.append(f"{kind} {text!r}: {status} {answer[:200]!r}")
        await asyncio.sleep(draw.uniform(0, 0.4))


def _found(kind: str, status: int, answer: bytes) -> tuple[str, float] | None:
    if status != 200:
        return None
    if kind == "stream":
        done = re.search(rb"event: done\ndata: (.*)\n", answer)
        told = json.loads(done[1]) if done else {}
        return (told["text"], told["score"]) if told else None
    body = json.loads(answer)
    if kind == "look":
        return body["alternatives"][0]["text"], body["alternatives"][0]["score"]
    return body["translations"][0]["text"], body["translations"][0]["score"]


def _equal(found: tuple[str, float], expected: tuple[str, float]) -> bool:
    return found[0] == expected[0] and abs(found[1] - expected[1]) < 1e-3


# --- hostile clients: in a process of their own, so that what they do with answers holds up nobody


def hostile_clients(address: Address, bodies: Bodies, seeds: Sequence[int], until: float) -> Told:
    """Have as many clients as seeds ask until then; what became of that."""

    async def all_of_them() -> Told:
        told = Told()
        await asyncio.gather(*(be_hostile(address, bodies, told, seed, until) for seed in seeds))
        return told

    return asyncio.run(all_of_them())


def largest(translator: Translator, limits: Limits) -> Bodies:
    """The largest request of each kind that is not refused: path and body by name."""

    def view(kind: Any, outputs: int, heads: int = 1, *, prefix: bool = False) -> dict[str, str]:
        def may(words: int) -> bool:
            text = _words(words)
            target = None if kind == "beam" else text
            asked = Inspection(kind, text, target, text if prefix else None, outputs, heads)
            if translator.in_segments(text):
                return False
            return _may(lambda: asked.estimated_work(translator, limits))

        text = _words(_greatest(may))
        forced = {} if kind == "beam" else {"target": text}
        return {"text": text, **forced, **({"prefix": text} if prefix else {})}

    def long_target(kind: Any) -> dict[str, str]:
        """As long an output as may be forced of a short text."""

        def may(words: int) -> bool:
            asked = Inspection(kind, "a", _words(words), outputs=beam)
            return _may(lambda: asked.estimated_work(translator, limits))

        return {"text": "a", "target": _words(_greatest(may))}

    def texts(outputs: int, *, each: int | None = None, **looked_at: bool) -> list[str]:
        def of(words: int) -> list[str]:
            return [_words(words)] if each is None else [_words(each)] * min(words, limits.texts)

        def may(words: int) -> bool:
            given = of(words)
            if max(map(len, given)) > limits.characters or sum(map(len, given)) > 0.9 * limits.body:
                return False
            return _may(lambda: check_search(translator, given, outputs, limits, **looked_at))

        return of(_greatest(may))

    beam, heads = translator.config.beam, 8
    text_path = "/v1/translate"
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "one long text": (text_path, {"texts": texts(beam)}),
        "many texts": (text_path, {"texts": texts(beam, each=40)}),
        "many tiny texts": (text_path, {"texts": texts(32, each=1), "nbest": 32}),
        "wide beam": (text_path, {"texts": texts(32), "beam": 32, "nbest": 32}),
        "drawn": (text_path, {"texts": texts(32, each=10), "nbest": 32, "temperature": 9.0}),
        "attention": (text_path, {"texts": texts(beam, attention=True), "attention": True}),
        "attention of many": (
            text_path, {"texts": texts(beam, each=8, attention=True), "attention": True}
        ),
        "stream": (text_path, {"texts": texts(1), "stream": True}),
        "look": ("/v1/look", view("look", beam)),
        "look drawn": ("/v1/look", {**view("look", 32, prefix=True), "nbest": 32, "temperature": 2.0}),
        "heads": ("/v1/heads", view("heads", beam)),
        "heat map": ("/v1/heatmap", view("heatmap", beam)),
        "heat map of heads": ("/v1/heatmap", {**view("heatmap", beam, heads), "head": "all"}),
        "heat map as csv": ("/v1/heatmap", {**view("heatmap", beam), "format": "csv", "words": False}),
        "gradient": ("/v1/influence", view("gradient", beam)),
        "occlusion": ("/v1/influence", {**view("occlusion", beam), "measure": "occlusion"}),
        "heat map of a long target": ("/v1/heatmap", long_target("heatmap")),
        "gradient of a long target": ("/v1/influence", long_target("gradient")),
        "occlusion of a long target": ("/v1/influence", {**long_target("occlusion"), "measure": "occlusion"}),
        "beam": ("/v1/beam", {**view("beam", 32), "beam": 32}),
        "narrow beam": ("/v1/beam", {**view("beam", 3), "beam": 3}),
    }  # fmt: skip
    return {name: (path, json.dumps(body).encode()) for name, (path, body) in found.items()}


def _words(count: int) -> str:
    """A text of so many words, no two neighbours alike."""
    return " ".join(f"{number % 28 + 1} May" for number in range(count))


def _may(check: Callable[[], object]) -> bool:
    try:
        check()
    except AtonceError:
        return False
    return True


def _greatest(may: Callable[[int], bool]) -> int:
    """The greatest number, about, for which this holds: at least 1."""
    least, most = 1, 2
    while may(most) and most < 100_000:
        least, most = most, 2 * most
    while most - least > max(1, least // 50):
        middle = (least + most) // 2
        least, most = (middle, most) if may(middle) else (least, middle)
    return least


@cache
def odd_bodies(seed: int) -> list[tuple[str, bytes]]:
    """Bodies that no client means."""
    draw = random.Random(seed)
    long = "x" * draw.choice([20_000, 20_001, 300_000])
    return [
        ("/v1/translate", draw.randbytes(2_000)),
        ("/v1/translate", b"[" * 50_000),
        ("/v1/translate", json.dumps({"texts": [1] * 100_000}).encode()),
        ("/v1/translate", json.dumps({f"field{n}": n for n in range(20_000)}).encode()),
        ("/v1/translate", json.dumps({"texts": [long]}).encode()),
        ("/v1/translate", json.dumps({"texts": ["🙈" * 20_000]}).encode()),
        ("/v1/translate", b'{"texts": ["' + b"a" * 3_000_000 + b'"]}'),
        ("/v1/look", json.dumps({"text": "a", "target": long}).encode()),
        ("/v1/look", json.dumps({"text": "a", "prefix": "b " * 9_000}).encode()),
        ("/v1/look", json.dumps({"text": long[:20_000], "hidden": list(range(50_000))}).encode()),
        ("/v1/influence", json.dumps({"text": "a " * 5_000, "measure": "occlusion"}).encode()),
        ("/v1/beam", json.dumps({"text": "b " * 9_000, "beam": 32}).encode()),
        ("/v1/classify", json.dumps({"images": [base64.b64encode(draw.randbytes(9_000)).decode()]}).encode()),
        ("/v1/nothing", b"{}"),
    ]


async def be_hostile(address: Address, bodies: Bodies, told: Told, seed: int, until: float) -> None:
    """Ask for as much as there is, for nonsense, slowly; leave in the middle; do not read."""
    draw = random.Random(seed)
    odd = odd_bodies(seed % 7)
    while time.monotonic() < until:
        name = draw.choice([*bodies, "odd", "odd", "odd"])
        manner = draw.choice(["ask", "ask", "leave", "do not read", "send slowly"])
        path, content = draw.choice(odd) if name == "odd" else bodies[name]
        try:
            async with asyncio.timeout(PATIENCE):
                status = await _misbehave(address, path, content, manner, draw)
        except TimeoutError:
            status = -1
        except (ConnectionError, OSError):
            status = 0
        told.statuses[f"{name}, {manner}: {status if manner == 'ask' else '-'}"] += 1
        if status >= 500 and status != 504:
            told.wrong.append(f"{name}: {status}")
        await asyncio.sleep(draw.uniform(0, 0.2))


async def _misbehave(address: Address, path: str, content: bytes, manner: str, draw: random.Random) -> int:
    if manner == "ask":
        return (await ask(address, path, content))[0]
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(head(path, content))
        if manner == "send slowly":
            for first in range(5):
                writer.write(content[first * len(content) // 10 : (first + 1) * len(content) // 10])
                await asyncio.sleep(draw.uniform(0, 1))
            return -1  # and half of it was not sent
        writer.write(content)
        await writer.drain()
        await asyncio.sleep(draw.uniform(0, 2) if manner == "leave" else draw.uniform(2, 10))
    finally:
        writer.transport.abort() if manner == "leave" else writer.close()
    del reader
    return -1


# --- the soak


@dataclass(frozen=True)
class Phase:
    """Some seconds, with hostile clients or without."""

    hostile: bool
    answers: int
    median: float
    """Milliseconds of an honest answer."""
    slow: float
    """Of the slowest of a hundred."""
    wrong: int
    megabytes: float
    """The most that the server had, as seen twice a second."""


async def phase(
    server: Server, expected: Sequence[Expected], bodies: Bodies,
    *, seconds: float, hostile: int, seed: int, others: Executor,
) -> tuple[Phase, Told]:  # fmt: skip
    """Let clients ask for so long, hostile ones in another process. Each ends what it has begun."""
    told, until = Told(), time.monotonic() + seconds
    clients = [be_honest(server.address, expected, told, seed + n, until) for n in range(HONEST)]
    seeds = [seed - 1 - n for n in range(hostile)]
    beside = asyncio.get_running_loop().run_in_executor(
        others, hostile_clients, server.address, bodies, seeds, until
    )
    running = asyncio.gather(beside, *clients)
    most = server.megabytes()
    while not running.done():
        await asyncio.wait([running], timeout=0.5)
        most = max(most, server.megabytes())
    running.result()
    told.wrong += beside.result().wrong
    told.statuses += beside.result().statuses
    times = sorted(1000 * one for one in told.seconds)
    return Phase(
        hostile > 0,
        len(times),
        statistics.median(times),
        times[int(0.99 * len(times))],
        len(told.wrong),
        most,
    ), told


async def soak(run: Path, *, minutes: float, seconds: float, seed: int) -> list[str]:
    """Phase after phase; gives the promises that were broken."""
    translator = Translator.load(run)
    texts = [f"{day} {month} {1900 + day}" for day in range(1, 29) for month in ("May", "July", "March")]
    by_beam, greedily = (
        [(one.text, one.score) for one in translator.translate(texts, beam=beam)] for beam in (None, 1)
    )
    expected = list(zip(texts, by_beam, greedily, strict=True))
    phases: list[Phase] = []
    broken: list[str] = []
    statuses: Counter[str] = Counter()
    with ProcessPoolExecutor(1, get_context("spawn")) as others:
        async with served(run) as server:
            bodies = largest(translator, Limits())
            await phase(
                server, expected, bodies, seconds=3, hostile=0, seed=seed, others=others
            )  # to warm up
            idle, ends = server.megabytes(), time.monotonic() + 60 * minutes
            while time.monotonic() < ends:
                for hostile in (0, HOSTILE):
                    seed += 1000
                    one, told = await phase(
                        server, expected, bodies, seconds=seconds, hostile=hostile, seed=seed, others=others
                    )
                    phases.append(one)
                    statuses += told.statuses
                    broken += [f"a wrong answer: {wrong}" for wrong in told.wrong[:3]]
                    print(json.dumps(vars(one)), flush=True)
    without, beside = ([one for one in phases if one.hostile is hostile] for hostile in (False, True))
    slower = statistics.median(one.median for one in beside) / statistics.median(
        one.median for one in without
    )
    half = len(beside) // 2
    growth = max(one.megabytes for one in beside[half:]) - max(
        (one.megabytes for one in beside[:half]), default=0
    )
    most = max(one.megabytes for one in phases)
    print(f"\nhostile requests by kind: {json.dumps(dict(sorted(statuses.items())), ensure_ascii=False)}")
    print(f"{'':24}{'without':>12}{'beside':>12}")
    for name in ("answers", "wrong"):
        print(f"{name:24}" + "".join(f"{sum(getattr(p, name) for p in ps):12}" for ps in (without, beside)))
    for name in ("median", "slow"):
        of = [statistics.median(getattr(p, name) for p in ps) for ps in (without, beside)]
        print(f"{name + ', ms':24}" + "".join(f"{one:12.1f}" for one in of))
    print(f"memory: idle {idle:.0f} MB, at most {most:.0f} MB, growth of the second half {growth:.0f} MB")
    print(f"honest answers beside hostile clients took {slower:.2f} times as long")
    if slower > MOST_SLOWER:
        broken.append(f"honest answers took {slower:.2f} times as long; promised: {MOST_SLOWER}")
    if most > idle + MOST_MB:
        broken.append(f"the server had {most - idle:.0f} MB more than before; promised: {MOST_MB}")
    if half and growth > MOST_GROWTH_MB:
        broken.append(f"memory grew by {growth:.0f} MB from the first half to the second")
    return broken


def main() -> None:
    """Soak a server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--phase", type=float, default=20, help="seconds of a phase")
    parser.add_argument("--run", type=Path, help="a run folder of texts; a small one is trained without it")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        run = given.run
        if run is None:
            from atonce.studies.experiment import train

            run = train(tiny.recipe(decoding={"beam": 4}), Path(folder) / "dates", quiet=True).run.path
        broken = asyncio.run(soak(run, minutes=given.minutes, seconds=given.phase, seed=given.seed))
    for one in broken:
        print(f"broken: {one}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()

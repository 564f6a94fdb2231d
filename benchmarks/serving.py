"""Serving: answers a second with many clients, batched and one by one, in turn; and how long one waits.

    python benchmarks/serving.py RUN                      64 clients, 60 seconds for each server
    python benchmarks/serving.py RUN --seconds 10 --requests 2000

Two servers of the same run: as it is by default, and one that translates each text by itself. Every client
asks for one sentence after another over a connection of its own, and every answer is compared with that
sentence's own. Then one client alone: how long /v1/look takes, which is what the page asks for with each key.
Last, memory over many requests.

Needs `pip install 'atonce[serve]'`.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import contest

import atonce
from atonce.data.prepare import open_prepared
from atonce.studies.environment import machine

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="in all, of each server")
    parser.add_argument("--requests", type=int, default=10_000, help="over which memory is watched")
    chosen = parser.parse_args()
    texts = [pair.source for pair in open_prepared(chosen.run).test_pairs]
    expected = [one.text for one in atonce.load(chosen.run, device="cpu").translate(texts)]
    questions = list(zip(texts, expected, strict=True))
    with server(chosen.run) as batched, server(chosen.run, "--batch-tokens", "1", "--wait", "0") as single:
        rounds = []
        for number in range(ROUNDS):
            pair = (batched, single) if number % 2 == 0 else (single, batched)
            found = {one.port: crowd(one, questions, chosen.clients, chosen.seconds / ROUNDS) for one in pair}
            rounds.append((found[batched.port], found[single.port]))
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        looks = [look(batched, text) for text in texts[:100]]
        memory = [resident(batched)]
        for _ in range(4):
            crowd(batched, questions, chosen.clients, None, chosen.requests // 4)
            memory.append(resident(batched))
    report(rounds, looks, memory, chosen)


@dataclass
class Server:
    """A server that runs."""

    process: "subprocess.Popen[str]"
    host: str
    port: int


@dataclass
class Crowd:
    """What many clients saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return (len(self.latencies) - len(self.wrong)) / self.seconds


@contextmanager
def server(run: Path, *options: str, checkout: Path = contest.ROOT) -> Iterator[Server]:
    command = [sys.executable, "-m", "atonce", "serve", str(run), "--port", "0", *options]
    environment = contest.environment_of(checkout)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = process.stderr.readline()
    address = urlsplit(said.removeprefix("serving at ").strip())
    if address.port is None:
        raise RuntimeError(f"the server did not start: {said}")
    try:
        yield Server(process, address.hostname or "", address.port)
    finally:
        process.terminate()
        process.wait()


def crowd(
    asked: Server,
    questions: list[tuple[str, str]],
    clients: int,
    seconds: float | None,
    requests: int | None = None,
) -> Crowd:
    """Clients that ask until so much time has passed, or so many requests were made."""
    found, lock = Crowd(), threading.Lock()
    began = time.perf_counter()
    left = iter(range(requests if requests is not None else sys.maxsize))

    def ask() -> None:
        connection = http.client.HTTPConnection(asked.host, asked.port, timeout=60)
        while seconds is None or time.perf_counter() - began < seconds:
            with lock:
                number = next(left, None)
            if number is None:
                break
            text, right = questions[number % len(questions)]
            start = time.perf_counter()
            status, body = post(connection, "/v1/translate", {"texts": [text]})
            took = time.perf_counter() - start
            answer = body["translations"][0]["text"] if status == 200 else f"{status} {body}"
            with lock:
                found.latencies.append(took)
                if answer != right:
                    found.wrong.append(f"{text!r}: {answer!r} instead of {right!r}")
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - began
    return found


def post(connection: http.client.HTTPConnection, path: str, body: dict) -> tuple[int, dict]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def look(asked: Server, text: str) -> float:
    """Seconds for what the page asks when a key is pressed."""
    connection = http.client.HTTPConnection(asked.host, asked.port, timeout=60)
    connection.connect()
    start = time.perf_counter()
    status, _ = post(connection, "/v1/look", {"text": text})
    took = time.perf_counter() - start
    connection.close()
    if status != 200:
        raise RuntimeError(f"/v1/look said {status}")
    return took


def resident(asked: Server) -> int:
    """Bytes of memory that the server has now."""
    pages = int(Path(f"/proc/{asked.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def report(
    rounds: list[tuple[Crowd, Crowd]], looks: list[float], memory: list[int], chosen: argparse.Namespace
) -> None:
    """A table for people, and JSON."""
    names = ("batched", "one by one")
    by_name = {name: [pair[place] for pair in rounds] for place, name in enumerate(names)}
    ratio = contest.ratios(*([one.rate for one in by_name[name]] for name in names))
    rows, results = [], {}
    for name, crowds in by_name.items():
        latencies = sorted(took for one in crowds for took in one.latencies)
        wrong = [fault for one in crowds for fault in one.wrong]
        middle, late = statistics.median(latencies), latencies[int(0.99 * len(latencies))]
        rate = statistics.median(one.rate for one in crowds)
        rows.append(
            (
                name,
                f"{rate:,.0f}",
                f"{1e3 * middle:,.0f}",
                f"{1e3 * late:,.0f}",
                f"{len(latencies):,}",
                str(len(wrong)),
            )
        )
        results[name] = {
            "answers_per_second": rate, "median_seconds": middle, "late_seconds": late,
            "answers": len(latencies), "wrong": wrong,
        }  # fmt: skip
    header = ("", "answers/s", "median ms", "99 % ms", "answers", "wrong or failed")
    contest.show(f"{chosen.clients} clients: {machine()}", header, rows)
    print(
        f"batched is {ratio[0]:.2f} × as fast ({ratio[1]:.2f}–{ratio[2]:.2f}); /v1/look alone "
        f"{1e3 * statistics.median(looks):.0f} ms (median), {1e3 * max(looks):.0f} at most; memory over "
        f"{chosen.requests:,} requests: {', '.join(f'{one / 2**20:,.0f}' for one in memory)} MiB",
        file=sys.stderr,
    )
    common = {"machine": machine(), "clients": chosen.clients}
    print(json.dumps({**common, **results, "ratio": ratio, "look_seconds": looks, "memory": memory}))


if __name__ == "__main__":
    main()

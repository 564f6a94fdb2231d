"""What a server takes from whom: bodies, tokens, names, methods."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.middleware import ALWAYS_ACCEPTED, GuardMiddleware, HeadMiddleware, host_name
from atonce.serve.registry import ModelRegistry
from atonce.serve.server import listen, server_of

TOKEN = "open-sesame"
KNOWS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(models: ModelRegistry) -> Iterator[TestClient]:
    app = build_app(models, Limits(body=100_000), token=TOKEN, hosts=("localhost", "127.0.0.1", "[::1]"))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def scope_of(headers: dict[str, str], *, method: str = "POST", path: str = "/v1/translate") -> dict[str, Any]:
    raw = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": raw,
    }  # fmt: skip


class Sender:
    """Sends a body in parts, as a server hands it on, and keeps what is answered."""

    def __init__(self, guard: GuardMiddleware, parts: list[bytes]) -> None:
        self.guard, self.parts = guard, parts
        self.held: list[int] = []
        self.answer: list[Any] = []

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        self.held.append(self.guard._held)
        if not self.parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def send(self, message: Any) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int:
        return self.answer[0]["status"]


def guard_of(**limits: Any) -> GuardMiddleware:
    async def read(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    return GuardMiddleware(read, limits=Limits(**limits), token=TOKEN, hosts=("localhost",))


async def sent(guard: GuardMiddleware, scope: dict[str, Any], parts: list[bytes]) -> Sender:
    sender = Sender(guard, parts)
    await guard(scope, sender.receive, sender.send)
    return sender


@pytest.mark.parametrize(
    ("headers", "path", "method", "status"),
    [
        ({"Host": "localhost"}, "/v1/translate", "POST", 401),
        ({"Host": "evil.example", **KNOWS}, "/v1/translate", "POST", 400),
        ({"Host": "localhost", **KNOWS, "Content-Encoding": "gzip"}, "/v1/translate", "POST", 415),
        ({"Host": "localhost"}, "/health", "POST", 200),
        ({"Host": "localhost"}, "/page/main.js", "POST", 200),
        ({"Host": "localhost", **KNOWS}, "/v1/models", "GET", 200),
    ],
)
def test_a_body_that_nobody_reads_is_not_kept(
    headers: dict[str, str], path: str, method: str, status: int
) -> None:
    scope = scope_of(headers, path=path, method=method)
    guard = guard_of(body=1_000_000)
    sender = asyncio.run(sent(guard, scope, [b"a" * 10_000] * 50))
    assert sender.status == status
    assert not sender.parts  # and still it was heard to its end
    assert set(sender.held) == {0}


def test_all_bodies_together_are_bounded_and_given_back() -> None:
    guard = guard_of(body=100_000, bodies=150_000)
    scope = {**KNOWS, "Host": "localhost"}

    async def three() -> list[Sender]:
        return list(
            await asyncio.gather(*(sent(guard, scope_of(scope), [b"a" * 10_000] * 10) for _ in range(3)))
        )

    senders = asyncio.run(three())
    assert max(max(one.held) for one in senders) <= 150_000
    assert sorted(one.status for one in senders)[-1] == 429
    assert 200 in [one.status for one in senders]
    assert guard._held == 0
    (refused,) = [one for one in senders if one.status == 429][:1]
    assert dict(refused.answer[0]["headers"])[b"retry-after"] == b"1"

    guard._held = 150_000  # as if others held all
    assert asyncio.run(sent(guard, scope_of(scope), [b"a" * ALWAYS_ACCEPTED])).status == 200
    assert asyncio.run(sent(guard, scope_of(scope), [b"a" * (ALWAYS_ACCEPTED + 1)])).status == 429


def test_who_leaves_gives_its_body_back() -> None:
    guard = guard_of()
    sender = Sender(guard, [])
    messages = iter([{"type": "http.request", "body": b"a" * 5_000, "more_body": True}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    asyncio.run(guard(scope_of({**KNOWS, "Host": "localhost"}), receive, sender.send))
    assert not sender.answer
    assert guard._held == 0


def test_a_body_that_is_only_sent_on_request_is_not_asked_for() -> None:
    scope = scope_of({"Host": "localhost", "Expect": "100-continue"})
    sender = asyncio.run(sent(guard_of(), scope, [b"never", b"taken"]))
    assert sender.status == 401
    assert len(sender.parts) == 2
    assert dict(sender.answer[0]["headers"])[b"connection"] == b"close"


@pytest.mark.parametrize(
    "given", ["Bearer open-sesame", "bearer open-sesame", "BEARER open-sesame", "Bearer   open-sesame "]
)
def test_the_scheme_of_a_token_is_in_any_case(guarded: TestClient, given: str) -> None:
    assert guarded.get("/v1/models", headers={"Authorization": given}).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        "", "Bearer", "open-sesame", "Basic open-sesame", "Bearer Open-Sesame", "Bearer open-sesame x",
        "Bearer\xa0x",
    ],
)  # fmt: skip
def test_a_token_is_as_it_is(guarded: TestClient, given: str) -> None:
    answer = guarded.get("/v1/models", headers={b"Authorization": given.encode("latin-1")})
    assert answer.status_code == 401
    assert set(answer.json()) == {"what", "why", "fix"}


def test_two_tokens_are_none(guarded: TestClient) -> None:
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    assert guarded.get("/v1/models", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LocalHost", 200), ("LOCALHOST:8000", 200), ("localhost.", 200),
        ("localhost.:80", 200), ("localhost:", 200), ("127.0.0.1:1", 200), ("[::1]", 200), ("[::1]:8", 200),
        ("", 400), (":80", 400), ("localhost:x", 400), ("localhost..", 400), ("evil.example", 400),
        ("[::1", 400), ("localhost@evil.example", 400), ("localhost evil", 400), ("xlocalhost", 400),
        ("::2", 400),
    ],
)  # fmt: skip
def test_a_host_is_a_name_with_or_without_a_port(guarded: TestClient, host: str, status: int) -> None:
    assert guarded.get("/v1/models", headers={**KNOWS, "Host": host}).status_code == status


def test_names_of_hosts() -> None:
    assert [host_name(host) for host in ("A.B.:1", "[::1]:2", "[::1]", "::1", "1.2.3.4")] == [
        "a.b", "[::1]", "[::1]", "::1", "1.2.3.4",
    ]  # fmt: skip


PAGES = ("/", "/docs", "/page/main.js", "/page/palette.css", "/page/vega.js", "/health", "/openapi.json",
    "/v1/models", "/v1/runs", "/v1/architectures")  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_a_body(guarded: TestClient, path: str) -> None:
    whole, head = guarded.get(path, headers=KNOWS), guarded.head(path, headers=KNOWS)
    assert (whole.status_code, head.status_code) == (200, 200)
    assert not head.content
    differ = {"date"}
    assert {key: text for key, text in head.headers.items() if key not in differ} == {
        key: text for key, text in whole.headers.items() if key not in differ
    }
    assert int(head.headers["content-length"]) == len(whole.content)


def test_head_is_refused_where_get_is(guarded: TestClient) -> None:
    assert guarded.head("/metrics").status_code == 401
    assert guarded.head("/metrics", headers=KNOWS).status_code == 200
    assert guarded.head("/nowhere", headers=KNOWS).status_code == 404
    wrong = guarded.head("/v1/translate", headers=KNOWS)
    assert (wrong.status_code, wrong.headers["allow"], wrong.content) == (405, "POST", b"")
    assert "HEAD" in guarded.post("/health").headers["allow"]
    assert 'path="/v1/translate",status="405"' in guarded.get("/metrics", headers=KNOWS).text


def test_a_head_is_counted_and_guarded_as_a_get() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["method"])
        await PlainTextResponse("body")(scope, receive, send)

    sender = Sender(guard_of(), [b""])
    asyncio.run(HeadMiddleware(app)(scope_of({}, method="HEAD"), sender.receive, sender.send))
    assert seen == ["GET"]
    assert sender.answer[1]["body"] == b""


@pytest.fixture(scope="module")
def own(models: ModelRegistry) -> Iterator[tuple[str, int]]:
    """A real server of this module."""
    listening, ready = listen("127.0.0.1", 0), threading.Event()
    server = server_of(build_app(models), ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(60)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(60)
    listening.close()


def ask(address: tuple[str, int], head: str) -> tuple[int, dict[str, Any] | None]:
    """What a server says to a head that no client would send."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1"))
        said = b""
        while part := connection.recv(65_536):
            said += part
    start, _, body = said.partition(b"\r\n\r\n")
    kind = b"application/json" in start.lower()
    return int(start.split()[1]), json.loads(body) if kind else None


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /health HTTP/1.1\nHost: a\nHost: b\nConnection: close\n\n", 400),
        ("GET /health HTTP/1.1\nConnection: close\n\n", 400),
        ("GET /health HTTP/1.0\n\n", 200),
        ("GET http://localhost/health HTTP/1.1\nHost: localhost\nConnection: close\n\n", 200),
        ("GET HTTP://localhost:80 HTTP/1.1\nHost: other\nConnection: close\n\n", None),
        ("OPTIONS * HTTP/1.1\nHost: localhost\nConnection: close\n\n", 404),
        ("OPTIONS /health HTTP/1.1\nHost: localhost\nConnection: close\n\n", 405),
        ("nonsense\n\n", 400),
        ("POST /v1/look HTTP/1.1\nHost: a\nContent-Length: -1\n\n", 400),
        ("POST /v1/look HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: gzip\n\n", 400),
        ("GET /health HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade, close\n\n", 200),
        ("FOO /v1/models HTTP/1.1\nHost: a\nConnection: close\n\n", 405),
        ("GET /page/%00 HTTP/1.1\nHost: a\nConnection: close\n\n", 404),
        ("GET /page/%ED%A0%80 HTTP/1.1\nHost: a\nConnection: close\n\n", 404),
        ("GET /v1/ticks?model=%ED%A0%80 HTTP/1.1\nHost: a\nConnection: close\n\n", 404),
    ],
)
def test_odd_heads_are_answered_in_json(own: tuple[str, int], head: str, status: int | None) -> None:
    found, said = ask(own, head)
    assert found == (status or 200)
    if found != 200:
        assert said is not None
        assert set(said) == {"what", "why", "fix"}


def test_the_name_in_an_absolute_target_counts() -> None:
    """It is what is asked, whatever Host says beside it (RFC 9112, section 3.2.2)."""
    for target, status in (("http://localhost:80/health", 200), ("http://evil.example/health", 400)):
        scope = {**scope_of({"Host": "localhost"}, method="GET", path=target)}
        assert asyncio.run(sent(guard_of(), scope, [b""])).status == status


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is asked")
def test_bodies_of_strangers_take_no_memory(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "atonce", "serve", str(runs["texts"]), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--token-file", str(tmp_path / "token")], stderr=subprocess.PIPE, text=True,
        env={**os.environ},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        found = re.search(r"http://([\d.]+):(\d+)", process.stderr.readline())
        assert found
        address = found[1], int(found[2])
        before = _resident(process.pid)
        most = {"": 40 << 20, f"Authorization: bearer {TOKEN}\r\n": 128 << 20}
        for token, bound in most.items():
            with ExitStack() as open_:
                for _ in range(200):
                    connection = open_.enter_context(socket.create_connection(address, timeout=20))
                    head = f"POST /v1/look HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 900001\r\n"
                    connection.sendall(head.encode() + b"\r\n" + b" " * 900_000)
                time.sleep(0.5)
                grown = _resident(process.pid) - before
                assert grown < bound, f"{grown >> 20} MB"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

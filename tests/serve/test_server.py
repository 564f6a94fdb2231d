import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from atonce.decoding.translator import Translator
from atonce.errors import AtonceError
from atonce.serve.registry import ModelRegistry
from atonce.serve.server import address_of, listen

Address = tuple[str, int]


def post(address: Address, texts: list[str]) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    body = json.dumps({"texts": texts})
    connection.request("POST", "/v1/translate", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def still_answers(address: Address) -> bool:
    return post(address, ["a"])[0] == 200


def test_many_at_once_each_get_their_own(address: Address, models: ModelRegistry) -> None:
    translator = models.by_name["dates"].system
    assert isinstance(translator, Translator)
    texts = [f"{day} May {1900 + day}" for day in range(1, 29)]
    expected = [one.text for one in translator.translate(texts)]

    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda text: post(address, [text]), texts))
    assert [(status, body["translations"][0]["text"]) for status, body in found] == [
        (200, e) for e in expected
    ]


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nX-Slow", b"\r\n"],
    ids=["nothing", "half", "line"],
)
def test_half_a_head_is_not_waited_for(address: Address, sent: bytes) -> None:
    with socket.create_connection(address, timeout=10) as slow:
        slow.sendall(sent)
        began = time.monotonic()
        while slow.recv(1000):
            pass
        assert time.monotonic() - began < 5
    assert still_answers(address)


def test_a_second_head_is_not_waited_for_either(address: Address) -> None:
    with socket.create_connection(address, timeout=10) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in slow.recv(10_000)
        slow.sendall(b"GET /health HTTP")
        while slow.recv(1000):
            pass


def test_half_a_body_is_not_waited_for(address: Address) -> None:
    with socket.create_connection(address, timeout=10) as slow:
        slow.sendall(
            b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 50\r\n\r\n{"
        )
        said = slow.recv(10_000)
    assert b" 408 " in said
    assert still_answers(address)


def test_ten_megabytes_are_refused_in_words(address: Address) -> None:
    status, fault = post(address, ["a" * 10_000_000])
    assert status == 413
    assert "bytes" in fault["why"]
    assert still_answers(address)


def test_who_hangs_up_harms_nobody(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"texts": ["1 May 2000 " * 500] * 10}).encode()
    head = (
        b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    for _ in range(3):
        with socket.create_connection(address, timeout=10) as leaving:
            leaving.sendall(head + body)
            time.sleep(0.05)
    assert still_answers(address)
    assert not caplog.records  # and nobody is told of a fault


def test_an_address_that_is_taken_is_told() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(AtonceError) as refusal:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "--port" in refusal.value.fix


def test_addresses_can_be_opened() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address_of(listening))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_was_accepted_is_finished_before_the_end(runs: dict[str, Path], how: signal.Signals) -> None:
    command = [sys.executable, "-m", "atonce", "serve", str(runs["texts"]), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        url = urlsplit(said.removeprefix("serving at ").strip())
        assert url.port, said
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=30)
        texts = ["1 May 2000 " * 300] * 30  # about a second
        body = json.dumps({"texts": texts})
        connection.request("POST", "/v1/translate", body, {"Content-Type": "application/json"})
        time.sleep(0.2)
        process.send_signal(how)
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["translations"]) == len(texts)
        connection.close()
        assert process.wait(20) in (0, -how)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.registry import ModelRegistry
from atonce.serve.server import PatientProtocol, listen, server_of

Address = tuple[str, int]


@pytest.fixture(scope="session")
def models(runs: dict[str, Path]) -> ModelRegistry:
    """A translator of dates, called texts, and a classifier of digits, called labels."""
    return ModelRegistry.open([runs["texts"], runs["labels"]])


@pytest.fixture
def limits() -> Limits:
    return Limits(texts=8, characters=200, body=20_000, wait=0)


@pytest.fixture
def client(models: ModelRegistry, limits: Limits) -> Iterator[TestClient]:
    with TestClient(build_app(models, limits), raise_server_exceptions=False) as client:
        yield client


class Impatient(PatientProtocol):
    seconds = 0.3


@pytest.fixture
def address(models: ModelRegistry) -> Iterator[Address]:
    """A real server, which waits for heads and bodies for 0.3 seconds."""
    listening, ready = listen("127.0.0.1", 0), threading.Event()
    app = build_app(models, Limits(seconds=2.0, characters=10_000, body=1_000_000))
    server = server_of(app, ready.set, Impatient)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(20)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(20)
    listening.close()
    assert not thread.is_alive()

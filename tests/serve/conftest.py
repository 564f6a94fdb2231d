from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.served import Models


@pytest.fixture(scope="session")
def models(runs: dict[str, Path]) -> Models:
    """A translator of dates, called texts, and a classifier of digits, called labels."""
    return Models.open([runs["texts"], runs["labels"]])


@pytest.fixture
def limits() -> Limits:
    return Limits(texts=8, characters=200, body=20_000, wait=0)


@pytest.fixture
def client(models: Models, limits: Limits) -> Iterator[TestClient]:
    with TestClient(build_app(models, limits), raise_server_exceptions=False) as client:
        yield client

"""Small runs of all kinds, and an app that serves them: for what is sent to it."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

import tiny
from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.registry import ModelRegistry
from atonce.studies.experiment import train

SECONDS = 60.0
"""A request may take 20; the machine may be busy."""
MEMORY = 512 << 20
"""Bytes that the process may grow by, whatever it is sent."""


def runs(folder: Path) -> dict[str, Path]:
    """Runs by kind: two of texts, one of images to labels, one of images to texts. Hardly trained."""
    few = {"steps": 2, "validate_every": 2}
    labels = {**tiny.GRU, "image": {"kind": "rows"}, "decoder": {"kind": "classifier"}}
    images = {**tiny.GRU, "image": {"kind": "convolution", "channels": [4]}}
    strings = {"kind": "digit-strings", "images": 100, "valid_size": 4, "test_size": 4}
    recipes = {
        "dates": tiny.recipe(training=few),
        "gru": tiny.recipe(model=tiny.GRU, training=few),
        "labels": tiny.recipe(data={"kind": "digits"}, model=labels, training=few),
        "images": tiny.recipe(
            data=strings, vocabulary={"kind": "characters", "size": 300}, model=images, training=few
        ),
    }
    return {name: train(recipe, folder / name, quiet=True).run.path for name, recipe in recipes.items()}


@contextmanager
def client_of(runs: dict[str, Path]) -> Iterator[TestClient]:
    """A client of an app with a token, a few names, and small limits."""
    models = ModelRegistry.open(list(runs.values()))
    limits = Limits(texts=8, characters=400, body=300_000, pixels=4_000_000, seconds=20, wait=0)
    app = build_app(models, limits, token="sesame", hosts=("localhost", "[::1]"))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def resident() -> int:
    """The most bytes of this process that ever were in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def fault_in(answer: Response, method: str) -> str:
    """What is wrong with an answer; nothing if all is well."""
    if answer.status_code >= 500 and answer.status_code not in (503, 504):
        return "a fault of the server"
    kind = answer.headers.get("content-type", "")
    if method == "HEAD":
        return "a body with HEAD" if answer.content else ""
    if answer.status_code >= 400 and not kind.startswith("application/json"):
        return f"a refusal that is {kind or 'nothing'}"
    if not kind.startswith("application/json"):
        return ""
    try:
        found = json.loads(answer.content, parse_constant=_refuse)
    except ValueError as error:
        return f"no JSON: {error}"
    if answer.status_code >= 400 and not (set(found) == {"what", "why", "fix"} and all(found.values())):
        return "a refusal without what, why or fix"
    return ""


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


class Watched:
    """How long a case takes, and how the process grows."""

    def __init__(self) -> None:
        self.before = resident()
        self.began = time.monotonic()

    def fault(self) -> str:
        """What is wrong with it; nothing if all is well."""
        if (seconds := time.monotonic() - self.began) > SECONDS:
            return f"{seconds:.0f} seconds"
        if (grown := resident() - self.before) > MEMORY:
            return f"{grown >> 20} MB more"
        return ""

"""Figures on the server: what draws may die, hang or leave, and everything else is answered."""

import asyncio
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from atonce.explain.text_heatmap import Heatmap
from atonce.explain.words import AttentionMap
from atonce.figures.drawing_process import SHARED, TooMuchToDraw
from atonce.serve import figure_responses, inspect
from atonce.serve.app import build_app
from atonce.serve.errors import HTTPError
from atonce.serve.figure_responses import FigureResponses
from atonce.serve.limits import Limits
from atonce.serve.messages import Format
from atonce.serve.registry import ModelRegistry

ENDLESS: dict[str, Any] = {
    "data": {"sequence": {"start": 0, "stop": 3_000_000, "as": "a"}},
    "mark": "point",
    "encoding": {"x": {"field": "a", "type": "quantitative"}},
}
BODY = {"text": "3 May 1999", "format": "svg"}


class Endless(Heatmap):
    def spec(self, *_: Any) -> dict[str, Any]:
        return ENDLESS


def figure(kind: type[Heatmap] = Heatmap, words: int = 2) -> Heatmap:
    names = tuple(f"w{number}" for number in range(words))
    weights = np.full((words, words), 1 / words, np.float32)
    return kind(
        (AttentionMap(names, names, weights, "layer", "rule"),), source="a", output="b", model="model"
    )


def kill_while_drawing() -> None:
    drawing = 0  # times seen in a row: to start it takes the lock, too, for a moment
    while drawing < 20 or SHARED.pid is None:
        drawing = drawing + 1 if SHARED._lock.locked() else 0
        time.sleep(0.01)
    os.kill(SHARED.pid, signal.SIGKILL)


def test_a_process_that_is_killed_costs_one_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Heatmap, "spec", Endless.spec)
        killer = threading.Thread(target=kill_while_drawing)
        killer.start()
        answer = client.post("/v1/heatmap", json=BODY)
        killer.join()
    assert answer.status_code == 503
    assert answer.json().keys() == {"what", "why", "fix"}
    assert "SIGKILL" in answer.json()["why"]
    answer = client.post("/v1/heatmap", json=BODY)
    assert answer.status_code == 200
    assert answer.text.startswith("<svg ")


def test_a_picture_of_too_many_cells_is_refused_and_its_numbers_are_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_responses, "MOST_CELLS", 1)
    answer = client.post("/v1/heatmap", json=BODY)
    assert answer.status_code == 422
    assert "may have 1 in this format" in answer.json()["why"]
    for kind in ("spec", "csv", "json"):
        assert client.post("/v1/heatmap", json={**BODY, "format": kind}).status_code == 200


def test_finding_a_figure_and_drawing_it_have_the_time_of_one_request(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drawing may take half of it; what was found late is not drawn for so long as well."""
    found = inspect.heatmap_of

    def late(*given: Any) -> Heatmap:
        time.sleep(1.6)
        return found(*given)

    monkeypatch.setattr(Heatmap, "spec", Endless.spec)
    monkeypatch.setattr(inspect, "heatmap_of", late)
    with TestClient(build_app(models, Limits(seconds=2.0))) as client:
        answer = client.post("/v1/heatmap", json=BODY)
    assert (answer.status_code, answer.json()["why"]) == (504, "a request may take 2 seconds (--timeout)")


def test_what_takes_too_long_is_stopped_and_those_behind_it_are_answered() -> None:
    async def all_of_them() -> list[Any]:
        figures = FigureResponses(seconds=60.0)
        figures._limits = figure_responses.DrawingLimits(0.5)
        slow = asyncio.create_task(figures.response(figure(Endless), "svg"))
        await asyncio.sleep(0.1)
        figures._limits = figure_responses.DrawingLimits(60.0)
        kinds: list[Format] = ["svg", "csv", "spec"]
        behind = [figures.response(figure(), kind) for kind in kinds]
        return await asyncio.gather(slow, *behind, return_exceptions=True)

    slow, *behind = asyncio.run(all_of_them())
    assert isinstance(slow, TooMuchToDraw)
    assert "a drawing may take 0.5 seconds" in slow.why
    assert [answer.status_code for answer in behind] == [200] * 3


class EndlessLater(Heatmap):
    def spec(self, *_: Any) -> dict[str, Any]:
        time.sleep(0.8)
        return ENDLESS


@pytest.mark.parametrize("kind", [Endless, EndlessLater])
def test_a_drawing_that_nobody_waits_for_ends_soon(
    monkeypatch: pytest.MonkeyPatch, kind: type[Heatmap]
) -> None:
    """Also where it has not come to the process yet when that is ended for the first time."""
    monkeypatch.setattr(figure_responses, "_GRACE", 0.1)
    SHARED.start()

    async def leave() -> float:
        figures = FigureResponses(seconds=60.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(figures.response(figure(kind), "svg"), 0.3)
        began = time.monotonic()
        async with figures._pictures:
            return time.monotonic() - began

    assert asyncio.run(leave()) < 2


def test_few_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_responses, "MOST_WAITING", 3)

    async def many() -> list[Any]:
        figures = FigureResponses(seconds=0.6)
        asked = [asyncio.wait_for(figures.response(figure(Endless), "svg"), 0.6) for _ in range(5)]
        return await asyncio.gather(*asked, return_exceptions=True)

    faults = asyncio.run(many())
    assert [fault.status for fault in faults if isinstance(fault, HTTPError)].count(429) == 2
    assert all(isinstance(fault, HTTPError | TooMuchToDraw | TimeoutError) for fault in faults)

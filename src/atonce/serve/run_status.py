"""Runs as they are on disk: recipe, scores, and how each learned, also while it is being trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from atonce.disk import is_owned
from atonce.errors import AtonceError
from atonce.figures.style import DARK, LIGHT, Palette
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import dumps
from atonce.serve.dispatcher import Dispatcher
from atonce.serve.messages import REFUSALS, RunMessage, RunsResponse, ScoreMessage
from atonce.stored import SUMS
from atonce.studies.charts import Line, learning_curves

POINTS = 60
"""Points of a learning curve, at most: of a longer one, means of neighbours are shown."""
_CURVES = {"loss": "training loss", "valid_loss": "validation loss"}
_COLOURS = {"light": ["#1559a3", "#b3541e"], "dark": ["#74a4d1", "#e08a4b"]}


def run_routes(folders: Mapping[str, RunFolder], dispatcher: Dispatcher) -> APIRouter:
    """The route for runs."""
    router = APIRouter(responses=REFUSALS)
    statuses = RunStatuses(folders)
    one_at_a_time = CapacityLimiter(1)

    @router.get("/v1/runs", response_model=RunsResponse)
    async def runs(request: Request) -> Response:
        """All runs: recipe, scores, learning curves."""

        # As JSON already, and no dict: FastAPI would validate and write all curves on the event loop.
        def found() -> str:
            return RunsResponse(runs=statuses.all()).model_dump_json()

        # Beside the event loop: files are read, and those of a long training become much JSON.
        text = await dispatcher.in_time(request, to_thread.run_sync(found, limiter=one_at_a_time))
        return Response(text, media_type="application/json")

    return router


def run_status(name: str, folder: RunFolder) -> RunMessage:
    """A run as it is on disk now. `damage` names files that are damaged, of which nothing is shown."""
    # A damaged log does not hide the scores, nor the other way round.
    entries: list[dict[str, Any]] = []
    scores: dict[str, ScoreMessage] = {}
    damage = []
    try:
        entries = folder.read_log()
    except AtonceError as error:
        damage.append(f"{error.what}: {error.why}")
    try:
        scores = _scores(folder)
    except AtonceError as error:
        damage.append(f"{error.what}: {error.why}")
    step = int(entries[-1]["step"]) if entries else 0
    return RunMessage(
        name=name,
        about=folder.recipe.about,
        recipe=dumps(folder.recipe),
        scores=scores,
        step=step,
        entries=len(entries),
        training=_is_training(folder, step, entries),
        damage="; ".join(damage) or None,
        curves=_curves(entries),
    )


class RunStatuses:
    """The status of all runs. What has not changed on the disk is not read again."""

    # The page asks again and again while it is open, and the log of a long training has many lines.

    def __init__(self, folders: Mapping[str, RunFolder]) -> None:
        self._folders = folders
        self._known: dict[str, tuple[object, RunMessage]] = {}

    def all(self) -> list[RunMessage]:
        """`run_status` of each run. For one thread at a time."""
        return [self._status(name, folder) for name, folder in self._folders.items()]

    def _status(self, name: str, folder: RunFolder) -> RunMessage:
        state = _state(folder)
        if name not in self._known or self._known[name][0] != state:
            self._known[name] = state, run_status(name, folder)
        return self._known[name][1]


def _state(folder: RunFolder) -> object:
    """A value that differs when anything has changed that `run_status` shows."""
    files = [folder.path / name for name in ("log.jsonl", "scores.json", SUMS)]
    checkpoints = sorted(folder.checkpoints.glob("step-*/progress.json"))
    return (*map(_stamp, [*files, *checkpoints]), is_owned(folder.path), is_owned(folder.path.parent))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return path.name, error.errno
    # The inode as well: a file that is replaced within the clock's resolution may keep time and size.
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


def _is_training(folder: RunFolder, step: int, entries: list[dict[str, Any]]) -> bool:
    """Whether a process trains it, or has its comparison, in which it may wait for its turn."""
    # By the lock that its owner holds: a training that was killed does not look as if it went on.
    planned = entries[-1].get("planned_steps") if entries else None
    has_owner = is_owned(folder.path) or is_owned(folder.path.parent)
    return has_owner and (planned is None or step < planned)


def _scores(folder: RunFolder) -> dict[str, ScoreMessage]:
    """The scores that have a signature. Raises RunError if the file is damaged."""
    found = folder.read_scores()
    signatures = found.get("signatures", {})
    return {
        metric: ScoreMessage(value=f"{found[metric]:.1f}", signature=signature)
        for metric, signature in signatures.items()
        if metric in found
    }


def _curves(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The losses by step, if any has two points."""
    lines: dict[str, Line] = {
        title: _means(
            [
                (float(entry["step"]), float(entry[key]))
                for entry in entries
                if isinstance(entry.get(key), int | float)  # the log has null for what is not finite
            ]
        )
        for key, title in _CURVES.items()
    }
    lines = {title: line for title, line in lines.items() if len(line) > 1}
    if not lines:
        return None
    chart = learning_curves(lines, list(_CURVES.values()), x_title="updates", y_title="nats a token")
    # One chart, its data once: the page picks the colours of its own theme.
    papers = {"light": LIGHT, "dark": DARK}
    specs = {paper: {**chart, "config": _config(papers[paper], _COLOURS[paper])} for paper in papers}
    datasets = chart.get("datasets", {})
    last = "; ".join(
        f"{title} {line[-1][1]:.2f} after {line[-1][0]:,.0f} updates" for title, line in lines.items()
    )
    return {**specs, "datasets": datasets, "label": f"Learning curves: {last}."}


def _means(line: Line) -> Line:
    """The line itself if it is short, else means of neighbours: the losses of single batches differ much.

    A mean stands at the last step that went into it, so that the curve ends where the training is.
    """
    size = -(-len(line) // POINTS)
    if size <= 1:
        return line
    parts = [line[max(0, end - size) : end] for end in range(len(line), 0, -size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in reversed(parts)]


def _config(palette: Palette, colours: list[str]) -> dict[str, Any]:
    return {
        "background": palette.background,
        "range": {"category": colours},
        "axis": {
            "labelColor": palette.ink, "titleColor": palette.faint, "domainColor": palette.faint,
            "gridColor": palette.ramp[1], "tickColor": palette.faint, "titleFontWeight": "normal",
        },
        "view": {"stroke": None},
    }  # fmt: skip

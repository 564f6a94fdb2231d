"""What the page asks for: of texts, of models, of runs."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from atonce.models.named import ARCHITECTURES
from atonce.serve.answering import Answering
from atonce.serve.drawn import Drawer, Format
from atonce.serve.faults import too_long
from atonce.serve.histories import history
from atonce.serve.looking import (
    beam,
    drawn_comparison,
    drawn_heatmap,
    drawn_influence,
    heads,
    look,
    ticks_of,
)
from atonce.serve.messages import REFUSALS
from atonce.serve.refusing import JsonRoute
from atonce.serve.served import Models, Served
from atonce.serve.view_messages import (
    ArchitecturesResponse,
    BeamRequest,
    BeamResponse,
    ComparisonRequest,
    HeadsResponse,
    HeatmapRequest,
    InfluenceRequest,
    LookRequest,
    LookResponse,
    Phase,
    RunsResponse,
    TicksResponse,
)
from atonce.serve.wishes import AloneWish

Found = TypeVar("Found")


def view_routes(models: Models, answering: Answering) -> APIRouter:
    """What the page shows of texts, models and runs."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    ticks = cache(partial(ticks_of, models))
    drawer = Drawer(answering.limits.seconds)

    async def alone(request: Request, question: Callable[[], Found], *texts: str | None) -> Found:
        """The answer to a question that goes with no other."""
        for number, text in enumerate(texts, start=1):
            if text is not None and len(text) > answering.limits.characters:
                raise too_long(number, len(text), answering.limits.characters)
        (found,) = await answering.answers(request, AloneWish(question), [None])
        return found

    async def drawn(request: Request, draw: Callable[[], Any], kind: Format, *texts: str | None) -> Response:
        drawer.expect(kind)
        figure = await alone(request, draw, *texts)
        return await drawer.sent(request, figure, kind)

    def of_texts(name: str | None) -> Served:
        return models.of_texts(name)

    @router.post("/v1/look", response_model_exclude_none=True)
    async def look_at(body: LookRequest, request: Request) -> LookResponse:
        """A text, what becomes of it, and which words belong together."""
        served = of_texts(body.model)
        return await alone(request, lambda: look(served, body), body.text, body.target, body.prefix)

    @router.post("/v1/heads")
    async def heads_of(body: HeatmapRequest, request: Request) -> HeadsResponse:
        """All heads of a layer of attention."""
        served = of_texts(body.model)
        return await alone(request, lambda: heads(served, body), body.text, body.target)

    @router.post("/v1/heatmap", response_class=Response)
    async def heatmap(body: HeatmapRequest, request: Request) -> Response:
        """A heat map: for the page, or as a file."""
        served = of_texts(body.model)
        return await drawn(request, lambda: drawn_heatmap(served, body), body.format, body.text, body.target)

    @router.post("/v1/influence", response_class=Response)
    async def influence(body: InfluenceRequest, request: Request) -> Response:
        """What in the source makes each word of the output likely, by gradients or by leaving words out."""
        served = of_texts(body.model)
        draw = partial(drawn_influence, served, body)
        return await drawn(request, draw, body.format, body.text, body.target)

    @router.post("/v1/beam")
    async def beam_of(body: BeamRequest, request: Request) -> BeamResponse:
        """All that beam search looks at, as a tree."""
        served = of_texts(body.model)
        return await alone(request, lambda: beam(served, body), body.text, body.prefix)

    @router.post("/v1/comparison", response_class=Response)
    async def comparison(body: ComparisonRequest, request: Request) -> Response:
        """What two models look at in one text, and the difference."""
        one, other = (of_texts(name) for name in body.models)
        draw = partial(drawn_comparison, one, other, body)
        return await drawn(request, draw, body.format, body.text, body.target)

    @router.get("/v1/architectures")
    async def architectures() -> ArchitecturesResponse:
        """The architectures that can be looked at beside the models."""
        return ArchitecturesResponse(architectures=[one.name for one in ARCHITECTURES])

    @router.get("/v1/ticks")
    async def ticks_of_model(request: Request, model: str, phase: Phase = "training") -> TicksResponse:
        """When each part of a model, or of an architecture, can be computed."""
        return await alone(request, lambda: ticks(model, phase))

    @router.get("/v1/runs")
    def runs() -> RunsResponse:
        """All runs: recipe, scores, learning curves."""
        return RunsResponse(runs=[history(name, folder) for name, folder in models.folders.items()])

    return router

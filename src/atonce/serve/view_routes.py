"""What the page asks for: of texts, of models, of runs."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from atonce.models.architectures import ARCHITECTURES
from atonce.serve.answering import Answering
from atonce.serve.costs import View
from atonce.serve.drawn import Drawer
from atonce.serve.faults import too_long
from atonce.serve.histories import Histories
from atonce.serve.looking import (
    Asked,
    beam,
    drawn_comparison,
    drawn_heatmap,
    drawn_influence,
    heads,
    look,
    ticks_of,
    translator_of,
    view_of,
)
from atonce.serve.messages import REFUSALS
from atonce.serve.refusing import JsonRoute
from atonce.serve.served import Models, Served
from atonce.serve.view_messages import (
    ArchitecturesResponse,
    BeamRequest,
    BeamResponse,
    ComparisonRequest,
    HeadsRequest,
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

Question = Callable[[], Any]
Drawn = HeatmapRequest | InfluenceRequest | ComparisonRequest


def view_routes(models: Models, answering: Answering) -> APIRouter:
    """What the page shows of texts, models and runs."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    limits = answering.limits
    ticks = cache(partial(ticks_of, models))
    histories = Histories(models.folders)
    measuring, reading = CapacityLimiter(1), CapacityLimiter(1)
    drawer = Drawer(limits.seconds)

    async def alone(view: Callable[[], View], served: Served, question: Question) -> Any:
        """The answer to a question about one text, which goes with no other."""
        asked = view()
        texts = [text for text in (asked.text, asked.target, asked.prefix) if text is not None]
        for number, text in enumerate(texts, start=1):
            if len(text) > limits.characters:
                raise too_long(number, len(text), limits.characters)
        work = await answering.checked(partial(asked.work, translator_of(served), limits), texts)
        (found,) = await answering.asked(AloneWish(question), [None], work=work)
        return found

    async def told(request: Request, served: Served, body: Asked, question: Question) -> Response:
        """An answer with many numbers: it becomes JSON on the thread of the models, layer by layer."""

        def answer() -> str:
            return str(question().model_dump_json(exclude_none=isinstance(body, LookRequest)))

        view = partial(view_of, served, body)
        text = await answering.in_time(request, alone(view, served, answer))
        return Response(text, media_type="application/json")

    async def drawn(request: Request, served: Served, body: Drawn, draw: Question) -> Response:
        async def sent() -> Response:
            figure = await alone(partial(view_of, served, body), served, draw)
            return await drawer.sent(figure, body.format)

        drawer.expect(body.format)
        return await answering.in_time(request, sent())

    def of_texts(name: str | None) -> Served:
        return models.of_texts(name)

    @router.post("/v1/look", response_model=LookResponse)
    async def look_at(body: LookRequest, request: Request) -> Response:
        """A text, what becomes of it, and which words belong together."""
        served = of_texts(body.model)
        return await told(request, served, body, lambda: look(served, body, limits))

    @router.post("/v1/heads", response_model=HeadsResponse)
    async def heads_of(body: HeadsRequest, request: Request) -> Response:
        """All heads of a layer of attention."""
        served = of_texts(body.model)
        return await told(request, served, body, lambda: heads(served, body, limits))

    @router.post("/v1/heatmap", response_class=Response)
    async def heatmap(body: HeatmapRequest, request: Request) -> Response:
        """A heat map: for the page, or as a file."""
        served = of_texts(body.model)
        return await drawn(request, served, body, lambda: drawn_heatmap(served, body, limits))

    @router.post("/v1/influence", response_class=Response)
    async def influence(body: InfluenceRequest, request: Request) -> Response:
        """What in the source makes each word of the output likely, by gradients or by leaving words out."""
        served = of_texts(body.model)
        return await drawn(request, served, body, lambda: drawn_influence(served, body, limits))

    @router.post("/v1/beam", response_model=BeamResponse)
    async def beam_of(body: BeamRequest, request: Request) -> Response:
        """All that beam search looks at, as a tree."""
        served = of_texts(body.model)
        return await told(request, served, body, lambda: beam(served, body))

    @router.post("/v1/comparison", response_class=Response)
    async def comparison(body: ComparisonRequest, request: Request) -> Response:
        """What two models look at in one text, and the difference."""
        one, other = (of_texts(name) for name in body.models)
        return await drawn(request, one, body, lambda: drawn_comparison(one, other, body, limits))

    @router.get("/v1/architectures")
    async def architectures() -> ArchitecturesResponse:
        """The architectures that can be looked at beside the models."""
        return ArchitecturesResponse(architectures=[one.name for one in ARCHITECTURES])

    @router.get("/v1/ticks")
    async def ticks_of_model(request: Request, model: str, phase: Phase = "training") -> TicksResponse:
        """When each part of a model, or of an architecture, can be computed."""
        # On a thread of its own: it is about another model, and watched from its first operation to its last.
        return await answering.in_time(request, to_thread.run_sync(ticks, model, phase, limiter=measuring))

    @router.get("/v1/runs", response_model=RunsResponse)
    async def runs(request: Request) -> Response:
        """All runs: recipe, scores, learning curves."""

        def found() -> str:
            return RunsResponse(runs=histories.all()).model_dump_json()

        text = await answering.in_time(request, to_thread.run_sync(found, limiter=reading))
        return Response(text, media_type="application/json")

    return router

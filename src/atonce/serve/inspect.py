"""Inspecting: what a model does with one text, and when each part of it can be computed. For the page.

Each route has a function below it, which runs on the thread of the models.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from atonce.config import nearest
from atonce.decoding.hypothesis import length_penalty
from atonce.decoding.search import check_drawing
from atonce.decoding.translation import Alternative, translation_of
from atonce.errors import RecipeError
from atonce.explain.beam_tree import beam_tree
from atonce.explain.head_kinds import kinds_of_layer
from atonce.explain.influence import gradient_influence, occlusion_influence
from atonce.explain.recording import AttentionRecord, dropped_heads, has_attention
from atonce.explain.scoring import confidence
from atonce.explain.text_heatmap import (
    Heatmap,
    attention_maps,
    attention_of,
    compare_heatmap,
    pharaoh,
    translation_heatmap,
    word_links,
)
from atonce.explain.words import Side, side_of
from atonce.measure.work_span import work_span
from atonce.models.architectures import ARCHITECTURES, architecture
from atonce.pauses import pause
from atonce.serve.dispatcher import CallJob, Dispatcher
from atonce.serve.errors import not_found
from atonce.serve.figure_responses import FigureResponses
from atonce.serve.json_format import JsonRoute, Message
from atonce.serve.limits import (
    Inspection,
    Limits,
    ModelSizes,
    check_characters,
    check_tokens,
    count_tokens,
)
from atonce.serve.messages import (
    REFUSALS,
    ArchitecturesResponse,
    BeamRequest,
    BeamResponse,
    ComparisonRequest,
    ConfidenceMessage,
    HeadMessage,
    HeadsRequest,
    HeadsResponse,
    HeatmapRequest,
    InfluenceRequest,
    LayerNameMessage,
    LookRequest,
    LookResponse,
    Phase,
    TicksResponse,
)
from atonce.serve.registry import ModelRegistry, ServedModel
from atonce.serve.translate import generator_of
from atonce.studies.measurement.phases import generation, teacher_forced
from atonce.studies.measurement.schedule import LENGTH, schedules
from atonce.studies.measurement.targets import Model, sentences, small, vocab_of

FigureRequest = HeatmapRequest | InfluenceRequest | ComparisonRequest
InspectRequest = LookRequest | HeadsRequest | BeamRequest | FigureRequest


def inspect_routes(models: ModelRegistry, dispatcher: Dispatcher) -> APIRouter:
    """The routes of the page's views."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    inspector = _Inspector(models, dispatcher)
    # Kept for ever: they depend on an architecture, not on weights or texts, and there are few names.
    find_ticks = cache(partial(ticks_of, models))
    one_at_a_time = CapacityLimiter(1)

    @router.post("/v1/look", response_model=LookResponse)
    async def look_at(body: LookRequest, request: Request) -> Response:
        """The output for a text, and which words belong together."""
        return await inspector.as_json(request, body, look)

    @router.post("/v1/heads", response_model=HeadsResponse)
    async def heads_of(body: HeadsRequest, request: Request) -> Response:
        """All heads of a layer of attention."""
        return await inspector.as_json(request, body, heads)

    @router.post("/v1/heatmap", response_class=Response)
    async def heatmap(body: HeatmapRequest, request: Request) -> Response:
        """A heat map: for the page, or as a file."""
        return await inspector.as_figure(request, body, heatmap_of, body.model)

    @router.post("/v1/influence", response_class=Response)
    async def influence(body: InfluenceRequest, request: Request) -> Response:
        """What in the source makes each word of the output likely, by gradients or by leaving words out."""
        return await inspector.as_figure(request, body, influence_of, body.model)

    @router.post("/v1/beam", response_model=BeamResponse)
    async def beam_of(body: BeamRequest, request: Request) -> Response:
        """All hypotheses of beam search, as a tree."""
        return await inspector.as_json(request, body, beam)

    @router.post("/v1/comparison", response_class=Response)
    async def comparison(body: ComparisonRequest, request: Request) -> Response:
        """The attention of two models for one text, and the difference."""
        return await inspector.as_figure(request, body, comparison_of, *body.models)

    @router.get("/v1/architectures")
    async def architectures() -> ArchitecturesResponse:
        """The architectures that `/v1/ticks` knows beside the models that are served."""
        return ArchitecturesResponse(architectures=[one.name for one in ARCHITECTURES])

    @router.get("/v1/ticks")
    async def ticks_of_model(request: Request, model: str, phase: Phase = "training") -> TicksResponse:
        """When each part of a model, or of an architecture, can be computed."""
        # On a thread of its own: it is about another model, and watched from its first operation to its last.
        found = to_thread.run_sync(find_ticks, model, phase, limiter=one_at_a_time)
        return await dispatcher.in_time(request, found)

    return router


class _Inspector:
    """Checks a request, inspects its text on the thread of the models, and makes the answer."""

    def __init__(self, models: ModelRegistry, dispatcher: Dispatcher) -> None:
        self._models = models
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._figures = FigureResponses(dispatcher.limits.seconds)

    async def as_json(
        self,
        request: Request,
        body: LookRequest | HeadsRequest | BeamRequest,
        function: Callable[..., Message],
    ) -> Response:
        """The message that `function` makes, as JSON."""
        served = self._models.choose_translator(body.model)

        # JSON is made on the thread of the models, too: it may have very many numbers, and the event loop
        # would answer nobody meanwhile.
        def text() -> str:
            message = function(served, body, self._limits)
            return str(message.model_dump_json(exclude_none=isinstance(message, LookResponse)))

        answer = await self._dispatcher.in_time(request, self._run(served, body, text))
        return Response(answer, media_type="application/json")

    async def as_figure(
        self, request: Request, body: FigureRequest, function: Callable[..., Heatmap], *names: str | None
    ) -> Response:
        """The figure that `function` makes of the models with these names, in the format of the request."""
        served = [self._models.choose_translator(name) for name in names]

        # Both in one coroutine, so that finding a figure and drawing it have one time limit between them.
        async def answer() -> Response:
            figure = await self._run(served[0], body, lambda: function(*served, body, self._limits))
            return await self._figures.response(figure, body.format)

        self._figures.prepare(body.format)  # the process that draws starts while the models work
        return await self._dispatcher.in_time(request, answer())

    async def _run(self, served: ServedModel, body: InspectRequest, function: Callable[[], Any]) -> Any:
        """What `function` gives, on the thread of the models. Raises HTTPError if it would take too much."""
        inspection = inspection_of(served, body)
        texts = [one for one in (inspection.text, inspection.target, inspection.prefix) if one is not None]
        # Characters before tokens: to count tokens takes a time that grows with the text.
        check_characters(texts, self._limits)
        estimate = partial(inspection.estimated_work, served.translator, self._limits)
        work = await self._dispatcher.checked(estimate, texts)
        (found,) = await self._dispatcher.submit(CallJob(function), [None], work=work)
        return found


def inspection_of(served: ServedModel, body: InspectRequest) -> Inspection:
    """What a request wants, as far as its cost depends on it."""
    translator = served.translator
    match body:
        case LookRequest():
            outputs = max(body.nbest or 1, 1 if body.temperature else body.beam or translator.config.beam)
            return Inspection("look", body.text, body.target, body.prefix, outputs)
        case BeamRequest():
            return Inspection("beam", body.text, prefix=body.prefix, outputs=body.beam)
        case InfluenceRequest():
            return Inspection(body.measure, body.text, body.target, outputs=translator.config.beam)
        case HeatmapRequest():
            heads = ModelSizes(translator.model).heads if body.head == "all" else 1
            return Inspection("heatmap", body.text, body.target, outputs=translator.config.beam, heads=heads)
        case HeadsRequest():  # after HeatmapRequest, which is one as well
            return Inspection("heads", body.text, body.target, outputs=translator.config.beam)
        case ComparisonRequest():
            return Inspection("comparison", body.text, body.target, outputs=translator.config.beam, heads=3)


def _output(served: ServedModel, inspection: Inspection, limits: Limits) -> str:
    """The output to inspect: the forced one, or the model's own. Raises HTTPError if it is too long."""
    translator = served.translator
    output = inspection.target
    if output is None:
        output = translator.translate([inspection.text])[0].text
    # Only now is its length known, on which all that follows depends.
    inspection.check_output(translator, count_tokens(translator, output), limits)
    pause()
    return output


def look(served: ServedModel, body: LookRequest, limits: Limits) -> LookResponse:
    """The output for a text, and which words belong together; also with words hidden, or heads dropped."""
    translator = served.translator
    model, tokenizer = translator.model, translator.tokenizer
    read = side_of(tokenizer, body.text)
    check_drawing(body.temperature, body.beam)
    if translator.is_blank(body.text) or translator.in_segments(body.text):
        return _translated_only(served, body, read)
    # Words are hidden by leaving their tokens out: a mask would mean something else to each architecture.
    without = read.places(_words(body.hidden, len(read.words) - 1))
    heads = {layer: [head - 1 for head in heads] for layer, heads in body.dropped.items()}
    width = max(body.beam or translator.config.beam, body.nbest or 1)
    # Search, confidence and attention under the same hidden words and dropped heads: what is shown is what
    # made the output.
    with dropped_heads(model, heads):
        found = translator.hypotheses(
            body.text, beam=None if body.temperature else width, prefix=body.prefix or (), without=without,
            temperature=body.temperature, draws=body.nbest or 1,
            generator=generator_of(translator, body.seed) if body.temperature else None,
        )  # fmt: skip
        # Tokens, not their text: search may spell a text otherwise than the tokenizer would.
        target = found[0].tokens if body.target is None else body.target
        inspection_of(served, body).check_output(translator, len(translator.target_tokens(target)), limits)
        sure = confidence(translator, body.text, target, without=without)
        pause()
        seen = attention_of(translator, body.text, target, without=without) if has_attention(model) else None
    outputs = (
        translator.drawn_of(found)
        if body.temperature
        else translation_of(found, tokenizer, body.nbest or width)
    )
    # Only the encoder may have attention: then there is nothing from output to source to show.
    shown = attention_maps(seen)[0] if seen and seen.record.of_role("cross") else None
    penalty = length_penalty(len(sure.log_probabilities), translator.config.length_penalty)
    return LookResponse(
        model=served.name,
        source=seen.source if seen else read,
        target=sure.target,
        score=sure.log_probability / penalty,
        alternatives=list(outputs.alternatives),
        confidence=ConfidenceMessage(
            tokens=list(sure.probabilities), words=list(sure.word_probabilities)
        ),
        layers=_layers(seen.record) if seen else [],
        map=shown,
        alignment=pharaoh(word_links(seen)) if seen and shown else None,
    )  # fmt: skip


def _translated_only(served: ServedModel, body: LookRequest, read: Side) -> LookResponse:
    """For a text that is blank, or translated in segments, which have no attention in common."""
    translator = served.translator
    (found,) = translator.translate(
        [body.text], beam=body.beam, nbest=body.nbest or 1, temperature=body.temperature,
        generator=generator_of(translator, body.seed) if body.temperature else None,
    )  # fmt: skip
    target = found.text if body.target is None else body.target
    return LookResponse(
        model=served.name,
        source=read,
        target=side_of(translator.tokenizer, target),
        score=found.score,
        alternatives=list(found.alternatives),
        layers=[],
    )


def _words(numbers: Sequence[int], words: int) -> list[int]:
    """The numbers, checked. Raises RecipeError for a word that does not exist."""
    for number in numbers:
        if number >= words:
            raise RecipeError(
                f"there is no word {number} to hide",
                why=f"the text has {words}, counted from 0",
                fix="leave it out, or give the number of another word",
            )
    return list(numbers)


def beam(served: ServedModel, body: BeamRequest, _: Limits) -> BeamResponse:
    """All hypotheses of beam search."""
    translator = served.translator
    tree = beam_tree(translator, body.text, beam=body.beam, prefix=body.prefix or ())
    return BeamResponse(
        nodes=list(tree.nodes), nbest=[Alternative(one.text, one.score) for one in tree.outputs]
    )


def influence_of(served: ServedModel, body: InfluenceRequest, limits: Limits) -> Heatmap:
    """What in the source made each word of the output likely."""
    translator = served.translator
    target = translator.hypotheses(body.text)[0].tokens if body.target is None else body.target
    inspection_of(served, body).check_output(translator, len(translator.target_tokens(target)), limits)
    pause()
    measured = {"gradient": gradient_influence, "occlusion": occlusion_influence}[body.measure]
    one = measured(translator, body.text, target)
    output = " ".join(one.rows[:-1]) if body.target is None else body.target
    return Heatmap((one,), source=body.text, output=output, model=served.name)


def heads(served: ServedModel, body: HeadsRequest, limits: Limits) -> HeadsResponse:
    """All heads of a layer."""
    seen = attention_of(served.translator, body.text, _output(served, inspection_of(served, body), limits))
    chosen = seen.choose(body.layer)
    maps = attention_maps(seen, layer=body.layer, head="all", words=body.words, end=body.end)
    return HeadsResponse(
        layer=chosen.layer,
        layers=_layers(seen.record),
        heads=[
            HeadMessage(head=number, kind=kind.label, entropy=round(kind.entropy, 3), weights=one.weights)
            for number, (one, kind) in enumerate(zip(maps, kinds_of_layer(chosen), strict=True), start=1)
        ],
    )


def heatmap_of(served: ServedModel, body: HeatmapRequest, limits: Limits) -> Heatmap:
    """The heat map of a request."""
    return translation_heatmap(
        served.translator, body.text, target=_output(served, inspection_of(served, body), limits),
        layer=body.layer, head=body.head, words=body.words, end=body.end,
    )  # fmt: skip


def comparison_of(one: ServedModel, other: ServedModel, body: ComparisonRequest, limits: Limits) -> Heatmap:
    """The maps of both, and their difference."""
    # The first is checked before the job is queued (`_Inspector._run`); the second may have other tokens.
    second = inspection_of(other, body)
    check_tokens("the text", second.source_tokens(other.translator), limits, inspected=True)
    output = _output(one, inspection_of(one, body), limits)
    second.check_output(other.translator, count_tokens(other.translator, output), limits)
    return compare_heatmap(one.translator, other.translator, body.text, target=output, words=body.words)


def ticks_of(models: ModelRegistry, name: str, phase: Phase) -> TicksResponse:
    """When each part of a model, or of an architecture, can be computed.

    Ticks do not depend on weights: a narrow model of the same architecture is measured.
    """
    if name in models.by_name:
        title, config = name, models.by_name[name].folder.recipe.model
    elif name in {one.name for one in ARCHITECTURES}:
        known = architecture(name)
        title, config = known.title, known.model
    else:
        raise not_found(
            f"there is no model {name[:100]!r}",
            why="it is neither served nor an architecture with a name",
            fix=nearest(name[:100], [*models.by_name, *(one.name for one in ARCHITECTURES)]),
        )
    target = Model(name, title, partial(small, config))
    view = next(one for one in schedules([target]) if one.phase == phase)
    model = target.built()
    run = teacher_forced(model) if phase == "training" else generation(model)
    found = work_span(run, sentences(LENGTH, vocab_of(model)))
    return TicksResponse(
        title=view.heading,
        rows=list(view.rows),
        last=view.last,
        work=found.work,
        parallelism=found.parallelism,
    )


def _layers(record: AttentionRecord) -> list[LayerNameMessage]:
    return [
        LayerNameMessage(layer=one.layer, role=one.role, heads=one.weights.shape[1])
        for one in record.values()
    ]

"""What a model does with one text, and what it computes at once: all that the page shows.

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
    RowMessage,
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
    """What the page shows of texts and models."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    limits = dispatcher.limits
    find_ticks = cache(partial(ticks_of, models))
    one_at_a_time = CapacityLimiter(1)
    figures = FigureResponses(limits.seconds)

    async def called(served: ServedModel, body: InspectRequest, function: Callable[[], Any]) -> Any:
        """What a function gives that inspects one text, on the thread of the models."""
        inspection = inspection_of(served, body)
        texts = [one for one in (inspection.text, inspection.target, inspection.prefix) if one is not None]
        check_characters(texts, limits)
        estimate = partial(inspection.estimated_work, served.translator, limits)
        work = await dispatcher.checked(estimate, texts)
        (found,) = await dispatcher.submit(CallJob(function), [None], work=work)
        return found

    async def as_json(
        request: Request, body: LookRequest | HeadsRequest | BeamRequest, function: Callable[..., Message]
    ) -> Response:
        """Its message. It becomes JSON on that thread as well, as it may have very many numbers."""
        served = models.choose_translator(body.model)

        def text() -> str:
            message = function(served, body, limits)
            return str(message.model_dump_json(exclude_none=isinstance(message, LookResponse)))

        answer = await dispatcher.in_time(request, called(served, body, text))
        return Response(answer, media_type="application/json")

    async def as_figure(
        request: Request, body: FigureRequest, function: Callable[..., Heatmap], *names: str | None
    ) -> Response:
        """Its figure of the models with these names, in the format that is asked for."""
        served = [models.choose_translator(name) for name in names]

        async def answer() -> Response:
            figure = await called(served[0], body, lambda: function(*served, body, limits))
            return await figures.response(figure, body.format)

        figures.prepare(body.format)  # the process that draws starts while the models work
        return await dispatcher.in_time(request, answer())

    @router.post("/v1/look", response_model=LookResponse)
    async def look_at(body: LookRequest, request: Request) -> Response:
        """A text, what becomes of it, and which words belong together."""
        return await as_json(request, body, look)

    @router.post("/v1/heads", response_model=HeadsResponse)
    async def heads_of(body: HeadsRequest, request: Request) -> Response:
        """All heads of a layer of attention."""
        return await as_json(request, body, heads)

    @router.post("/v1/heatmap", response_class=Response)
    async def heatmap(body: HeatmapRequest, request: Request) -> Response:
        """A heat map: for the page, or as a file."""
        return await as_figure(request, body, heatmap_of, body.model)

    @router.post("/v1/influence", response_class=Response)
    async def influence(body: InfluenceRequest, request: Request) -> Response:
        """What in the source makes each word of the output likely, by gradients or by leaving words out."""
        return await as_figure(request, body, influence_of, body.model)

    @router.post("/v1/beam", response_model=BeamResponse)
    async def beam_of(body: BeamRequest, request: Request) -> Response:
        """All that beam search looks at, as a tree."""
        return await as_json(request, body, beam)

    @router.post("/v1/comparison", response_class=Response)
    async def comparison(body: ComparisonRequest, request: Request) -> Response:
        """What two models look at in one text, and the difference."""
        return await as_figure(request, body, comparison_of, *body.models)

    @router.get("/v1/architectures")
    async def architectures() -> ArchitecturesResponse:
        """The architectures that can be looked at beside the models."""
        return ArchitecturesResponse(architectures=[one.name for one in ARCHITECTURES])

    @router.get("/v1/ticks")
    async def ticks_of_model(request: Request, model: str, phase: Phase = "training") -> TicksResponse:
        """When each part of a model, or of an architecture, can be computed."""
        # On a thread of its own: it is about another model, and watched from its first operation to its last.
        found = to_thread.run_sync(find_ticks, model, phase, limiter=one_at_a_time)
        return await dispatcher.in_time(request, found)

    return router


def inspection_of(served: ServedModel, asked: InspectRequest) -> Inspection:
    """What is asked for, as far as it matters how much that takes."""
    translator = served.translator
    match asked:
        case LookRequest():
            outputs = max(asked.nbest or 1, 1 if asked.temperature else asked.beam or translator.config.beam)
            return Inspection("look", asked.text, asked.target, asked.prefix, outputs)
        case BeamRequest():
            return Inspection("beam", asked.text, prefix=asked.prefix, outputs=asked.beam)
        case InfluenceRequest():
            return Inspection(asked.measure, asked.text, asked.target, outputs=translator.config.beam)
        case HeatmapRequest():
            heads = ModelSizes(translator.model).heads if asked.head == "all" else 1
            return Inspection(
                "heatmap", asked.text, asked.target, outputs=translator.config.beam, heads=heads
            )
        case HeadsRequest():
            return Inspection("heads", asked.text, asked.target, outputs=translator.config.beam)
        case ComparisonRequest():
            return Inspection("comparison", asked.text, asked.target, outputs=translator.config.beam, heads=3)


def _output(served: ServedModel, inspection: Inspection, limits: Limits) -> str:
    """The output that is inspected: what is forced, or the model's own. Raises HTTPError if it is long."""
    translator = served.translator
    output = inspection.target
    if output is None:
        output = translator.translate([inspection.text])[0].text
    inspection.check_output(translator, count_tokens(translator, output), limits)
    pause()
    return output


def look(served: ServedModel, asked: LookRequest, limits: Limits) -> LookResponse:
    """A text, what became of it, and what belongs to what; also with words hidden, or heads dropped."""
    translator = served.translator
    model, tokenizer = translator.model, translator.tokenizer
    read = side_of(tokenizer, asked.text)
    check_drawing(asked.temperature, asked.beam)
    if translator.is_blank(asked.text) or translator.in_segments(asked.text):
        return _translated_only(served, asked, read)
    # Words are hidden by leaving their tokens out: a mask would mean something else to each architecture.
    without = read.places(_words(asked.hidden, len(read.words) - 1))
    heads = {layer: [head - 1 for head in heads] for layer, heads in asked.dropped.items()}
    width = max(asked.beam or translator.config.beam, asked.nbest or 1)
    with dropped_heads(model, heads):
        found = translator.hypotheses(
            asked.text, beam=None if asked.temperature else width, prefix=asked.prefix or (), without=without,
            temperature=asked.temperature, draws=asked.nbest or 1,
            generator=generator_of(translator, asked.seed) if asked.temperature else None,
        )  # fmt: skip
        target = found[0].tokens if asked.target is None else asked.target
        inspection_of(served, asked).check_output(translator, len(translator.target_tokens(target)), limits)
        sure = confidence(translator, asked.text, target, without=without)
        pause()
        seen = attention_of(translator, asked.text, target, without=without) if has_attention(model) else None
    outputs = (
        translator.drawn_of(found)
        if asked.temperature
        else translation_of(found, tokenizer, asked.nbest or width)
    )
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


def _translated_only(served: ServedModel, asked: LookRequest, read: Side) -> LookResponse:
    """Of a text that is blank, or translated in segments, which have no attention in common."""
    translator = served.translator
    (found,) = translator.translate(
        [asked.text], beam=asked.beam, nbest=asked.nbest or 1, temperature=asked.temperature,
        generator=generator_of(translator, asked.seed) if asked.temperature else None,
    )  # fmt: skip
    target = found.text if asked.target is None else asked.target
    return LookResponse(
        model=served.name,
        source=read,
        target=side_of(translator.tokenizer, target),
        score=found.score,
        alternatives=list(found.alternatives),
        layers=[],
    )


def _words(numbers: Sequence[int], words: int) -> list[int]:
    """Numbers of words. Raises RecipeError for one that there is not."""
    for number in numbers:
        if number >= words:
            raise RecipeError(
                f"there is no word {number} to hide",
                why=f"the text has {words}, counted from 0",
                fix="leave it out, or give the number of another word",
            )
    return list(numbers)


def beam(served: ServedModel, asked: BeamRequest, _: Limits) -> BeamResponse:
    """All that beam search looks at."""
    translator = served.translator
    tree = beam_tree(translator, asked.text, beam=asked.beam, prefix=asked.prefix or ())
    return BeamResponse(
        nodes=list(tree.nodes), nbest=[Alternative(one.text, one.score) for one in tree.outputs]
    )


def influence_of(served: ServedModel, asked: InfluenceRequest, limits: Limits) -> Heatmap:
    """What made each word of the output likely."""
    translator = served.translator
    target = translator.hypotheses(asked.text)[0].tokens if asked.target is None else asked.target
    inspection_of(served, asked).check_output(translator, len(translator.target_tokens(target)), limits)
    pause()
    measured = {"gradient": gradient_influence, "occlusion": occlusion_influence}[asked.measure]
    one = measured(translator, asked.text, target)
    output = " ".join(one.rows[:-1]) if asked.target is None else asked.target
    return Heatmap((one,), source=asked.text, output=output, model=served.name)


def heads(served: ServedModel, asked: HeadsRequest, limits: Limits) -> HeadsResponse:
    """All heads of a layer."""
    seen = attention_of(served.translator, asked.text, _output(served, inspection_of(served, asked), limits))
    chosen = seen.choose(asked.layer)
    maps = attention_maps(seen, layer=asked.layer, head="all", words=asked.words, end=asked.end)
    return HeadsResponse(
        layer=chosen.layer,
        layers=_layers(seen.record),
        heads=[
            HeadMessage(head=number, kind=kind.label, entropy=round(kind.entropy, 3), weights=one.weights)
            for number, (one, kind) in enumerate(zip(maps, kinds_of_layer(chosen), strict=True), start=1)
        ],
    )


def heatmap_of(served: ServedModel, asked: HeatmapRequest, limits: Limits) -> Heatmap:
    """The heat map asked for."""
    return translation_heatmap(
        served.translator, asked.text, target=_output(served, inspection_of(served, asked), limits),
        layer=asked.layer, head=asked.head, words=asked.words, end=asked.end,
    )  # fmt: skip


def comparison_of(one: ServedModel, other: ServedModel, asked: ComparisonRequest, limits: Limits) -> Heatmap:
    """The maps of both, and their difference."""
    second = inspection_of(other, asked)  # whose tokens may be others
    check_tokens("the text", second.source_tokens(other.translator), limits, inspected=True)
    output = _output(one, inspection_of(one, asked), limits)
    second.check_output(other.translator, count_tokens(other.translator, output), limits)
    return compare_heatmap(one.translator, other.translator, asked.text, target=output, words=asked.words)


def ticks_of(models: ModelRegistry, name: str, phase: Phase) -> TicksResponse:
    """When each part of a model, or of an architecture, can be computed.

    Ticks do not depend on weights: what is looked at is a narrow model of the same architecture.
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
        rows=[
            RowMessage(name=row.name, ticks=list(row.ticks), into=row.into.int().tolist())
            for row in view.rows
        ],
        last=view.last,
        work=found.work,
        parallelism=found.parallelism,
    )


def _layers(record: AttentionRecord) -> list[LayerNameMessage]:
    return [
        LayerNameMessage(layer=one.layer, role=one.role, heads=one.weights.shape[1])
        for one in record.values()
    ]

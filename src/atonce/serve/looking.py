"""What the page shows of one text, or of one model, computed on the thread of the models."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from atonce.config import nearest
from atonce.decoding.hypothesis import length_penalty
from atonce.decoding.translator import Translation, Translator, check_drawing, translation_of
from atonce.errors import RecipeError
from atonce.explain.dropped_heads import dropped_heads
from atonce.explain.record import AttentionRecord, has_attention
from atonce.explain.texts.alignment import pharaoh, word_links
from atonce.explain.texts.beam_tree import beam_tree
from atonce.explain.texts.comparison import compare_heatmap
from atonce.explain.texts.confidence import confidence
from atonce.explain.texts.head_kinds import kinds_of_layer
from atonce.explain.texts.heatmap import Heatmap
from atonce.explain.texts.influence import gradient_influence, occlusion_influence
from atonce.explain.texts.translation import Side, attention_maps, attention_of, heatmap, side_of
from atonce.explain.texts.words import AttentionMap
from atonce.measure.work_span import work_span
from atonce.models.architectures import ARCHITECTURES, architecture
from atonce.pauses import pause
from atonce.serve.costs import Sizes, View, check_pieces, pieces_of
from atonce.serve.faults import Fault
from atonce.serve.limits import Limits
from atonce.serve.messages import AlternativeMessage
from atonce.serve.served import Models, Served
from atonce.serve.view_messages import (
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
    MapMessage,
    NodeMessage,
    Phase,
    RowMessage,
    TicksResponse,
)
from atonce.serve.wishes import random_numbers, side_message
from atonce.studies.measurement.phases import generation, sentences, small, teacher_forced, vocab_of
from atonce.studies.measurement.subjects import Model
from atonce.studies.measurement.tick_views import LENGTH, tick_views

Asked = LookRequest | BeamRequest | InfluenceRequest | HeadsRequest | ComparisonRequest
"""A heat map is asked for as heads are, and which of them."""


def translator_of(served: Served) -> Translator:
    """What makes texts of texts. `Models.of_texts` has seen to it that it does."""
    assert isinstance(served.system, Translator)
    return served.system


def view_of(served: Served, asked: Asked) -> View:
    """What is asked for, as far as it matters how much that takes."""
    translator = translator_of(served)
    match asked:
        case LookRequest():
            outputs = max(asked.nbest or 1, 1 if asked.temperature else asked.beam or translator.config.beam)
            return View("look", asked.text, asked.target, asked.prefix, outputs)
        case BeamRequest():
            return View("beam", asked.text, prefix=asked.prefix, outputs=asked.beam)
        case InfluenceRequest():
            return View(asked.measure, asked.text, asked.target, outputs=translator.config.beam)
        case HeatmapRequest():
            heads = Sizes(translator.model).heads if asked.head == "all" else 1
            return View("heatmap", asked.text, asked.target, outputs=translator.config.beam, heads=heads)
        case HeadsRequest():
            return View("heads", asked.text, asked.target, outputs=translator.config.beam)
        case ComparisonRequest():
            return View("comparison", asked.text, asked.target, outputs=translator.config.beam, heads=3)


def _output(served: Served, view: View, limits: Limits) -> str:
    """The output that is looked at: what is forced, or the model's own. Raises Fault if it is too much."""
    translator = translator_of(served)
    output = view.target if view.target is not None else translator.translate([view.text])[0].text
    view.check(translator, pieces_of(translator, output), limits)
    pause()
    return output


def look(served: Served, asked: LookRequest, limits: Limits) -> LookResponse:
    """A text, what became of it, and what belongs to what; also with words hidden, or heads dropped."""
    translator = translator_of(served)
    model, tokenizer = translator.model, translator.tokenizer
    read = side_of(tokenizer, asked.text)
    check_drawing(asked.temperature, asked.beam)
    if translator.is_blank(asked.text) or translator.in_segments(asked.text):
        return _unlooked(served, asked, read)
    without = read.places(_words(asked.hidden, len(read.words) - 1))
    heads = {layer: [head - 1 for head in heads] for layer, heads in asked.dropped.items()}
    width = max(asked.beam or translator.config.beam, asked.nbest or 1)
    with dropped_heads(model, heads):
        found = translator.hypotheses(
            asked.text, beam=None if asked.temperature else width, prefix=asked.prefix or (), without=without,
            temperature=asked.temperature, draws=asked.nbest or 1,
            generator=random_numbers(translator, asked.seed) if asked.temperature else None,
        )  # fmt: skip
        target = found[0].pieces if asked.target is None else asked.target
        view_of(served, asked).check(translator, len(translator.target_pieces(target)), limits)
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
        source=side_message(seen.source if seen else read),
        target=side_message(sure.target),
        score=sure.log_probability / penalty,
        alternatives=alternatives_of(outputs),
        confidence=ConfidenceMessage(
            pieces=list(sure.probabilities), words=list(sure.word_probabilities)
        ),
        layers=_layers(seen.record) if seen else [],
        map=shown and map_message(shown),
        alignment=pharaoh(word_links(seen)) if seen and shown else None,
    )  # fmt: skip


def _unlooked(served: Served, asked: LookRequest, read: Side) -> LookResponse:
    """Of a text that is blank, or translated in segments, which have no attention in common."""
    translator = translator_of(served)
    (found,) = translator.translate(
        [asked.text], beam=asked.beam, nbest=asked.nbest or 1, temperature=asked.temperature,
        generator=random_numbers(translator, asked.seed) if asked.temperature else None,
    )  # fmt: skip
    target = found.text if asked.target is None else asked.target
    return LookResponse(
        model=served.name,
        source=side_message(read),
        target=side_message(side_of(translator.tokenizer, target)),
        score=found.score,
        alternatives=alternatives_of(found),
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


def beam(served: Served, asked: BeamRequest) -> BeamResponse:
    """All that beam search looks at."""
    translator = translator_of(served)
    tree = beam_tree(translator, asked.text, beam=asked.beam, prefix=asked.prefix or ())
    shown = NodeMessage.model_fields.keys()
    return BeamResponse(
        nodes=[NodeMessage(**{name: getattr(node, name) for name in shown}) for node in tree.nodes],
        nbest=[AlternativeMessage(text=one.text, score=one.score) for one in tree.outputs],
    )


def drawn_influence(served: Served, asked: InfluenceRequest, limits: Limits) -> Heatmap:
    """What made each word of the output likely."""
    translator = translator_of(served)
    target = translator.hypotheses(asked.text)[0].pieces if asked.target is None else asked.target
    view_of(served, asked).check(translator, len(translator.target_pieces(target)), limits)
    pause()
    measured = {"gradient": gradient_influence, "occlusion": occlusion_influence}[asked.measure]
    one = measured(translator, asked.text, target)
    output = " ".join(one.rows[:-1]) if asked.target is None else asked.target
    return Heatmap((one,), source=asked.text, output=output, model=served.name)


def heads(served: Served, asked: HeadsRequest, limits: Limits) -> HeadsResponse:
    """All heads of a layer."""
    seen = attention_of(translator_of(served), asked.text, _output(served, view_of(served, asked), limits))
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


def drawn_heatmap(served: Served, asked: HeatmapRequest, limits: Limits) -> Heatmap:
    """The heat map asked for."""
    return heatmap(
        translator_of(served), asked.text, target=_output(served, view_of(served, asked), limits),
        layer=asked.layer, head=asked.head, words=asked.words, end=asked.end,
    )  # fmt: skip


def drawn_comparison(one: Served, other: Served, asked: ComparisonRequest, limits: Limits) -> Heatmap:
    """The maps of both, and their difference."""
    second = view_of(other, asked)  # whose pieces may be others
    check_pieces("the text", second.source(translator_of(other)), limits, looked_at=True)
    output = _output(one, view_of(one, asked), limits)
    second.check(translator_of(other), pieces_of(translator_of(other), output), limits)
    return compare_heatmap(
        translator_of(one), translator_of(other), asked.text, target=output, words=asked.words
    )


def ticks_of(models: Models, name: str, phase: Phase) -> TicksResponse:
    """When each part of a model, or of an architecture, can be computed.

    Ticks do not depend on weights: what is looked at is a narrow model of the same architecture.
    """
    if name in models.by_name:
        title, config = name, models.by_name[name].folder.recipe.model
    elif name in {one.name for one in ARCHITECTURES}:
        known = architecture(name)
        title, config = known.title, known.model
    else:
        raise Fault(
            HTTPStatus.NOT_FOUND,
            f"there is no model {name[:100]!r}",
            why="it is neither served nor an architecture with a name",
            fix=nearest(name[:100], [*models.by_name, *(one.name for one in ARCHITECTURES)]),
        )
    subject = Model(name, title, partial(small, config))
    view = next(one for one in tick_views([subject]) if one.phase == phase)
    model = subject.built()
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


def map_message(one: AttentionMap) -> MapMessage:
    """A map, to be sent."""
    return MapMessage(rows=list(one.rows), columns=list(one.columns), weights=one.weights, title=one.title)


def alternatives_of(found: Translation) -> list[AlternativeMessage]:
    """The best outputs, to be sent."""
    return [AlternativeMessage(text=one.text, score=one.score) for one in found.alternatives]


def _layers(record: AttentionRecord) -> list[LayerNameMessage]:
    return [
        LayerNameMessage(layer=one.layer, role=one.role, heads=one.weights.shape[1])
        for one in record.values()
    ]

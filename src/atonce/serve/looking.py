"""What the page shows of one text, or of one model, computed on the thread of the models."""

from functools import partial
from http import HTTPStatus

from atonce.config import nearest
from atonce.decoding.translator import Translator
from atonce.explain.record import AttentionRecord, has_attention
from atonce.explain.texts.alignment import pharaoh, word_links
from atonce.explain.texts.comparison import compare_heatmap
from atonce.explain.texts.heatmap import Heatmap
from atonce.explain.texts.translation import attention_maps, attention_of, heatmap, side_of
from atonce.measure.work_span import work_span
from atonce.models.named import ARCHITECTURES, architecture
from atonce.serve.faults import Fault
from atonce.serve.messages import AlternativeMessage
from atonce.serve.served import Models, Served, rounded, side_message
from atonce.serve.view_messages import (
    ComparisonRequest,
    HeadMessage,
    HeadsResponse,
    HeatmapRequest,
    LayerNameMessage,
    LookRequest,
    LookResponse,
    MapMessage,
    Phase,
    RowMessage,
    TicksResponse,
)
from atonce.studies.measurement.phases import generation, sentences, small, teacher_forced, vocab_of
from atonce.studies.measurement.subjects import Model
from atonce.studies.measurement.tick_views import LENGTH, tick_views


def translator_of(served: Served) -> Translator:
    """What makes texts of texts. `Models.of_texts` has seen to it that it does."""
    assert isinstance(served.system, Translator)
    return served.system


def look(served: Served, asked: LookRequest) -> LookResponse:
    """A text, what became of it, and what belongs to what."""
    translator = translator_of(served)
    (found,) = translator.translate([asked.text], beam=asked.beam, nbest=asked.nbest)
    target = found.text if asked.target is None else asked.target
    common = {
        "model": served.name,
        "score": found.score,
        "alternatives": [AlternativeMessage(text=one.text, score=one.score) for one in found.alternatives],
    }
    if not has_attention(translator.model):
        source, output = (side_message(side_of(translator.tokenizer, text)) for text in (asked.text, target))
        return LookResponse(**common, source=source, target=output, layers=[])
    seen = attention_of(translator, asked.text, target)
    cross = bool(seen.record.of_role("cross"))
    shown = attention_maps(seen)[0] if cross else None
    return LookResponse(
        **common,
        source=side_message(seen.source),
        target=side_message(seen.target),
        layers=_layers(seen.record),
        map=shown
        and MapMessage(
            rows=list(shown.rows),
            columns=list(shown.columns),
            weights=rounded(shown.weights),
            title=shown.title,
        ),
        alignment=pharaoh(word_links(seen)) if cross else None,
    )


def heads(served: Served, asked: HeatmapRequest) -> HeadsResponse:
    """All heads of a layer."""
    seen = attention_of(translator_of(served), asked.text, asked.target)
    chosen = seen.choose(asked.layer)
    maps = attention_maps(seen, layer=asked.layer, head="all", words=asked.words, end=asked.end)
    return HeadsResponse(
        layer=chosen.layer,
        layers=_layers(seen.record),
        heads=[HeadMessage(head=n, weights=rounded(one.weights)) for n, one in enumerate(maps, start=1)],
    )


def drawn_heatmap(served: Served, asked: HeatmapRequest) -> Heatmap:
    """The heat map asked for."""
    return heatmap(
        translator_of(served), asked.text, target=asked.target, layer=asked.layer, head=asked.head,
        words=asked.words, end=asked.end,
    )  # fmt: skip


def drawn_comparison(one: Served, other: Served, asked: ComparisonRequest) -> Heatmap:
    """The maps of both, and their difference."""
    return compare_heatmap(
        translator_of(one), translator_of(other), asked.text, target=asked.target, words=asked.words
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


def _layers(record: AttentionRecord) -> list[LayerNameMessage]:
    return [
        LayerNameMessage(layer=one.layer, role=one.role, heads=one.weights.shape[1])
        for one in record.values()
    ]

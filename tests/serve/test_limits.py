"""What a request may take: refused in tokens before anything is allocated, stopped when nobody waits."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from pydantic import ValidationError

import atonce.pauses
import zoo
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.explain.beam_tree import beam_tree
from atonce.explain.influence import gradient_influence, occlusion_influence
from atonce.explain.recording import recorded_attention
from atonce.fast import accelerate
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.pauses import pausing
from atonce.serve.app import build_app
from atonce.serve.errors import HTTPError
from atonce.serve.inspect import comparison_of
from atonce.serve.limits import MB, Inspection, Limits, ModelSizes, fit_batch_sizes, priority_of
from atonce.serve.messages import ComparisonRequest, LookRequest, TranslateResponse
from atonce.serve.registry import ModelRegistry
from compiling import needs_kernels

LONG = "1 May 2000 " * 40


def translator_of(models: ModelRegistry) -> Translator:
    system = models.choose(None, "translation").system
    assert isinstance(system, Translator)
    return system


@pytest.fixture
def own(runs: dict[str, Path]) -> ModelRegistry:
    """ModelRegistry that a test may change."""
    return ModelRegistry.open([runs["texts"]])


def refusal(models: ModelRegistry, limits: Limits, path: str, body: dict[str, Any]) -> str:
    """All that is said of a request that is too much."""
    with TestClient(build_app(models, limits)) as client:
        answer = client.post(path, json=body)
        assert client.post("/v1/translate", json={"texts": ["a"]}).status_code == 200
    assert answer.status_code == 422, answer.text
    return " ".join(answer.json().values())


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/translate", {"texts": ["a", LONG]}, "text 2 has"),
        ("/v1/translate", {"texts": [LONG], "stream": True}, "text 1 has"),
        ("/v1/translate", {"texts": [LONG], "temperature": 1.0}, "text 1 has"),
        ("/v1/look", {"text": LONG}, "the text has"),
    ],
)
def test_texts_of_too_many_tokens_are_refused(
    models: ModelRegistry, path: str, body: dict[str, Any], said: str
) -> None:
    found = refusal(models, Limits(tokens=100, inspected=50), path, body)
    assert said in found
    assert "--max-tokens" in found or "--max-inspected" in found


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/translate", {"texts": ["a", LONG], "attention": True}, "text 2 has"),
        ("/v1/translate", {"texts": [LONG], "alignment": True}, "text 1 has"),
        ("/v1/look", {"text": "a", "target": LONG}, "the target has"),
        ("/v1/look", {"text": "a", "prefix": LONG}, "the prefix has"),
        ("/v1/look", {"text": " ", "target": LONG}, "the target has"),
        ("/v1/heads", {"text": "a", "target": LONG}, "the target has"),
        ("/v1/heatmap", {"text": LONG}, "the text has"),
        ("/v1/heatmap", {"text": "a", "target": LONG, "format": "csv"}, "the target has"),
        ("/v1/comparison", {"text": "a", "models": ["dates", "dates"], "target": LONG}, "the target has"),
        ("/v1/influence", {"text": LONG}, "the text has"),
        ("/v1/influence", {"text": "a", "target": LONG, "measure": "occlusion"}, "the target has"),
        ("/v1/beam", {"text": LONG}, "the text has"),
        ("/v1/beam", {"text": "a", "prefix": LONG}, "the prefix has"),
    ],
)
def test_what_is_looked_at_is_short(
    models: ModelRegistry, path: str, body: dict[str, Any], said: str
) -> None:
    found = refusal(models, Limits(inspected=50), path, body)
    assert said in found
    assert "50" in found
    assert "--max-inspected" in found


@pytest.mark.parametrize(
    "body",
    [
        {"texts": ["1 May 2000"] * 40, "beam": 4},
        {"texts": ["1 May 2000"] * 10, "nbest": 16, "temperature": 1},
    ],
)
def test_work_is_tokens_times_outputs_of_all_texts(models: ModelRegistry, body: dict[str, Any]) -> None:
    assert "--max-work" in refusal(models, Limits(work=1_000), "/v1/translate", body)
    with TestClient(build_app(models, Limits(work=1_000))) as client:
        few = {**body, "texts": body["texts"][:2]}
        assert client.post("/v1/translate", json=few).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/translate", {"texts": [LONG[:200]] * 9, "attention": True}),
        ("/v1/heads", {"text": LONG[:200], "target": LONG}),
        ("/v1/heatmap", {"text": LONG[:200], "target": LONG, "head": "all"}),
        ("/v1/influence", {"text": LONG[:200], "target": LONG}),
        ("/v1/beam", {"text": LONG[:200], "beam": 32}),
    ],
)
def test_memory_is_estimated_before_it_is_taken(
    models: ModelRegistry, path: str, body: dict[str, Any]
) -> None:
    assert "--max-memory" in refusal(models, Limits(memory=1), path, body)


def test_an_output_that_turns_out_too_long_is_refused_before_it_is_looked_at(models: ModelRegistry) -> None:
    """What a text becomes is known when it is there."""
    translator, text = translator_of(models), "1 May"
    read = len(translator.tokenizer.encode(text)) + 1
    assert len(translator.tokenizer.encode(translator.translate([text])[0].text)) + 1 > read
    said = refusal(models, Limits(inspected=read), "/v1/translate", {"texts": [text], "alignment": True})
    assert "an output has" in said
    for path in ("/v1/look", "/v1/heatmap", "/v1/influence"):
        assert "output has" in refusal(models, Limits(inspected=read), path, {"text": text})


def test_weights_are_counted_as_the_record_has_them(models: ModelRegistry) -> None:
    translator = translator_of(models)
    source, target = torch.tensor([[5] * 7]), torch.tensor([[6] * 4])
    with torch.inference_mode(), recorded_attention(translator.model) as record:
        translator.model(source, torch.ones_like(source, dtype=torch.bool), target)
    counted = sum(layer.weights.numel() for layer in record.values())
    assert ModelSizes(translator.model).weights(7, 4) == counted


def test_a_small_budget_of_memory_makes_smaller_batches_and_the_same_outputs(own: ModelRegistry) -> None:
    translator = translator_of(own)
    texts = [f"{day} May 2000" for day in range(1, 29)]
    before = [one.text for one in translator.translate(texts, beam=4)]
    translator.config = translator.config.model_copy(update={"batch_tokens": 10**9})
    fit_batch_sizes(translator, Limits(memory=1))
    assert translator.config.batch_tokens * 3 * ModelSizes(translator.model).position_bytes <= MB
    assert [one.text for one in translator.translate(texts, beam=4)] == before


def test_a_small_budget_of_memory_labels_fewer_at_once_and_alike(runs: dict[str, Path]) -> None:
    classifier = ModelRegistry.open([runs["labels"]]).choose(None, "classification").system
    assert isinstance(classifier, Classifier)
    images = list(np.random.default_rng(0).integers(0, 255, (9, *classifier.io_spec.source), dtype=np.uint8))
    before = [one.label for one in classifier.classify(images)]
    usual = classifier.positions_at_once
    fit_batch_sizes(classifier, Limits())
    assert classifier.positions_at_once == usual
    fit_batch_sizes(classifier, Limits(memory=1))
    assert classifier.positions_at_once < usual
    classifier.positions_at_once = 1
    assert [one.label for one in classifier.classify(images)] == before


@needs_kernels
def test_batches_that_are_searched_side_by_side_share_the_memory(
    own: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = translator_of(own)
    accelerate(translator.model.float())
    translator.config = translator.config.model_copy(update={"batch_tokens": 10**9})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    fit_batch_sizes(translator, Limits(memory=4))
    assert 4 * translator.config.batch_tokens * 3 * ModelSizes(translator.model).position_bytes <= 4 * MB


def test_small_requests_come_first() -> None:
    assert [priority_of(work) for work in (1, 2_000, 2_001, 20_000, 20_001)] == [0, 0, 1, 1, 2]


LOOKED_AT: dict[str, Callable[[Translator, str], object]] = {
    "greedy": lambda translator, text: translator.translate([text], beam=1),
    "beam": lambda translator, text: translator.translate([text], beam=4),
    "drawn": lambda translator, text: translator.translate([text], nbest=3, temperature=1.0),
    "prefix": lambda translator, text: translator.hypotheses(text, prefix=text),
    "segments": lambda translator, text: translator.translate([text * 200]),
    "stream": lambda translator, text: translator.stream(text, lambda _: None),
    "tree": lambda translator, text: beam_tree(translator, text, beam=3),
    "gradient": lambda translator, text: gradient_influence(translator, text, text * 20),
    "occlusion": lambda translator, text: occlusion_influence(translator, text, text * 20),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_all_long_work_pauses_and_can_be_ended(models: ModelRegistry, name: str) -> None:
    translator, paused = translator_of(models), 0

    def stop() -> None:
        nonlocal paused
        paused += 1
        if paused == 2:
            raise RecipeError("enough", why="it was the second pause", fix="none")

    with pytest.raises(RecipeError, match="enough"), pausing(stop):
        LOOKED_AT[name](translator, "1 May 2000 ")
    assert paused == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/translate", {"texts": [LONG], "attention": False}),
        ("/v1/translate", {"texts": [LONG], "stream": True}),
        ("/v1/translate", {"texts": [LONG], "temperature": 1.0, "nbest": 9}),
        ("/v1/look", {"text": "1 May 2000", "target": LONG}),
        ("/v1/influence", {"text": "1 May 2000", "target": LONG}),
        ("/v1/influence", {"text": "1 May 2000", "target": LONG, "measure": "occlusion"}),
        ("/v1/beam", {"text": "1 May 2000 31 March 1999", "beam": 9}),
    ],
)
def test_after_its_time_a_request_stops_at_the_next_step(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    """Steps are made slow, so that none of these would end within a minute."""
    last = [time.monotonic()]
    stopped = Event()

    def slow() -> None:
        meanwhile = atonce.pauses._meanwhile.get()
        time.sleep(0.1)
        last[0] = time.monotonic()
        assert meanwhile is not None
        try:
            meanwhile()
        except BaseException:
            stopped.set()
            raise

    for module in ("decoding.beam", "decoding.greedy", "decoding.hypothesis", "decoding.translator",
                   "explain.influence", "serve.inspect", "serve.translate"):  # fmt: skip
        monkeypatch.setattr(f"atonce.{module}.pause", slow)
    with TestClient(build_app(models, Limits(seconds=0.15))) as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 504 or "not ready in time" in answer.text
        assert stopped.wait(10)
        ended = last[0]
        time.sleep(0.25)
        assert last[0] == ended  # and no step was made after it


def test_work_of_influence_grows_with_what_is_read_and_written_alike(models: ModelRegistry) -> None:
    """A short text with a long output takes seconds: it waits for what is small."""
    translator, limits = translator_of(models), Limits(memory=10_000)
    long = Inspection("gradient", "a", LONG).estimated_work(translator, limits)
    assert priority_of(long) == 2
    assert Inspection("occlusion", LONG[:100], LONG).estimated_work(translator, limits) > 20 * len(
        translator.tokenizer.encode(LONG)
    )
    assert priority_of(Inspection("gradient", "1 May", "2000-05").estimated_work(translator, limits)) == 0


def test_influence_fits_also_with_very_many_tokens() -> None:
    """No more outputs are counted than there are words, and fewer go together where a score is large."""
    block = {"layers": 6, "heads": 8, "feed_forward": 2048}
    config = ModelConfig.model_validate(
        {"dim": 512, **{half: {"kind": "transformer", **block} for half in ("encoder", "decoder")}}
    )
    with torch.device("meta"):
        sizes = ModelSizes(build_model(config, 32_000))
    assert max(sizes.gradient(2, 2), sizes.occlusion(2, 2)) < 8 * MB
    assert max(sizes.gradient(60, 60), sizes.occlusion(60, 60)) < 120 * MB


def test_layers_of_every_half_count() -> None:
    config = ModelConfig.model_validate(
        {"dim": 8, "encoder": {"kind": "gru", "layers": 1}, "decoder": {"kind": "gru", "layers": 6}}
    )
    assert ModelSizes(build_model(config, 11)).layers == 6
    assert ModelSizes(build_model(zoo.config_of("convolution", "gru_none"), 11)).layers == 2


def test_a_forced_target_of_a_text_in_segments_takes_no_memory(models: ModelRegistry) -> None:
    """Nothing of it is looked at."""
    translator, text = translator_of(models), LONG * 20
    assert translator.in_segments(text)
    assert Inspection("look", text, "1 May 2000").estimated_work(translator, Limits(memory=40)) > 0


def test_a_text_is_as_short_for_the_second_of_two_models(
    models: ModelRegistry, own: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = models.choose_translator(None), own.choose_translator(None)
    tokens = translator_of(own).tokenizer.encode
    monkeypatch.setattr(
        translator_of(own).tokenizer, "encode", lambda text: tokens(text) * (60 if text == "1 May" else 1)
    )
    asked = ComparisonRequest(text="1 May", models=["one", "other"], target="a")
    with pytest.raises(HTTPError, match=r"the text has \d+ tokens"):
        comparison_of(one, other, asked, Limits(inspected=50))


def test_no_more_words_are_hidden_and_heads_dropped_than_there_can_be() -> None:
    for many in ({"hidden": [0] * 10_001}, {"dropped": {"a": [1] * 1_001}}):
        with pytest.raises(ValidationError):
            LookRequest.model_validate({"text": "a", **many})


def test_making_json_of_attention_has_the_time_of_its_request(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TranslateResponse, "model_dump_json", lambda *_, **__: time.sleep(0.8) or "{}")
    with TestClient(build_app(models, Limits(seconds=0.4))) as client:
        answer = client.post("/v1/translate", json={"texts": ["1 May"], "attention": True})
        assert answer.status_code == 504
        assert client.post("/v1/translate", json={"texts": ["1 May"]}).status_code == 200


def test_views_estimate_more_for_longer_texts(models: ModelRegistry) -> None:
    translator, limits = translator_of(models), Limits()
    for kind in ("look", "heads", "heatmap", "comparison", "gradient", "occlusion", "beam"):
        short, long = (
            Inspection(kind, text, None if kind == "beam" else text).estimated_work(translator, limits)
            for text in ("1 May", "1 May 2000 31 March 1999")
        )
        assert 0 < short < long

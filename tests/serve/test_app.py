import base64
import csv
import io
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import ValidationError

from atonce.decoding.classifier import Classifier
from atonce.decoding.translation import Alternative
from atonce.decoding.translator import Translator
from atonce.seeds import torch_seed
from atonce.serve.app import build_app
from atonce.serve.dispatcher import Batcher
from atonce.serve.json_format import _rounded, json_text
from atonce.serve.limits import Limits
from atonce.serve.messages import (
    ClassifyRequest,
    ComparisonRequest,
    LookRequest,
    OutputMessage,
    TextRequest,
)
from atonce.serve.middleware import HEADERS
from atonce.serve.registry import ModelRegistry, unique_names
from atonce.serve.translate import StreamJob, TranslateJob

DATES = ["Monday, 3 May 1999", "7. Juli 2021", "", "2 janvier 1950"]
HOSTILE = [
    "a\0b",
    "<script>alert(1)</script>",
    "‮RTL‬",
    "\ufeff",
    "𝕳𝖎 👩‍👩‍👧",
    "a" * 200,
    "'; DROP TABLE --",
    " \n\t ",
]


def translator_of(models: ModelRegistry) -> Translator:
    system = models.choose(None, "translation").system
    assert isinstance(system, Translator)
    return system


def refused(answer: Any, status: int) -> dict[str, str]:
    """The three lines of a refusal."""
    assert answer.status_code == status, answer.text
    fault: dict[str, str] = answer.json()
    assert set(fault) == {"what", "why", "fix"}
    assert all(fault.values())
    return fault


def test_translations_are_those_of_the_translator(client: TestClient, models: ModelRegistry) -> None:
    answer = client.post("/v1/translate", json={"texts": DATES})
    assert answer.status_code == 200
    expected = translator_of(models).translate(DATES)
    found = answer.json()
    assert found["model"] == "dates"
    assert found["translations"] == [
        {"text": one.text, "score": pytest.approx(one.score, abs=1e-5)} for one in expected
    ]


def test_nbest_alignment_and_attention_on_request(client: TestClient, models: ModelRegistry) -> None:
    asked = {"texts": DATES[:1], "nbest": 3, "beam": 4, "alignment": True, "attention": True}
    (found,) = client.post("/v1/translate", json=asked).json()["translations"]
    (expected,) = translator_of(models).translate(DATES[:1], nbest=3, beam=4)
    assert [one["text"] for one in found["alternatives"]] == [one.text for one in expected.alternatives]
    attention = found["attention"]
    cross = [layer for layer in attention["layers"] if layer["role"] == "cross"]
    weights = np.array(cross[-1]["weights"])
    target, source = attention["target"], attention["source"]
    assert weights.shape[1:] == (len(target["tokens"]), len(source["tokens"]))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=2e-3)
    pairs = [tuple(map(int, pair.split("-"))) for pair in found["alignment"].split()]
    assert all(s < len(source["words"]) - 1 and t < len(target["words"]) - 1 for s, t in pairs)


def test_draws_are_those_of_the_seed(client: TestClient, models: ModelRegistry) -> None:
    texts, largest = DATES[:3], 2**64 - 1
    torch.manual_seed(torch_seed(largest))
    found = translator_of(models).translate(texts, temperature=1.0, nbest=4)
    asked = {"texts": texts, "temperature": 1, "nbest": 4}
    for seed in (largest, str(largest)):
        told = client.post("/v1/translate", json={**asked, "seed": seed}).json()["translations"]
        assert [[one["text"] for one in best["alternatives"]] for best in told] == [
            [one.text for one in best.alternatives] for best in found
        ]
    assert client.post("/v1/translate", json=asked).json() != client.post("/v1/translate", json=asked).json()
    looked = client.post("/v1/look", json={"text": texts[0], "temperature": 1, "nbest": 4, "seed": 7})
    torch.manual_seed(7)
    (drawn,) = translator_of(models).translate(texts[:1], temperature=1.0, nbest=4)
    assert [one["text"] for one in looked.json()["alternatives"]] == [one.text for one in drawn.alternatives]


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "abc", "-1", str(2**64), 1e19, ""])
def test_what_is_no_seed_is_refused(client: TestClient, seed: object) -> None:
    asked = {"texts": ["a"], "temperature": 1, "seed": seed}
    fault = refused(client.post("/v1/translate", json=asked), 422)
    assert fault["why"] == "a seed is a whole number from 0 to 18446744073709551615 (2^64 - 1)"
    assert fault["fix"] == "give such a number"


def test_a_beam_beside_a_temperature_is_refused(client: TestClient) -> None:
    for path, text in (("/v1/translate", {"texts": ["a"]}), ("/v1/look", {"text": "a"})):
        fault = refused(client.post(path, json={**text, "temperature": 0.5, "beam": 2}), 422)
        assert "do not go together" in fault["what"]
        assert refused(client.post(path, json={**text, "temperature": -1}), 422)


def test_what_is_looked_at_is_what_is_translated(client: TestClient, models: ModelRegistry) -> None:
    """The page, the command line and programs show the same output."""
    (expected,) = translator_of(models).translate(DATES[:1])
    found = client.post("/v1/look", json={"text": DATES[0]}).json()
    assert found["target"]["text"] == expected.text
    assert found["score"] == pytest.approx(expected.score, abs=1e-4)
    assert len(found["confidence"]["words"]) == len(found["target"]["words"])
    assert np.array(found["map"]["weights"]).shape == (
        len(found["target"]["words"]),
        len(found["source"]["words"]),
    )
    forced = client.post("/v1/look", json={"text": DATES[0], "target": "1999-05-03"}).json()
    assert forced["target"]["text"] == "1999-05-03"
    assert forced["score"] < found["score"]
    hidden = client.post("/v1/look", json={"text": DATES[0], "hidden": [0], "prefix": "2"}).json()
    assert hidden["source"]["words"] == found["source"]["words"][1:]
    assert hidden["target"]["text"].startswith("2")
    drop = {"decoder.layers.0.cross_attention": [1, 2]}
    assert client.post("/v1/look", json={"text": DATES[0], "dropped": drop}).json()["score"] != found["score"]
    refused(client.post("/v1/look", json={"text": DATES[0], "dropped": {"nowhere": [1]}}), 422)
    refused(client.post("/v1/look", json={"text": DATES[0], "hidden": [99]}), 422)


def test_the_beam_is_a_tree_of_what_was_considered(client: TestClient) -> None:
    found = client.post("/v1/beam", json={"text": DATES[0], "beam": 2}).json()
    nodes = {node["id"]: node for node in found["nodes"]}
    for node in nodes.values():
        if node["parent"] is not None:
            parent = nodes[node["parent"]]
            assert node["total"] == pytest.approx(parent["total"] + node["log_probability"], abs=1e-4)
            assert node["step"] == parent["step"] + 1
    assert found["nbest"] == sorted(found["nbest"], key=lambda one: -one["score"])


@pytest.mark.parametrize("kind", ["spec", "json", "csv", "svg", "png", "pdf", "html"])
def test_heat_maps_come_in_any_format(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/heatmap", json={"text": DATES[0], "format": kind})
    assert answer.status_code == 200
    assert (kind == "spec") != ("attachment" in answer.headers.get("content-disposition", ""))
    if kind == "csv":
        rows = answer.text.splitlines()
        assert rows[0] == "map,row,row_token,column,column_token,weight"
        sums: dict[str, float] = {}
        for one in csv.DictReader(rows):
            sums[one["row"]] = sums.get(one["row"], 0) + float(one["weight"])
        assert list(sums.values()) == pytest.approx([1] * len(sums), abs=1e-3)


def test_a_word_that_looks_like_a_formula_is_marked_as_text(client: TestClient) -> None:
    answer = client.post("/v1/heatmap", json={"text": "=1+1 May", "target": "@a", "format": "csv"})
    tokens = {one["column_token"] for one in csv.DictReader(answer.text.splitlines())}
    assert not any(token.startswith("=") for token in tokens)


def test_ticks_are_of_served_models_and_of_architectures(client: TestClient) -> None:
    for model in ("dates", "additive-bigru"):
        found = client.get("/v1/ticks", params={"model": model, "phase": "generation"}).json()
        assert found["last"] == max(tick for row in found["rows"] for tick in row["ticks"])
        assert found["work"] > found["last"]
    assert "additive-bigru" in client.get("/v1/architectures").json()["architectures"]


def test_runs_have_recipe_scores_and_curves(client: TestClient, runs: dict[str, Path]) -> None:
    found = {one["name"]: one for one in client.get("/v1/runs").json()["runs"]}
    assert set(found) == {"dates", "labels"}
    assert found["dates"]["recipe"] == (runs["texts"] / "recipe.toml").read_text(encoding="utf-8")
    assert found["dates"]["scores"]["bleu"]["signature"].startswith("nrefs:1")
    assert found["dates"]["step"] == 12


def test_an_empty_text_has_an_empty_alignment(client: TestClient) -> None:
    asked = {"texts": [""], "alignment": True, "attention": True}
    assert client.post("/v1/translate", json=asked).json()["translations"] == [
        {"text": "", "score": 0.0, "alignment": ""}
    ]


def test_a_stream_grows_to_what_greedy_search_gives(client: TestClient, models: ModelRegistry) -> None:
    (expected,) = translator_of(models).translate(DATES[:1], beam=1)
    answer = client.post("/v1/translate", json={"texts": DATES[:1], "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in (block.split("\n") for block in answer.text.strip().split("\n\n"))
    ]
    *tokens, (last, done) = events
    assert {name for name, _ in tokens} == {"token"}
    assert last == "done"
    assert done["text"] == expected.text == tokens[-1][1]["text"]
    assert done["score"] == pytest.approx(expected.score, abs=1e-5)


def test_a_stream_that_takes_too_long_ends_in_words(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: StreamJob, texts: list[str]) -> list[Any]:
        self.on_token("so far")
        time.sleep(0.4)
        return [None] * len(texts)

    monkeypatch.setattr(StreamJob, "run", slow)
    with TestClient(build_app(models, Limits(seconds=0.2))) as client:
        said = client.post("/v1/translate", json={"texts": ["a"], "stream": True}).text
    assert "so far" in said
    assert "event: fault" in said
    assert "not ready in time" in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"texts": ["a", "b"]},
        {"beam": 2},
        {"nbest": 2},
        {"attention": True},
        {"alignment": True},
        {"temperature": 1},
    ],
)
def test_a_stream_is_greedy_and_of_one_text(client: TestClient, wrong: dict[str, Any]) -> None:
    fault = refused(client.post("/v1/translate", json={"texts": ["a"], "stream": True, **wrong}), 422)
    assert next(iter(wrong)) in fault["what"]


def test_images_are_labelled(client: TestClient, models: ModelRegistry) -> None:
    classifier = models.by_name["labels"].system
    assert isinstance(classifier, Classifier)
    ink = np.zeros((8, 8), dtype=np.uint8)
    ink[1:7, 3:5] = 250
    file = io.BytesIO()
    Image.fromarray(255 - ink).save(file, "png")
    image = base64.b64encode(file.getvalue()).decode()
    answer = client.post("/v1/classify", json={"images": [image]})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["labels"]
    (expected,) = classifier.classify([ink])
    assert found["label"] == expected.label
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert next(iter(found["probabilities"])) == expected.label

    assert "base64" in refused(client.post("/v1/classify", json={"images": ["%"]}), 422)["what"]
    no_picture = base64.b64encode(b"GIF89a but not really").decode()
    assert (
        "image 2" in refused(client.post("/v1/classify", json={"images": [image, no_picture]}), 422)["what"]
    )
    assert "images" in refused(client.post("/v1/classify", json={"texts": ["a"]}), 422)["what"]


def test_models_are_told_of(client: TestClient) -> None:
    found = {one["name"]: one for one in client.get("/v1/models").json()["models"]}
    assert list(found) == ["dates", "labels"]
    assert found["dates"]["task"] == "translation"
    assert found["dates"]["attention"]
    assert found["dates"]["weights"] > 0
    assert client.get("/health").json() == {"status": "ok", "waiting": 0}


def test_metrics_count_requests_by_route(client: TestClient) -> None:
    client.post("/v1/translate", json={"texts": ["a", "b"]})
    client.get("/nowhere/in/particular")
    text = client.get("/metrics").text
    assert 'atonce_requests_total{path="/v1/translate",status="200"} 1.0' in text
    assert 'atonce_requests_total{path="other",status="404"} 1.0' in text
    assert "atonce_batch_texts_sum 2.0" in text
    assert "particular" not in text


def test_refusals_say_what_why_and_what_to_do(client: TestClient) -> None:
    post = client.post
    fault = refused(post("/v1/translate", json={"texts": ["a"], "model": "datse"}), 404)
    assert "did you mean 'dates'" in fault["fix"]
    assert "classify" in refused(post("/v1/translate", json={"texts": ["a"], "model": "labels"}), 422)["fix"]
    assert "summarization" in refused(post("/v1/summarize", json={"texts": ["a"]}), 404)["what"]
    assert (
        "did you mean 'nbest'" in refused(post("/v1/translate", json={"texts": ["a"], "nbst": 2}), 422)["fix"]
    )
    assert "texts is missing" in refused(post("/v1/translate", json={}), 422)["what"]
    assert "9 texts" in refused(post("/v1/translate", json={"texts": ["a"] * 9}), 422)["what"]
    assert "text 2 has 201" in refused(post("/v1/translate", json={"texts": ["a", "b" * 201]}), 422)["what"]
    assert refused(post("/v1/translate", json={"texts": []}), 422)
    assert refused(post("/v1/translate", json={"texts": "a"}), 422)
    assert refused(post("/v1/translate", json={"texts": ["a"], "beam": 0}), 422)
    assert "Content-Type" in refused(post("/v1/translate", content=b'{"texts": ["a"]}'), 422)["fix"]
    assert refused(client.get("/v1/nothing"), 404)
    assert refused(client.get("/../../etc/passwd"), 404)
    wrong = client.get("/v1/translate")
    assert "POST" in refused(wrong, 405)["fix"]
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"null", 422),
        (b'{"texts": ["\xff"]}', 400),
        (b'{"texts": ["\\ud800"]}', 422),
        (b'{"texts": ["a"], "model": "\\ud800"}', 404),
        (b'{"\\ud800": 1, "texts": ["a"]}', 422),
        (b"[" * 10_000, 422),
        (b'{"texts": [' + b"1" * 5_000 + b"]}", 422),
        (b'{"texts": ["a"], "beam": 1e999}', 422),
        (b'{"texts": ["' + b"a" * 30_000 + b'"]}', 413),
    ],
)
def test_broken_bodies_are_refused_and_the_next_is_served(
    client: TestClient, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    refused(client.post("/v1/translate", content=body, headers=headers), status)
    assert client.post("/v1/translate", json={"texts": ["a"]}).status_code == 200


@pytest.mark.parametrize(
    "name", ["../dates", "/etc/passwd", "dates/../labels", "..\\\\x", "", "\0", "%2e%2e", "a" * 5_000]
)
def test_a_name_is_no_path(client: TestClient, name: str) -> None:
    fault = refused(client.post("/v1/translate", json={"texts": ["a"], "model": name}), 404)
    assert len(str(fault)) < 1_000
    refused(client.get("/v1/ticks", params={"model": name}), 404)
    assert client.get(f"/page/{quote(name)}").status_code in (404, 405)
    assert client.post("/v1/translate", json={"texts": ["a"]}).status_code == 200


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_translated(client: TestClient, text: str) -> None:
    answer = client.post("/v1/translate", json={"texts": [text], "alignment": True, "attention": True})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1/models", "/nowhere", "/health"])
def test_answers_come_with_headers_of_security(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_only_who_knows_the_token_is_answered(models: ModelRegistry) -> None:
    with TestClient(build_app(models, token="open-sesame")) as client:
        for given in ({}, {"Authorization": "Bearer open"}, {"Authorization": "open-sesame"}):
            answer = client.post("/v1/translate", json={"texts": ["a"]}, headers=given)
            refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/metrics", headers=given).status_code == 401
            assert client.get("/openapi.json", headers=given).status_code == 401
        knows = {"Authorization": "Bearer open-sesame"}
        assert client.post("/v1/translate", json={"texts": ["a"]}, headers=knows).status_code == 200
        assert client.get("/health").status_code == 200


def test_whoever_watches_over_it_is_told_when_the_models_are_gone(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batcher, "_run", lambda batcher: None)  # the thread ends at once
    with TestClient(build_app(models)) as client:
        assert "models" in refused(client.get("/health"), 503)["what"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 400)],
)
def test_a_page_from_elsewhere_gets_no_answer(models: ModelRegistry, host: str, status: int) -> None:
    app = build_app(models, hosts=("localhost", "127.0.0.1", "[::1]"))
    with TestClient(app) as client:
        assert client.get("/v1/models", headers={"Host": host}).status_code == status


def as_json(text: str) -> str:
    """A field of a request, as JSON spells it, beside a text."""
    return f'{{"texts": ["a"], "text": "a", {text}}}'


DEEP = "[" * 100_000 + "]" * 100_000
DEEPER = '{"a": ' * 99_999 + "1" + "}" * 99_999


@pytest.mark.parametrize("path", ["/v1/translate", "/v1/look", "/v1/heatmap", "/v1/classify", "/v1/beam"])
@pytest.mark.parametrize(
    "field",
    [
        '"beam": 1e999', '"temperature": 1e999', '"temperature": -1e400', '"temperature": NaN',
        '"x": Infinity', '"seed": -Infinity', f'"nbest": 1{"0" * 400}', f'"hidden": [1{"0" * 4_200}]',
        f'"beam": {"9" * 5_000}', '"x": 1e999', f'"x": {DEEP}', f'"texts": {DEEP}', f'"dropped": {DEEPER}',
        '"beam": true', '"beam": "2"', '"nbest": 2.5', '"temperature": "0.5"', '"words": 1',
        '"alignment": "yes"', '"beam": 2, "beam": 3', '"dropped": {"a": [1], "a": [2]}', '"hidden": [true]',
        f'"layer": "{"1" * 5_000}"', f'"head": "{"1" * 5_000}"', '"layer": "\\ud800"',
        '"x": {' + ", ".join(f'"{number}": 1' for number in range(1_001)) + "}",
    ],
)  # fmt: skip
def test_what_is_no_sound_value_is_refused(models: ModelRegistry, path: str, field: str) -> None:
    """Each in the way of requests that have such a field; to others it is unknown, which is refused, too."""
    client = _large_client(models)
    answer = client.post(path, content=as_json(field), headers={"Content-Type": "application/json"})
    assert len(str(refused(answer, 422))) < 1_000


@cache
def _large_client(models: ModelRegistry) -> TestClient:
    return TestClient(build_app(models, Limits(body=2_000_000)), raise_server_exceptions=False)


def test_a_list_is_refused_for_its_first_fault() -> None:
    """Not for half a million, each of which would be told of."""
    for request, body in (
        (TextRequest, {"texts": [1] * 1_000}),
        (ClassifyRequest, {"images": [1] * 1_000}),
        (LookRequest, {"text": "a", "hidden": [-1] * 1_000}),
        (LookRequest, {"text": "a", "dropped": {"a": [0] * 1_000}}),
        (ComparisonRequest, {"text": "a", "models": [1] * 1_000}),
    ):
        with pytest.raises(ValidationError) as refusal:
            request.model_validate(body)
        assert refusal.value.error_count() == 1


@pytest.mark.parametrize("value", [float("-inf"), float("inf"), float("nan")])
def test_what_is_no_finite_number_is_null_in_answers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def granted(self: Any, texts: list[str]) -> list[OutputMessage]:
        best = [Alternative(text="a", score=value)]
        return [OutputMessage(text="a", score=value, alternatives=best) for _ in texts]

    for job in (TranslateJob, StreamJob):
        monkeypatch.setattr(job, "run", granted)
    answer = client.post("/v1/translate", json={"texts": ["a"]})
    (found,) = json.loads(answer.text, parse_constant=pytest.fail)["translations"]
    assert found["score"] is None
    assert found["alternatives"][0]["score"] is None
    streamed = client.post("/v1/translate", json={"texts": ["a"], "stream": True}).text
    assert '"score": null' in streamed
    assert json_text({"a": [value, (1, {"b": value})]}) == '{"a": [null, [1, {"b": null}]]}'
    assert _rounded(np.array([[value, 0.12345]])) == [[None, 0.1234]]


def test_a_picture_is_base64_in_any_of_its_forms(client: TestClient) -> None:
    signs = _picture(Image.effect_noise((40, 40), 90))
    answers = [
        client.post("/v1/classify", json={"images": [form]})
        for form in (
            signs, signs.rstrip("="), signs.replace("+", "-").replace("/", "_"),
            f"data:image/png;base64,{signs}",
            "\r\n".join(signs[place : place + 76] for place in range(0, len(signs), 76)),
        )
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.text for answer in answers}) == 1
    for wrong in ("", "%", "a", signs[:-7] + "é", "data:image/png," + signs, "=" + signs):
        refused(client.post("/v1/classify", json={"images": [wrong]}), 422)


def test_pictures_are_bounded_in_number_and_in_pixels(models: ModelRegistry) -> None:
    """Too many are not told to come back."""
    few = _picture(Image.new("L", (100, 100)))
    limits = Limits(texts=300, queue=200, pixels=1_500_000)
    with TestClient(build_app(models, limits)) as client:
        assert "201 images" in refused(client.post("/v1/classify", json={"images": [few] * 201}), 422)["what"]
        assert client.post("/v1/classify", json={"images": [few] * 140}).status_code == 200
        assert "pixels" in refused(client.post("/v1/classify", json={"images": [few] * 151}), 422)["what"]
        large = _picture(Image.new("L", (1_100, 1_000)))
        assert client.post("/v1/classify", json={"images": [large]}).status_code == 200
        huge = _picture(Image.new("1", (2_000, 1_000)))
        assert "pixels" in refused(client.post("/v1/classify", json={"images": [huge]}), 422)["what"]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["ClassifyRequest"]
        assert schema["properties"]["images"]["anyOf"][0]["maxItems"] == 200
    assert "more than images" in refused(_classify(models, {"images": [few], "texts": ["a"]}), 422)["what"]


def _classify(models: ModelRegistry, body: dict[str, Any]) -> Any:
    return _large_client(models).post("/v1/classify", json=body)


def test_pictures_are_read_within_the_time_of_a_request(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def slow(content: bytes, shape: Any, *, name: str) -> Any:
        read.append(name)
        time.sleep(0.3)
        return np.zeros(shape, np.uint8)

    monkeypatch.setattr("atonce.serve.classify.image_of", slow)
    few = _picture(Image.new("L", (10, 10)))
    with TestClient(build_app(models, Limits(seconds=0.2))) as client:
        refused(client.post("/v1/classify", json={"images": [few] * 20}), 504)
        assert client.get("/health").status_code == 200
        time.sleep(0.5)
    assert len(read) <= 3  # it stopped at the next


def _picture(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def test_lengths_are_described_of_requests_alone(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    sent = {name for name in schemas if name.endswith("Request")}
    assert len(sent) == 8
    for name, schema in schemas.items():
        if name not in sent:
            assert not {"maxLength", "maxItems", "maximum"} & set(re.findall(r"\w+", json.dumps(schema)))
    for name in ("LookRequest", "BeamRequest"):
        (text,) = (one for one in [schemas[name]["properties"]["text"]])
        assert text["maxLength"] == 200
    score = schemas["OutputMessage"]["properties"]["score"]
    assert {one["type"] for one in score["anyOf"]} == {"number", "null"}


def test_a_full_queue_says_when_to_come_back(models: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = Event(), Event()

    def slow(self: TranslateJob, texts: list[str]) -> list[Any]:
        begun.set()
        assert go_on.wait(10)
        return granted(self, texts)

    granted = TranslateJob.run
    monkeypatch.setattr(TranslateJob, "run", slow)
    two = {"json": {"texts": ["a"] * 2}}
    with TestClient(build_app(models, Limits(queue=2))) as client, ThreadPoolExecutor(2) as others:
        first = others.submit(client.post, "/v1/translate", **two)
        assert begun.wait(10)
        second = others.submit(client.post, "/v1/translate", **two)
        try:
            while client.get("/health").json()["waiting"] < 2:
                time.sleep(0.01)
            answer = client.post("/v1/translate", **two)
        finally:
            go_on.set()
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_more_than_may_ever_wait_is_too_much(models: ModelRegistry) -> None:
    """It would never fit, however often it came back."""
    with TestClient(build_app(models, Limits(queue=2))) as client:
        refused(client.post("/v1/translate", json={"texts": ["a"] * 3}), 422)
        assert client.post("/v1/translate", json={"texts": ["a"] * 2}).status_code == 200


def test_an_answer_that_takes_too_long_is_not_waited_for(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: TranslateJob, texts: list[str]) -> list[Any]:
        time.sleep(0.3)
        return [None] * len(texts)

    monkeypatch.setattr(TranslateJob, "run", slow)
    with TestClient(build_app(models, Limits(seconds=0.1))) as client:
        refused(client.post("/v1/translate", json={"texts": ["a"]}), 504)


def test_a_fault_of_ours_is_confessed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TranslateJob, texts: list[str]) -> list[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(TranslateJob, "run", broken)
    fault = refused(client.post("/v1/translate", json={"texts": ["a"]}), 500)
    assert "ZeroDivision" not in str(fault)


def test_limits_are_in_the_description(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    texts = schemas["TextRequest"]["properties"]["texts"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (8, 200)
    assert "--max-work" in texts["description"]
    for name in ("LookRequest", "HeadsRequest", "HeatmapRequest", "InfluenceRequest", "ComparisonRequest"):
        assert "512 tokens" in schemas[name]["properties"]["target"]["description"]
        assert "--max-memory" in schemas[name]["description"]
    assert "--max-inspected" in schemas["BeamRequest"]["properties"]["prefix"]["description"]


def test_names_tell_runs_apart() -> None:
    assert unique_names([Path("/x/a"), Path("/y/b")]) == ["a", "b"]
    assert unique_names([Path("/x/a"), Path("/y/a"), Path("/y/b")]) == ["x/a", "y/a", "b"]


def test_a_run_without_its_examples_is_served(runs: dict[str, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs["texts"], tmp_path / "run"))
    assert ModelRegistry.open([run]).by_name["run"].examples
    shutil.rmtree(run / "examples")
    assert not ModelRegistry.open([run]).by_name["run"].examples


def test_what_heads_do_not_know_is_refused(client: TestClient) -> None:
    """Which head is a heat map's to ask: here there are all."""
    assert client.post("/v1/heads", json={"text": "a", "layer": "1"}).status_code == 200
    for unknown in ({"head": "mean"}, {"head": "no head"}, {"format": "png"}):
        refused(client.post("/v1/heads", json={"text": "a", **unknown}), 422)

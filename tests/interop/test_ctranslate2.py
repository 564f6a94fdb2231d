"""What is exported says the same as the run: score for score, text for text."""

from pathlib import Path

import pytest
import torch

import tiny
from atonce.decoding.opening import load_translator
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.interop.ctranslate2 import export
from atonce.runs.folder import RunFolder
from atonce.training.train import train

ctranslate2 = pytest.importorskip("ctranslate2")

SIDE = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 16}
OPTIONS = {
    "pre": {},
    "post": {"norm": "post", "activation": "gelu"},
    "modern": {"norm_kind": "rms", "activation": "swiglu", "positions": "learned"},
}
TEXTS = ["3 March 2021", "Dienstag, 5. Mai 1998", "12/25/07"]


@pytest.fixture(scope="module", params=OPTIONS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    side = SIDE | OPTIONS[request.param]
    recipe = tiny.recipe(model={"dim": 16, "encoder": side, "decoder": side})
    return train(recipe, tmp_path_factory.mktemp("runs") / request.param, quiet=True)


@pytest.fixture(scope="module")
def ours(run: RunFolder) -> Translator:
    return load_translator(run.path, device="cpu")


@pytest.fixture(scope="module")
def theirs(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = export(run.path, tmp_path_factory.mktemp("exported") / run.path.name)
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1)


def pieces(translator: Translator, text: str) -> list[str]:
    return translator.tokenizer.pieces(translator.tokenizer.encode(text))


@torch.inference_mode()
def score(translator: Translator, text: str, output: str) -> float:
    """The log-probability of an output, by teacher forcing."""
    tokenizer = translator.tokenizer
    ids = [*tokenizer.encode(output), tokenizer.eos]
    target_in = torch.tensor([[tokenizer.bos, *ids[:-1]]])
    features = translator.model(*translator.read([tokenizer.encode(text)]), target_in)
    found = translator.model.decoder.logits(features)[0].log_softmax(-1)
    return float(found.gather(1, torch.tensor(ids)[:, None]).sum())


def test_scores_are_the_same(ours: Translator, theirs: object) -> None:
    for text in TEXTS:
        found = theirs.score_batch([pieces(ours, text)], [pieces(ours, "2021-03-05")])[0]
        assert sum(found.log_probs) == pytest.approx(score(ours, text, "2021-03-05"), rel=1e-4)


def test_greedy_translations_are_the_same(ours: Translator, theirs: object) -> None:
    found = theirs.translate_batch(
        [pieces(ours, text) for text in TEXTS], beam_size=1, max_decoding_length=12
    )
    for text, result in zip(TEXTS, found, strict=True):
        with torch.inference_mode():
            ids = greedy(ours, text, 12)
        assert result.hypotheses[0] == ours.tokenizer.pieces(ids)


def greedy(translator: Translator, text: str, longest: int) -> list[int]:
    """Without what our search never writes: the likeliest piece each time."""
    tokenizer, model = translator.tokenizer, translator.model
    state = model.decoder.start(model.encode(*translator.read([tokenizer.encode(text)])))
    token, found = torch.tensor([tokenizer.bos]), []
    for _ in range(longest):
        logits, state = model.decoder.step(token, state)
        token = logits.argmax(-1)
        if token.item() == tokenizer.eos:
            break
        found.append(int(token))
    return found


def test_eight_bits_are_near(run: RunFolder, ours: Translator, tmp_path: Path) -> None:
    folder = export(run.path, tmp_path / "int8", quantization="int8")
    near = ctranslate2.Translator(str(folder), device="cpu", intra_threads=1)
    found = near.score_batch([pieces(ours, TEXTS[0])], [pieces(ours, "2021-03-05")])[0]
    assert sum(found.log_probs) == pytest.approx(score(ours, TEXTS[0], "2021-03-05"), rel=0.05)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (tiny.GRU, "gru encoder with a gru decoder"),
        ({**tiny.TRANSFORMER, "encoder": SIDE | {"positions": "rotary"}}, "windows or rotary"),
        ({**tiny.TRANSFORMER, "encoder": SIDE | {"key_value_heads": 1}}, "share keys and values"),
        ({**tiny.TRANSFORMER, "encoder": SIDE | {"norm": "post"}}, "differ in norm or heads"),
    ],
)
def test_what_it_cannot_run(model: dict[str, object], why: str, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", tiny.recipe(model=model))
    with pytest.raises(RunError, match=why):
        export(run.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()

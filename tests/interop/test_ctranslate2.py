"""What is exported says the same as the run, score for score and text for text, or there is no export."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.translator import Translator
from atonce.errors import DiskError, RunError
from atonce.interop import ctranslate2_model, ctranslate2_trial
from atonce.interop.ctranslate2 import Quantization, export
from atonce.models.config import ModelConfig, TransformerConfig
from atonce.runs.folder import RunFolder
from atonce.training.train import train
from random_runs import random_run

ctranslate2 = pytest.importorskip("ctranslate2")

SIDE = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 16}
OPTIONS: dict[str, dict[str, Any]] = {
    "pre": {},
    "post": {"norm": "post", "activation": "gelu"},
    "modern": {
        "norm_kind": "rms", "activation": "swiglu", "positions": "rotary", "heads": 4, "key_value_heads": 2
    },
}  # fmt: skip
OTHERWISE: dict[str, list[Any]] = {
    "kind": ["gru"],
    "layers": [1, 5],
    "heads": [1, 8],
    "key_value_heads": [1],
    "feed_forward": [1, 37],
    "activation": ["gelu", "swiglu"],
    "norm": ["post"],
    "norm_kind": ["rms"],
    "positions": ["learned", "rotary"],
    "window": [0, 3],
    "dropout": [0.5],
}
"""For each setting that a side has, values that are not those of SIDE."""
TEXTS = ["3 March 2021", "Dienstag, 5. Mai 1998", "12/25/07", "y"]


def tokens(translator: Translator, text: str) -> list[str]:
    return translator.tokenizer.tokens(translator.tokenizer.encode(text))


@torch.inference_mode()
def scores(translator: Translator, text: str, output: str) -> list[float]:
    """The log-probability of each token of an output, by teacher forcing."""
    tokenizer = translator.tokenizer
    ids = [*tokenizer.encode(output), tokenizer.eos]
    target_in = torch.tensor([[tokenizer.bos, *ids[:-1]]])
    features = translator.model(*translator.read([tokenizer.encode(text)]), target_in)
    found = translator.model.decoder.logits(features)[0].log_softmax(-1)
    return found.gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


def opened(folder: Path) -> Any:
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1)


def agrees(run: Path, folder: Path, outputs: list[str]) -> bool:
    """Whether an export gives these outputs the run's probabilities."""
    ours, theirs = Translator.load(run, device="cpu"), opened(folder)
    found = theirs.score_batch(
        [tokens(ours, text) for text in TEXTS], [tokens(ours, output) for output in outputs]
    )
    return all(
        one.log_probs == pytest.approx(scores(ours, text, output), abs=1e-4)
        for one, text, output in zip(found, TEXTS, outputs, strict=True)
    )


class TestTrained:
    @pytest.fixture(scope="class", params=OPTIONS)
    @classmethod
    def run(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
        side = SIDE | OPTIONS[request.param]
        recipe = tiny.recipe(model={"dim": 16, "encoder": side, "decoder": side})
        return train(recipe, tmp_path_factory.mktemp("runs") / request.param, quiet=True)

    @pytest.fixture(scope="class")
    @classmethod
    def ours(cls, run: RunFolder) -> Translator:
        return Translator.load(run.path, device="cpu")

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return export(run.path, tmp_path_factory.mktemp("exported") / run.path.name)

    def test_scores_are_the_same(self, run: RunFolder, folder: Path) -> None:
        assert agrees(run.path, folder, ["2021-03-05", "1998-05-05", "", "x" * 40])

    def test_greedy_translations_are_the_same(self, ours: Translator, folder: Path) -> None:
        found = opened(folder).translate_batch(
            [tokens(ours, text) for text in TEXTS], beam_size=1, max_decoding_length=12
        )
        for text, result in zip(TEXTS, found, strict=True):
            with torch.inference_mode():
                ids = greedy(ours, text, 12)
            assert result.hypotheses[0] == ours.tokenizer.tokens(ids)


def greedy(translator: Translator, text: str, longest: int) -> list[int]:
    """Without what our search never writes: the likeliest token each time."""
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


@pytest.mark.parametrize(
    ("side", "setting", "value"),
    [
        (side, setting, value)
        for side in ("encoder", "decoder")
        for setting in TransformerConfig.model_fields | {"kind": None}
        for value in OTHERWISE[setting]
    ],
)
def test_every_setting_of_one_side_is_exported_or_named(
    side: str, setting: str, value: Any, dates_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    sides = {"encoder": SIDE, "decoder": SIDE}
    sides[side] = {"kind": value} if setting == "kind" else SIDE | {setting: value}
    run = random_run(tmp_path / "run", dates_tokenizer, {"dim": 16, **sides})
    if setting in ("window", "kind"):
        with pytest.raises(RunError, match=f"model.{side}.{setting} is {value}") as fault:
            export(run.path, tmp_path / "out")
        assert len(str(fault.value).splitlines()) == 3
        assert not (tmp_path / "out").exists()
    else:
        export(run.path, tmp_path / "out")
        assert agrees(run.path, tmp_path / "out", ["2021-03-05", "1998-05-05", "", "x" * 40])


@st.composite
def sides(draw: st.DrawFn, dim: int) -> dict[str, Any]:
    heads = draw(st.sampled_from([heads for heads in (1, 2, 3, 4) if dim % (2 * heads) == 0]))
    shared = draw(st.sampled_from([None, *(few for few in range(1, heads + 1) if heads % few == 0)]))
    side = {
        "kind": "transformer",
        "layers": draw(st.integers(1, 3)),
        "heads": heads,
        "feed_forward": draw(st.integers(1, 40)),
        "activation": draw(st.sampled_from(["relu", "gelu", "swiglu"])),
        "norm": draw(st.sampled_from(["pre", "post"])),
        "norm_kind": draw(st.sampled_from(["layer", "rms"])),
        "positions": draw(st.sampled_from(["sinusoidal", "learned", "rotary"])),
    }
    more = {"key_value_heads": shared, "window": draw(st.sampled_from([None] * 9 + [2]))}
    return side | {key: value for key, value in more.items() if value is not None}


@given(st.data())
@settings(max_examples=14)
def test_two_sides_of_any_kind_are_exported_or_named(
    dates_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    dim = data.draw(st.sampled_from([12, 16, 24, 50]))
    model = {"dim": dim, "tied_embeddings": data.draw(st.booleans())}
    model |= {side: data.draw(sides(dim)) for side in ("encoder", "decoder")}
    folder = tmp_path_factory.mktemp("any")
    run = random_run(folder / "run", dates_tokenizer, model)
    windows = [f"model.{side}.window is 2" for side in ("encoder", "decoder") if "window" in model[side]]
    if windows:
        with pytest.raises(RunError, match=" and ".join(windows)):
            export(run.path, folder / "out")
    else:
        assert agrees(run.path, export(run.path, folder / "out"), ["2021-03-05", "1998-05-05", "", "x" * 40])


@pytest.mark.parametrize("setting", ModelConfig.model_fields)
def test_every_setting_of_a_model_is_known(setting: str) -> None:
    """A new one is a decision: is it exported, or refused?"""
    assert setting in ctranslate2_model.MODEL_SETTINGS | {"image"}


@pytest.mark.parametrize(
    ("data", "model", "named"),
    [
        (
            {"kind": "digits"},
            {"decoder": {"kind": "classifier"}},
            r"digits, which are images and model\.decoder\.kind is",
        ),
        (
            {"kind": "digit-strings"},
            {"image": {"kind": "rows"}},
            r"data\.kind is digit-strings, which are images",
        ),
        ({}, tiny.GRU, r"model\.encoder\.kind is gru and model\.decoder\.kind is gru;"),
    ],
)
def test_what_is_no_transformer_of_texts_is_named(
    data: dict[str, Any], model: dict[str, Any], named: str, tmp_path: Path
) -> None:
    run = RunFolder.create(tmp_path / "run", tiny.recipe(data=data, model=model))
    with pytest.raises(RunError, match=named) as fault:
        export(run.path, tmp_path / "out")
    assert len(str(fault.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("quantization", "dim"),
    [("int8", 10), ("int8", 36), ("int8_float32", 10), ("int16", 10), ("float16", 10), ("bfloat16", 10)],
)
def test_rounded_weights_are_near(
    quantization: Quantization, dim: int, dates_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    side = SIDE | {"heads": 1, "feed_forward": 7}
    run = random_run(tmp_path / "run", dates_tokenizer, {"dim": dim, "encoder": side, "decoder": side})
    folder = export(run.path, tmp_path / "out", quantization=quantization)
    ours = Translator.load(run.path, device="cpu")
    found = opened(folder).score_batch([tokens(ours, TEXTS[0])], [tokens(ours, "2021-03-05")])[0]
    assert found.log_probs == pytest.approx(scores(ours, TEXTS[0], "2021-03-05"), abs=0.6)
    assert f"rounded to {quantization}" in (folder / "README.md").read_text()


def test_a_model_that_ends_at_once(dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
    run = random_run(tmp_path / "run", dates_tokenizer, {**tiny.TRANSFORMER, "tied_embeddings": False})
    weights = run.load_weights()
    weights["decoder.output.weight"][dates_tokenizer.eos] = 3 * weights["decoder.final_norm.bias"].sign()
    weights["decoder.final_norm.bias"] *= 100
    run.save_weights(weights)
    assert Translator.load(run.path, device="cpu").outputs(TEXTS) == [""] * len(TEXTS)
    assert agrees(run.path, export(run.path, tmp_path / "out"), ["2021-03-05", "1998-05-05", "", "x" * 40])


class TestAnotherModel:
    """Whatever makes it another model is found, and nothing is left of it."""

    MODEL: ClassVar[dict[str, Any]] = {
        "dim": 16,
        "encoder": {**SIDE, **OPTIONS["modern"]},
        "decoder": {**SIDE, "activation": "gelu", "key_value_heads": 1},
    }  # fmt: skip

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, dates_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return random_run(tmp_path_factory.mktemp("run") / "run", dates_tokenizer, cls.MODEL).path

    @pytest.mark.parametrize(
        "wrong",
        [
            {"activation": 0},
            {"rotary_interleave": True},
            {"rotary_base": 5000},
        ],
    )
    def test_a_setting_is_wrong(
        self, wrong: dict[str, Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right = ctranslate2_model._options
        monkeypatch.setattr(ctranslate2_model, "_options", lambda *given: right(*given) | wrong)
        self.is_refused(run, tmp_path / "out")

    def test_a_norm_is_otherwise(self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ctranslate2_model, "EPSILON", 1e-2)
        self.is_refused(run, tmp_path / "out")

    @pytest.mark.parametrize("name", ["model.bin", "config.json", "shared_vocabulary.json"])
    def test_a_file_is_damaged(
        self, name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def save(spec: Any, folder: str) -> None:
            whole(spec, folder)
            content = (Path(folder) / name).read_bytes()
            (Path(folder) / name).write_bytes(content[: len(content) // 2])

        whole = ctranslate2.specs.TransformerSpec.save
        monkeypatch.setattr(ctranslate2.specs.TransformerSpec, "save", save)
        self.is_refused(run, tmp_path / "out", match="cannot run what was written|another model")

    def test_one_weight_of_many_is_otherwise(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def spec_of(*given: Any) -> Any:
            spec = right(*given)
            spec.decoder.layer[1].attention.linear[1].bias.array[-1] += 0.5
            return spec

        right = ctranslate2_model.spec_of
        monkeypatch.setattr("atonce.interop.ctranslate2.spec_of", spec_of)
        self.is_refused(run, tmp_path / "out")

    def test_keeping_keys_and_values_goes_wrong(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Forced outputs are right, and those that are written are not."""
        monkeypatch.setattr(
            ctranslate2_trial, "_log_probabilities", self.wrong_where_written(ctranslate2_trial)
        )
        self.is_refused(run, tmp_path / "out")

    @staticmethod
    def wrong_where_written(trial: Any) -> Any:
        right, calls = trial._log_probabilities, iter([0.0, 0.01, 0.0])

        def log_probabilities(*given: Any) -> list[torch.Tensor]:
            wrong = next(calls)
            return [one + wrong for one in right(*given)]

        return log_probabilities

    def test_rounding_may_not_change_everything(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ctranslate2_trial, "ROUNDED_LIMIT", 1e-6)
        self.is_refused(run, tmp_path / "out", quantization="int8", match="a token when rounded to int8")

    def test_float16_cannot_hold_all_weights(self, dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
        run = random_run(tmp_path / "run", dates_tokenizer, self.MODEL)
        weights = run.load_weights()
        weights["encoder.layers.0.feed_forward.output.bias"] += 1e5
        run.save_weights(weights)
        export(run.path, tmp_path / "exact")
        self.is_refused(run.path, tmp_path / "out", quantization="float16", match="nan a token when rounded")

    def test_weights_are_no_numbers(self, dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
        run = random_run(tmp_path / "run", dates_tokenizer, self.MODEL)
        weights = run.load_weights()
        weights["decoder.final_norm.weight"][3] = torch.nan
        run.save_weights(weights)
        self.is_refused(
            run.path, tmp_path / "out", match=r"decoder\.final_norm\.weight hold numbers that are not"
        )

    @staticmethod
    def is_refused(
        run: Path, folder: Path, *, match: str = "is another model, and deleted", **options: Any
    ) -> None:
        beside = sorted(os.listdir(folder.parent))
        with pytest.raises(RunError, match=match) as fault:
            export(run, folder, **options)
        assert len(str(fault.value).splitlines()) == 3
        assert sorted(os.listdir(folder.parent)) == beside


class TestFolder:
    def test_what_is_there_stays(self, dates_run: RunFolder, tmp_path: Path) -> None:
        folder = export(dates_run.path, tmp_path / "out")
        before = tiny.everything_in(folder)
        with pytest.raises(RunError, match="is there already"):
            export(dates_run.path, folder, quantization="int8")
        assert tiny.everything_in(folder) == before

    def test_a_run_without_its_examples_is_compared_on_random_tokens(
        self, dates_run: RunFolder, tmp_path: Path
    ) -> None:
        run = Path(shutil.copytree(dates_run.path, tmp_path / "run"))
        shutil.rmtree(run / "examples")
        assert "random pairs" in (export(run, tmp_path / "out") / "README.md").read_text()

    def test_somebody_else_was_faster(
        self, dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def save(spec: Any, folder: str) -> None:
            whole(spec, folder)
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "model.bin").write_text("another's")

        whole = ctranslate2.specs.TransformerSpec.save
        monkeypatch.setattr(ctranslate2.specs.TransformerSpec, "save", save)
        with pytest.raises(DiskError):
            export(dates_run.path, tmp_path / "out")
        assert tiny.everything_in(tmp_path) == {"out/model.bin": b"another's"}

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
    def test_nothing_half_is_left(
        self, error: BaseException, dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def save(spec: Any, folder: str) -> None:
            (Path(folder) / "model.bin").write_bytes(b"half")
            raise error

        monkeypatch.setattr(ctranslate2.specs.TransformerSpec, "save", save)
        with pytest.raises((DiskError, KeyboardInterrupt)):
            export(dates_run.path, tmp_path / "out")
        assert not list(tmp_path.iterdir())

    def test_the_run_is_as_it_was(self, dates_run: RunFolder, tmp_path: Path) -> None:
        before = tiny.everything_in(dates_run.path)
        export(dates_run.path, tmp_path / "out", quantization="int8")
        assert tiny.everything_in(dates_run.path) == before

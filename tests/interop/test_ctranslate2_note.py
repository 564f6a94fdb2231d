"""The program in the note does what atonce does, and what the note says of CTranslate2 is so."""

import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from atonce.data.config import VocabularyConfig
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.hypothesis import length_penalty
from atonce.decoding.translator import Translator
from atonce.interop.ctranslate2 import export
from atonce.interop.ctranslate2_model import positions
from atonce.interop.ctranslate2_note import differences, exponent, program
from random_runs import random_run

ctranslate2 = pytest.importorskip("ctranslate2")
sentencepiece = pytest.importorskip("sentencepiece")

SIDE = {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 16}
MODEL = {"dim": 16, "encoder": SIDE, "decoder": SIDE}
ODD = [
    "3 March 2021", "", "  ", "\t", "\u2003", "a\u2581b 3", "\u2581", "中 文 2021", " 3 March ", "1\t2",
    "1\n2", "e\u0301 5", "</s> <s> <unk> <pad> <0x41>", "2\u00a0Mai", "\U0001f600 2021", "\ufeff3 May",
]  # fmt: skip


def run_of(note: Path) -> SimpleNamespace:
    """What the program in a note defines, run in its folder."""
    (program,) = re.findall("```python\n(.*?)```", note.read_text(encoding="utf-8"), re.DOTALL)
    defined: dict[str, Any] = {"__name__": "program"}
    exec(program.replace('FOLDER = "."', f"FOLDER = {str(note.parent)!r}"), defined)
    return SimpleNamespace(**defined)


@pytest.fixture(scope="module", params=[1, 3])
def beam(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def run(beam: int, dates_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    decoding = {"beam": beam, "length_penalty": 0.7, "max_length_ratio": 0.1}
    return random_run(tmp_path_factory.mktemp("run") / "run", dates_tokenizer, MODEL, decoding=decoding).path


@pytest.fixture(scope="module")
def ours(run: Path) -> Translator:
    return Translator.load(run, device="cpu")


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run, tmp_path_factory.mktemp("exported") / "out")


@pytest.fixture(scope="module", name="program")
def _program(folder: Path) -> SimpleNamespace:
    return run_of(folder / "README.md")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1)


def test_the_program_gives_what_atonce_gives(program: SimpleNamespace, ours: Translator) -> None:
    for text in ODD:
        ((found, score),) = program.translate([text])
        (expected,) = ours.translate([text])
        assert found == expected.text
        # what tokens that are never written leave is shared out: less than a hundredth of a nat a token
        assert score == pytest.approx(expected.score, abs=0.1)
        assert score >= expected.score - 1e-4


def test_the_program_keeps_the_order_of_texts(program: SimpleNamespace) -> None:
    assert program.translate([]) == []
    assert [found == ("", 0.0) for found in program.translate(ODD)] == [not text.strip() for text in ODD]


def test_a_batch_is_as_each_text_by_itself(program: SimpleNamespace, ours: Translator) -> None:
    """However many tokens another of its texts may become."""
    texts = [*ODD, "\u200b", "1 " * 200, "3 March 2021. " * 400, "x" * 3000, "。" * 1000]
    assert [found for found, _ in program.translate(texts)] == [one.text for one in ours.translate(texts)]


@given(text=st.text(st.characters() | st.sampled_from("\u2581\ufdd0\ufdd1")))
def test_the_program_cuts_and_joins_as_atonce(text: str, program: SimpleNamespace, ours: Translator) -> None:
    tokenizer = ours.tokenizer
    tokens = tokenizer.tokens(tokenizer.encode(text))
    assert program.encode(text) == tokens
    assert program.decode(tokens) == " ".join(tokenizer.decode(tokenizer.encode(text)).splitlines())


@given(alpha=st.floats(0, 2), length=st.integers(5, 300))
def test_near_a_length_the_exponent_ranks_as_wu(alpha: float, length: int) -> None:
    p = exponent(alpha, float(length))
    for other in (length, length + 1, round(1.1 * length)):
        theirs = (other / length) ** p
        wu = length_penalty(other, alpha) / length_penalty(length, alpha)
        assert theirs == pytest.approx(wu, rel=0.01)


def test_what_ctranslate2_divides_scores_by(theirs: Any, program: SimpleNamespace) -> None:
    source = [program.encode("3 March 2021")]
    options = {"return_scores": True, "return_end_token": True, "beam_size": 1, "max_decoding_length": 7}
    (plain,) = theirs.translate_batch(source, length_penalty=0, **options)
    (divided,) = theirs.translate_batch(source, length_penalty=0.7, **options)
    assert divided.hypotheses == plain.hypotheses
    assert divided.scores[0] == pytest.approx(plain.scores[0] / len(plain.hypotheses[0]) ** 0.7, rel=1e-5)


def test_min_decoding_length_raises_scores(theirs: Any, program: SimpleNamespace) -> None:
    source = [program.encode("3 March 2021")]
    options = {"return_scores": True, "beam_size": 1, "max_decoding_length": 1}
    (least,) = theirs.translate_batch(source, min_decoding_length=0, **options)
    (usual,) = theirs.translate_batch(source, **options)
    assert usual.hypotheses == least.hypotheses
    assert usual.scores[0] > least.scores[0]


def test_what_is_too_long_is_cut_in_silence(theirs: Any) -> None:
    digits = ["1", "2", "3"] * 400
    (cut,) = theirs.score_batch([["1"]], [digits])
    assert len(cut.log_probs) == 1024
    with pytest.raises(RuntimeError, match="No position encodings are defined for positions >= 1024"):
        theirs.score_batch([["1"]], [digits], max_input_length=0)


def test_blank_lines_and_odd_signs_without_the_program(folder: Path, theirs: Any, ours: Translator) -> None:
    plain = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert theirs.translate_batch([[]])[0].hypotheses == [[]]
    assert theirs.translate_batch([plain.encode("  ", out_type=str)])[0].hypotheses != [[]]
    assert plain.encode("a\u2581b") != ours.tokenizer.encode("a\u2581b")


def test_unknown_words_without_the_program(tmp_path: Path) -> None:
    words = {"kind": "words", "size": 300}
    tokenizer = Tokenizer.train(["some words are known here"] * 9, VocabularyConfig.model_validate(words))
    run = random_run(tmp_path / "run", tokenizer, MODEL, vocabulary=words)
    folder = export(run.path, tmp_path / "out")
    plain = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    text = "some unheard words"
    assert plain.encode(text) != tokenizer.encode(text)
    assert run_of(folder / "README.md").encode(text) == tokenizer.tokens(tokenizer.encode(text))
    assert "Unknown words" in (folder / "README.md").read_text()


def test_positions_are_enough_for_the_recipe() -> None:
    assert positions(tiny.recipe()) == 1024
    assert positions(tiny.recipe(data={"max_length": 2000}, decoding={"max_length_ratio": 0.5})) == 2001
    assert positions(tiny.recipe(data={"max_length": 600}, decoding={"max_length_ratio": 3.0})) == 1811
    assert positions(tiny.recipe(decoding={"max_length_ratio": 1000.0})) == 32_768


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "rotary"])
def test_long_texts_are_read_as_they_are(kind: str, dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
    side = SIDE | {"positions": kind}
    model = {"dim": 16, "encoder": side, "decoder": side}
    sections = {"data": {"max_length": 1200}, "decoding": {"max_length_ratio": 0.01}}
    run = random_run(tmp_path / "run", dates_tokenizer, model, **sections)
    found = run_of(export(run.path, tmp_path / "out") / "README.md")
    text = "1 " * 550
    assert 1024 < len(found.encode(text)) < 1200
    (expected,) = Translator.load(run.path, device="cpu").translate([text])
    assert found.translate([text])[0][0] == expected.text


def test_summaries_are_of_the_beginning(dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
    data = {"kind": "docstrings", "max_length": 12}
    run = random_run(tmp_path / "run", dates_tokenizer, MODEL, data=data)
    found = run_of(export(run.path, tmp_path / "out") / "README.md")
    assert len(found.encode("3 March 2021 and so on and on")) == 12


@pytest.mark.parametrize(
    ("rule", "spelt", "told"),
    [
        ("none", " \ufb01\u200b e\u0301  x\t", "NFD is not NFC"),
        ("spaces", "\ufb01 e\u0301 x", "single spaces"),
        ("nfc", "\ufb01 \u00e9 x", "in NFC"),
        ("nfkc", "fi \u00e9 x", "in NFKC"),
    ],
)
def test_texts_are_spelt_as_in_training(rule: str, spelt: str, told: str, dates_tokenizer: Tokenizer) -> None:
    recipe, tokenizer = tiny.recipe(), Tokenizer(dates_tokenizer._model)
    vars(tokenizer)["normalization"] = rule
    lines = program(recipe, tokenizer, 12.0).splitlines()
    start = lines.index("def spelt(text):")
    defined: dict[str, Any] = {"re": re, "unicodedata": unicodedata}
    (no_width,) = [line for line in lines if line.startswith("NO_WIDTH")]
    exec("\n".join([no_width, *lines[start : start + 3]]), defined)
    assert defined["spelt"](" \ufb01\u200b e\u0301  x\t") == spelt
    assert told in "\n".join(differences(recipe, tokenizer, 12.0))


def test_what_differs_is_told_of_this_recipe(dates_tokenizer: Tokenizer) -> None:
    recipe = tiny.recipe(decoding={"beam": 5, "length_penalty": 0.6, "max_length_ratio": 1.5})
    told = "\n".join(differences(recipe, dates_tokenizer, 12.0))
    for part in (
        "((5 + n) / 6) ** 0.6", "0.424 is nearest at 12 tokens", "the recipe has 5", "1.5 tokens for each",
        "`min_decoding_length`", "`max_input_length`", "U+2581", "Blank lines", "256 tokens or more",
    ):  # fmt: skip
        assert part in told

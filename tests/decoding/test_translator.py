from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import atonce
from atonce.data.config import DatesConfig
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import segments
from atonce.decoding.hypothesis import Hypothesis
from atonce.decoding.search import drawing_bytes, search_bytes
from atonce.decoding.translation import Alternative, Translation
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError, RunError
from atonce.models.device import in_units
from atonce.models.weights import weights_of
from atonce.pauses import pausing
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import DecodingConfig, Recipe
from zoo import config_of, every_part, translator_of

TEXTS = [
    "10. Januar 2024",
    "",
    "Mittwoch, 3. Mai 1999",
    "mai",
    "  \t",
    "2024年1月10日",
    "ten days after the first of May, or the week before",
]


@pytest.fixture
def translator(dates_tokenizer: Tokenizer) -> Translator:
    return translator_of(dates_tokenizer, config_of("bigru", "gru_additive"), beam=3)


def texts_of(translations: list[Translation]) -> list[str]:
    return [translation.text for translation in translations]


@every_part
def test_batches_change_nothing(dates_tokenizer: Tokenizer, config) -> None:
    """However many sentences are searched together, and in whatever order they come."""
    large, small = (
        translator_of(dates_tokenizer, config, batch_tokens=tokens, beam=2, max_length_ratio=0.5)
        for tokens in (4096, 1)
    )
    together = large.translate(TEXTS)
    assert len(set(texts_of(together))) > 3
    backwards = large.translate(TEXTS[::-1])[::-1]
    for other in (small.translate(TEXTS), backwards):
        assert texts_of(other) == texts_of(together)
        assert [one.score for one in other] == pytest.approx([one.score for one in together], rel=1e-9)


@every_part
def test_what_is_encoded_together_changes_nothing(
    dates_tokenizer: Tokenizer, config, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = translator_of(dates_tokenizer, config, beam=2, max_length_ratio=0.5)
    together = translator.translate(TEXTS)
    monkeypatch.setattr("atonce.decoding.translator.ENCODED_AT_ONCE", 24)
    apart = translator.translate(TEXTS)
    assert texts_of(apart) == texts_of(together)
    assert [one.score for one in apart] == pytest.approx([one.score for one in together], rel=1e-9)


@every_part
def test_each_text_gets_its_own_output(
    dates_tokenizer: Tokenizer, config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also short texts, of several lengths: their outputs may be far longer than they are, and as long."""
    monkeypatch.setattr("atonce.decoding.translator.ENCODED_AT_ONCE", 12)
    translator = translator_of(dates_tokenizer, config, beam=1, max_length_ratio=2.0)
    texts = [
        "1 m",
        "mai",
        "3. Mai 99",
        "4",
        "10. Januar 2024",
        "5. mai",
        "6 ma",
        "日",
        "7 m 8",
        "x y z 9",
        "0",
    ]
    together, alone = translator.translate(texts), [translator.translate([text])[0] for text in texts]
    assert texts_of(together) == texts_of(alone)
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], rel=1e-9)
    assert len({one.score for one in alone}) == len(texts)


@pytest.mark.parametrize("longest_source", [256, 12])
def test_a_stream_grows_to_what_greedy_search_gives(dates_tokenizer: Tokenizer, longest_source: int) -> None:
    config = config_of("bigru", "gru_additive")
    translator = translator_of(dates_tokenizer, config, longest_source=longest_source, max_length_ratio=0.5)
    for text in TEXTS:
        heard: list[str] = []
        found = translator.stream(text, heard.append)
        assert found == translator.translate([text], beam=1)[0]
        assert heard[-1:] == ([found.text] if found.text else heard[-1:])
        assert [len(one) for one in heard] == sorted(len(one) for one in heard)


@pytest.mark.parametrize("longest_source", [256, 12])
def test_as_many_as_wanted_are_drawn_best_first(dates_tokenizer: Tokenizer, longest_source: int) -> None:
    translator = translator_of(
        dates_tokenizer,
        config_of("bigru", "gru_additive"),
        longest_source=longest_source,
        max_length_ratio=0.5,
    )
    torch.manual_seed(1)
    found = translator.translate(TEXTS, temperature=1.0, nbest=7)
    torch.manual_seed(1)
    assert translator.translate(TEXTS, temperature=1.0, nbest=7) == found
    for text, one in zip(TEXTS, found, strict=True):
        scores = [drawn.score for drawn in one.alternatives]
        assert len(scores) == 7
        assert scores == sorted(scores, reverse=True)
        assert one.alternatives[0] == Alternative(one.text, one.score)
        assert (len({drawn.text for drawn in one.alternatives}) > 1) == bool(text.strip())


def test_likely_outputs_are_drawn_again_each_for_its_own_text(translator: Translator) -> None:
    """So cold that the likeliest is drawn each time."""
    cold = translator.translate(TEXTS, temperature=1e-6, nbest=4)
    for one, greedy in zip(cold, translator.translate(TEXTS, beam=1), strict=True):
        assert [drawn.text for drawn in one.alternatives] == [greedy.text] * 4


def test_a_beam_and_a_temperature_are_refused_and_so_is_what_is_no_temperature(
    translator: Translator,
) -> None:
    for ask in (translator.translate, lambda texts, **how: translator.hypotheses(texts[0], **how)):
        with pytest.raises(RecipeError, match=r"beam of 1 and a temperature of 0\.5 do not go together"):
            ask(["mai"], beam=1, temperature=0.5)
        for wrong in (-1.0, float("nan"), float("inf")):
            with pytest.raises(RecipeError, match="cannot draw with a temperature"):
                ask(["mai"], temperature=wrong)
    assert len(translator.hypotheses("mai", temperature=1.0, draws=5)) == 5


@pytest.mark.parametrize("how", [{"nbest": 0}, {"nbest": -1, "temperature": 1.0}, {"beam": 0}])
def test_how_many_outputs_is_a_whole_number_from_one_on(
    translator: Translator, how: dict[str, float]
) -> None:
    with pytest.raises(RecipeError, match="cannot be"):
        translator.translate(["mai"], **how)  # type: ignore[arg-type]


def test_a_text_in_is_a_text_out_in_order(translator: Translator) -> None:
    translations = translator.translate(TEXTS)
    assert len(translations) == len(TEXTS)
    for text, translation in zip(TEXTS, translations, strict=True):
        (alone,) = translator.translate([text])
        assert translation.text == alone.text
        assert translation.score == pytest.approx(alone.score)
    assert translator.translate([]) == []


@pytest.mark.parametrize("blank", ["", " ", "\t\u2028\n"])
def test_what_is_blank_becomes_empty(translator: Translator, blank: str) -> None:
    assert translator.translate([blank], nbest=3) == [Translation("", 0.0, (Alternative("", 0.0),))]


def test_a_very_long_text_is_translated_in_parts_and_stays_one_line(dates_tokenizer: Tokenizer) -> None:
    config = config_of("bigru", "gru_additive")
    translator = translator_of(dates_tokenizer, config, longest_source=20, max_length_ratio=0.5)
    text = "Am 10. Januar ist es gut. Am 11. Mai, so! 日本は 2024年1月10日。"
    lengths: list[int] = []
    translator.model.encoder.register_forward_pre_hook(
        lambda _, inputs: lengths.append(int(inputs[1].sum(1).max()))
    )
    whole, short = translator.translate([text, "10. Mai"])
    assert max(lengths) <= 20
    parts = translator.translate(segments(text, dates_tokenizer, 20))
    assert len(parts) > 2
    assert whole.text == " ".join(texts_of(parts))
    assert whole.score == pytest.approx(sum(part.score for part in parts) / len(parts))
    assert whole.alternatives == (Alternative(whole.text, whole.score),)
    assert short.text == translator.translate(["10. Mai"])[0].text


def test_cutting_long_texts_pauses_after_each(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator.longest_source, paused = 20, list[int]()
    monkeypatch.setattr(translator, "_search", lambda sources, *_, **__: [[]] * len(sources))
    monkeypatch.setattr(translator, "_joined", lambda parts, *_: Translation("", 0.0, ()))
    with pausing(lambda: paused.append(1)):
        translator.translate([" ".join(TEXTS)] * 5)
    assert len(paused) == 5


@pytest.mark.parametrize("line_break", ["\u2028", "\n", "\r\n", "\x85"])
def test_an_output_is_one_line_also_where_its_tokens_spell_a_break(
    translator: Translator, line_break: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = translator.tokenizer.encode(f"10{line_break}20")
    monkeypatch.setattr(
        "atonce.decoding.search.greedy", lambda *_, **__: [Hypothesis((*tokens, 3), -1.0, -1.0)]
    )
    assert texts_of(translator.translate([f"a{line_break}b"], beam=1)) == ["10 20"]


@every_part
def test_alternatives_are_distinct_and_sorted_and_begin_with_the_best(
    dates_tokenizer: Tokenizer, config
) -> None:
    translator = translator_of(dates_tokenizer, config, beam=2, max_length_ratio=0.1)
    for translation in translator.translate(["10. Januar 2024", "mai"], nbest=4):
        scores = [one.score for one in translation.alternatives]
        assert scores == sorted(scores, reverse=True)
        assert 1 <= len(translation.alternatives) <= 4
        assert len({one.text for one in translation.alternatives}) == len(translation.alternatives)
        assert translation.alternatives[0] == Alternative(translation.text, translation.score)


def test_more_alternatives_widen_the_beam(translator: Translator) -> None:
    assert len(translator.translate(["mai"])[0].alternatives) == 1
    assert len(translator.translate(["mai"], nbest=6)[0].alternatives) > 3


def test_a_beam_of_one_is_the_recipes_where_it_says_so(dates_tokenizer: Tokenizer) -> None:
    wide, narrow = (
        translator_of(dates_tokenizer, config_of("bigru", "gru_additive"), beam=beam) for beam in (4, 1)
    )
    assert wide.translate(TEXTS, beam=1) == narrow.translate(TEXTS)


def test_drawing_at_random_depends_on_the_seed(translator: Translator) -> None:
    def drawn(seed: int) -> list[str]:
        torch.manual_seed(seed)
        return texts_of(translator.translate(TEXTS, temperature=2.0))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_one_text_gives_one_result_and_a_list_a_list(translator: Translator) -> None:
    for options in ({"beam": 3, "nbest": 2}, {"prefix": "a"}, {}):
        assert [[translator.translate(text, **options)] for text in TEXTS] == [
            translator.translate([text], **options) for text in TEXTS
        ]
    drawn = [
        translator.translate(texts, temperature=1.0, nbest=2, generator=torch.Generator().manual_seed(1))
        for texts in ("mai", ["mai"])
    ]
    assert [drawn[0]] == drawn[1]
    done: list[int] = []
    assert translator.translate("", on_progress=done.append).text == ""
    translator.translate("mai", on_progress=done.append)
    assert sum(done) == 1


def test_a_model_in_training_translates_without_dropout_and_goes_on_training(translator: Translator) -> None:
    expected = translator.translate(TEXTS)
    translator.model.train()
    assert translator.translate(TEXTS) == expected
    assert translator.model.training


def test_progress_is_told_in_segments(translator: Translator) -> None:
    done: list[int] = []
    translator.translate(TEXTS, on_progress=done.append)
    assert sum(done) == sum(bool(text.strip()) for text in TEXTS)


def test_a_source_ends_with_eos_and_padding_is_masked(translator: Translator) -> None:
    source, mask = translator.read([[7, 8], []])
    assert source.tolist() == [[7, 8, 3], [3, 0, 0]]
    assert mask.tolist() == [[True] * 3, [True, False, False]]


@pytest.fixture
def run(tmp_path: Path, dates_tokenizer: Tokenizer, translator: Translator) -> Path:
    """A run folder that holds `translator`."""
    recipe = Recipe(
        data=DatesConfig(),
        model=config_of("bigru", "gru_additive"),
        decoding=DecodingConfig(beam=3),
    )
    folder = RunFolder.create(tmp_path / "run", recipe)
    dates_tokenizer.save(folder.path / "tokenizer.model")
    single = {name: weight.float() for name, weight in weights_of(translator.model).items()}
    folder.save_weights(single)  # as trainings do: of other precision they would be refused
    return folder.path


def test_a_run_is_opened_as_it_was_saved(run: Path, translator: Translator) -> None:
    opened = atonce.load(run)
    assert not opened.model.training
    assert opened.config == translator.config
    assert opened.longest_source == DatesConfig().max_length
    translator.model.float()
    assert opened.translate(TEXTS) == translator.translate(TEXTS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "tokenizer.model").unlink(),
        lambda run: (run / "tokenizer.model").write_bytes(b"no model"),
        lambda run: (run / "model.safetensors").unlink(),
        lambda run: (run / "model.safetensors").write_bytes(b"no weights"),
        lambda run: (run / "recipe.toml").unlink(),
        lambda run: (run / "recipe.toml").write_text(
            (run / "recipe.toml").read_text().replace("dim = 8", "dim = 10")
        ),
    ],
    ids=["no tokenizer", "broken tokenizer", "no weights", "broken weights", "no recipe", "other recipe"],
)
def test_a_damaged_run_is_the_readers_to_mend(run: Path, damage: Callable[[Path], object]) -> None:
    damage(run)
    with pytest.raises(RunError) as error:
        Translator.load(run)
    assert error.value.why
    assert error.value.fix


@pytest.mark.parametrize(
    ("asked", "named", "rows"),
    [
        ({"beam": 10**6}, "the beam, or nbest,", "beginnings"),
        ({"nbest": 10**6}, "the beam, or nbest,", "beginnings"),
        ({"nbest": 10**6, "temperature": 1.0, "prefix": "1"}, "nbest", "draws"),
    ],
    ids=["beam", "nbest", "drawn"],
)
def test_what_would_take_more_memory_than_there_is_is_refused(
    translator: Translator, asked: dict[str, Any], named: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("atonce.models.device", "atonce.decoding.search"):
        monkeypatch.setattr(f"{module}.free_memory", lambda _: 2**32)
    with pytest.raises(
        RecipeError, match=r"this search takes at least .* GiB of memory, and 4.0 GiB"
    ) as told:
        translator.translate(["mai"], **asked)

    def needed(count: int) -> dict[str, int]:
        size = translator.tokenizer.size
        if rows == "draws":
            return drawing_bytes(size, 8, draws=count, forced=True)
        return search_bytes(size, 8, width=count, device=torch.device("cpu"))

    most = needed(10**6)
    assert f"at least {in_units(sum(most.values()))} of memory" in told.value.what
    scores = most[f"the scores of 1,000,000 {rows}"]
    assert told.value.why.startswith(f"{in_units(scores)} for the scores of 1,000,000 {rows}")
    fits = int(told.value.fix.removeprefix(f"lower {named} to ").removesuffix(" or less").replace(",", ""))
    assert sum(needed(fits).values()) <= 2**32 < sum(needed(fits + 1).values())


def test_what_is_drawn_once_needs_no_room_for_a_beam(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However wide the beam of the recipe is."""
    for module in ("atonce.models.device", "atonce.decoding.search"):
        monkeypatch.setattr(f"{module}.free_memory", lambda _: 2**28)
    monkeypatch.setattr(translator, "config", translator.config.model_copy(update={"beam": 10**6}))
    assert translator.translate(["mai"], temperature=1.0)
    with pytest.raises(RecipeError, match="this search takes"):
        translator.translate(["mai"])


@pytest.mark.parametrize("asked", [{"beam": 10**6 + 1}, {"nbest": 10**30}, {"beam": 0}])
def test_what_is_no_number_of_outputs_is_refused(translator: Translator, asked: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=r"from 1 to 1,000,000"):
        translator.translate(["mai"], **asked)


@pytest.mark.parametrize("temperature", [-1.0, 1001.0, float("inf"), float("nan")])
def test_temperatures_out_of_bounds_are_refused(translator: Translator, temperature: float) -> None:
    with pytest.raises(RecipeError, match="cannot draw with a temperature of"):
        translator.translate(["mai"], temperature=temperature)

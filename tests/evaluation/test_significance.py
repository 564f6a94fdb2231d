"""A difference is told from chance where there is one, and only there; and as sacreBLEU tells it."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.significance import PairedTest

from atonce.errors import DataError, RecipeError
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.significance import METRICS, Resampled, measures, paired_bootstrap, resampled
from atonce.evaluation.tasks import score

WORDS = [
    "das",
    "Gerät",
    "ist",
    "bereits",
    "eingerichtet",
    "eine",
    "Sprache",
    "für",
    "die",
    "Ausgabe",
    "von",
    "Zeit",
]


def texts(sentences: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(4, 9))) for _ in range(sentences)]


def damaged(references: list[str], share: float, seed: int) -> list[str]:
    """The references with a share of the words replaced."""
    chosen = random.Random(seed)
    return [
        " ".join(chosen.choice(WORDS) if chosen.random() < share else word for word in reference.split())
        for reference in references
    ]


REFERENCES = texts(120, seed=0)
GOOD, ALSO_GOOD, POOR = (damaged(REFERENCES, share, seed) for share, seed in [(0.2, 1), (0.2, 2), (0.6, 3)])


def test_a_system_does_not_differ_from_itself() -> None:
    for comparison in paired_bootstrap(GOOD, GOOD, REFERENCES, samples=100).metrics:
        assert comparison.p_value == 1
        assert (
            comparison.difference
            == comparison.difference_interval.low
            == comparison.difference_interval.high
            == 0
        )
        assert comparison.verdict == "undecided"


def test_a_clearly_better_system_is_found_better_by_every_metric() -> None:
    for comparison in paired_bootstrap(GOOD, POOR, REFERENCES, samples=300).metrics:
        assert comparison.p_value < 0.01
        assert comparison.verdict == "better"
    for comparison in paired_bootstrap(POOR, GOOD, REFERENCES, samples=300).metrics:
        assert comparison.verdict == "worse"


def test_two_systems_alike_are_undecided() -> None:
    for comparison in paired_bootstrap(GOOD, ALSO_GOOD, REFERENCES, samples=300).metrics:
        assert comparison.p_value > 0.05
        assert comparison.verdict == "undecided"


def test_equals_sacrebleus_paired_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    systems = [("baseline", POOR), ("system", damaged(REFERENCES, 0.57, 4))]
    metrics = ScoringLanguage.of(None, REFERENCES).metrics()
    _, theirs = PairedTest(systems, metrics, [REFERENCES], test_type="bs", n_samples=200)()
    ours = paired_bootstrap(
        systems[1][1], POOR, REFERENCES, samples=200, seed=7, metrics=["bleu", "chrf", "ter"]
    )
    for comparison, name in zip(ours.metrics, ["BLEU", "chrF2", "TER"], strict=True):
        baseline, system = theirs[name]
        assert 0.01 < comparison.p_value == system.p_value
        assert (comparison.baseline, comparison.system) == (baseline.score, system.score)
        # sacreBLEU adds up in float32 and gives half of the interval's width.
        for interval, half_width in [
            (comparison.baseline_interval, baseline.ci),
            (comparison.system_interval, system.ci),
        ]:
            assert (interval.high - interval.low) / 2 == pytest.approx(half_width, rel=1e-4)


def test_its_scores_are_those_of_an_evaluation() -> None:
    compared = paired_bootstrap(GOOD, POOR, REFERENCES, samples=2)
    system, baseline = score(GOOD, REFERENCES), score(POOR, REFERENCES)
    assert [comparison.metric for comparison in compared.metrics] == list(METRICS)
    for comparison in compared.metrics:
        assert comparison.system == getattr(system, comparison.metric)
        assert comparison.baseline == getattr(baseline, comparison.metric)
        assert comparison.signature == f"{system.signatures[comparison.metric]}|bs:2|seed:12345"


def test_a_seed_decides_everything() -> None:
    def compare(seed: int) -> object:
        return paired_bootstrap(GOOD, ALSO_GOOD, REFERENCES, samples=50, seed=seed, metrics=["chrf"])

    assert compare(0) == compare(0)
    assert compare(0) != compare(1)


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [(["设备已经配置好。", "我们都喜欢苹果"], "zh"), (["สวัสดีครับผม", "ฉันรักภาษาไทย"], "char")],
)
def test_both_systems_are_scored_in_the_language_of_the_references(texts: list[str], tokenizer: str) -> None:
    compared = paired_bootstrap(
        texts, [text[:-1] for text in texts], texts, samples=5, metrics=["bleu", "ter"]
    )
    bleu, ter = compared.metrics
    assert f"tok:{tokenizer}|" in bleu.signature
    assert bleu.system == pytest.approx(100)
    assert 0 < bleu.baseline < 100
    assert 0 < ter.baseline < 50


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_any_seed_draws(seed: int) -> None:
    (one,) = paired_bootstrap(GOOD, POOR, REFERENCES, samples=5, seed=seed, metrics=["exact"]).metrics
    assert one.signature.endswith(f"|seed:{seed}")


def test_what_is_no_seed_is_told() -> None:
    with pytest.raises(RecipeError, match="seed cannot be -1"):
        paired_bootstrap(GOOD, POOR, REFERENCES, samples=5, seed=-1, metrics=["exact"])


def test_the_sentence_for_people() -> None:
    compared = paired_bootstrap(GOOD, POOR, REFERENCES, samples=200, metrics=["chrf", "ter"])
    chrf, ter, method = compared.describe().splitlines()
    assert chrf.startswith("chrF ")
    assert chrf.endswith("better than the baseline.")
    assert ": -" in ter
    assert ter.endswith("better than the baseline.")
    assert method == "Paired bootstrap: 200 test sets drawn from 120 sentences, seed 12345."


def test_as_one_json_object() -> None:
    written = json.loads(json.dumps(paired_bootstrap(GOOD, POOR, REFERENCES, samples=40).to_dict()))
    assert set(written["metrics"]) == set(METRICS)
    assert set(written["metrics"]["bleu"]["difference_interval"]) == {"low", "high"}


def test_wrong_input_is_told() -> None:
    with pytest.raises(DataError, match="119 outputs of the baseline but 120 references"):
        paired_bootstrap(GOOD, POOR[1:], REFERENCES)
    with pytest.raises(DataError, match="nothing to score"):
        paired_bootstrap([], [], [])
    with pytest.raises(DataError, match="cannot draw 0 test sets"):
        paired_bootstrap(GOOD, POOR, REFERENCES, samples=0)


numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=200)


@given(numbers)
def test_an_interval_holds_the_middle_of_what_was_drawn(drawn: list[float]) -> None:
    interval = Resampled(0.0, np.array(drawn)).interval
    assert min(drawn) <= interval.low <= interval.high <= max(drawn)
    outside = sum(value < interval.low or value > interval.high for value in drawn)
    assert outside <= len(drawn) / 20


@given(numbers)
def test_a_difference_is_taken_draw_by_draw(drawn: list[float]) -> None:
    one = Resampled(1.0, np.array(drawn))
    shifted = Resampled(3.0, np.array(drawn) + 2.0)
    difference = shifted - one
    assert difference.value == 2
    assert difference.interval.low == pytest.approx(2)
    assert difference.interval.high == pytest.approx(2)


def test_equal_seeds_draw_equal_sentences_whatever_the_system() -> None:
    (measure,) = measures(["exact"], ScoringLanguage.of(None, ["a"]))
    right = measure.statistics(["a", "b", "c"], ["a", "x", "x"])
    wrong = measure.statistics(["x", "b", "c"], ["a", "b", "c"])
    one, other = (resampled(measure, of, samples=50, seed=[3, 1]) for of in (right, wrong))
    # Where one system is right, the other is not: on the same draws they add up to all.
    assert one.drawn + other.drawn == pytest.approx(100)
    another = resampled(measure, right, samples=50, seed=[3, 2])
    assert not np.array_equal(one.drawn, another.drawn)

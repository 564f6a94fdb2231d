"""Equal data, equal weights, equal budgets; and what broke off goes on only as it began."""

import json
import os
import random
import shlex
from pathlib import Path
from typing import Any

import pytest

import tiny
from atonce.decoding.load import load
from atonce.disk import owned
from atonce.errors import DiskError, RecipeError, RunError, TrainingError
from atonce.evaluation.intervals import SystemScores
from atonce.evaluation.tasks import score
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import load as load_recipe
from atonce.studies.comparison import compare as module
from atonce.studies.comparison.compare import Comparison, compare
from atonce.studies.comparison.results import CurvePoint, gain, lengths_of, seconds_to_quality
from atonce.studies.comparison.trial import GenerationSpeed, measure

MODELS = ["seq2seq-gru", "transformer"]
WEIGHTS = 60_000
RECIPE = tiny.recipe(training={"steps": 4, "validate_every": 2})


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    """Processes and speeds are for test_trial.py: they take longer than the trainings."""

    def speed(*_: object, **__: object) -> GenerationSpeed:
        return GenerationSpeed(100.0, 10.0)

    def run_trial(run: Path, name: str, *, pause_at: float | None, quiet: bool) -> None:
        if not (run / "trial.json").exists():
            measure(run, name, pause_at=pause_at, quiet=quiet)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "run_trial", run_trial)
        patched.setattr("atonce.studies.comparison.results.SAMPLES", 40)
        patched.setattr("atonce.studies.comparison.trial.generation_speed", speed)
        yield


def compared(folder: Path, **changed: Any) -> Comparison:
    options: dict[str, Any] = {"models": MODELS, "weights": WEIGHTS, "seeds": 2, "quiet": True}
    return compare(RECIPE, folder, **{**options, **changed})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compared(tmp_path_factory.mktemp("made") / "it's")


def test_there_is_a_page_the_same_numbers_and_a_run_for_each_model_and_seed(made: Comparison) -> None:
    folder = made.page.parent
    runs = {f"{model}-seed{seed}" for model in MODELS for seed in (1, 2)}
    assert {path.name for path in folder.iterdir()} == {
        *runs, "data", "plan.json", "shared.toml", "report.html", "report.json",
    }  # fmt: skip
    numbers = json.loads(made.numbers.read_text(encoding="utf-8"))
    assert numbers == json.loads(json.dumps(made.report.to_dict()))
    assert [model["name"] for model in numbers["models"]] == MODELS


def test_they_have_equal_weights_data_vocabulary_and_budgets(made: Comparison) -> None:
    recipes = []
    for model in made.report.models:
        assert model.weights == pytest.approx(WEIGHTS, rel=0.05)
        for run, seed in zip(model.runs, made.report.seeds, strict=True):
            folder = RunFolder.open(made.page.parent / run)
            assert folder.recipe.training.seed == seed
            assert folder.recipe.model.dim == model.dim
            training = folder.recipe.training.model_copy(update={"seed": 1})
            recipes.append(folder.recipe.model_copy(update={"model": RECIPE.model, "training": training}))
            data, own = tiny.everything_in(made.page.parent / "data"), tiny.everything_in(folder.path)
            sums, sums_of_run = (json.loads(one.pop("sums.json"))["files"] for one in (data, own))
            assert data.items() <= own.items()
            assert sums.items() <= sums_of_run.items()
    assert recipes == [RECIPE] * 4


def test_every_run_can_be_used_on_its_own(made: Comparison) -> None:
    for model in made.report.models:
        for run in model.runs:
            assert len(load(made.page.parent / run).translate(["3 May 2001"])) == 1


def test_scores_are_those_of_the_outputs_averaged_over_the_seeds(made: Comparison) -> None:
    for model in made.report.models:
        runs = [made.page.parent / run for run in model.runs]
        stored = [json.loads((run / "scores.json").read_text()) for run in runs]
        for metric in ("bleu", "chrf"):
            assert model.scores_by_seed[metric] == pytest.approx([scores[metric] for scores in stored])
            estimate = model.scores[metric]
            assert estimate.value == pytest.approx(sum(scores[metric] for scores in stored) / 2)
            assert estimate.low <= estimate.value <= estimate.high


def test_only_the_baseline_gains_nothing_over_itself(made: Comparison) -> None:
    baseline, other = made.report.models
    assert made.report.baseline == baseline.name == MODELS[0]
    assert baseline.gains == {}
    gained = other.gains["chrf"].overall
    assert gained.value == pytest.approx(other.scores["chrf"].value - baseline.scores["chrf"].value)


def test_curves_are_the_validations_of_the_log(made: Comparison) -> None:
    for model in made.report.models:
        assert [[point.step for point in curve] for curve in model.curves] == [[2, 4], [2, 4]]
        assert model.speeds.steps == 4
        assert model.speeds.train_tokens_per_second > 0


def test_the_command_makes_the_same_comparison(made: Comparison) -> None:
    words = shlex.split(made.report.command)
    assert words[:2] == ["atonce", "compare"]
    assert load_recipe(words[2]) == RECIPE
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--models"] == ",".join(MODELS)
    assert (options["--seeds"], options["--weights"]) == ("2", str(WEIGHTS))


# Going on


def test_resuming_a_finished_one_only_makes_its_report_again(made: Comparison) -> None:
    folder = made.page.parent
    before = {name: content for name, content in tiny.everything_in(folder).items() if "report" not in name}
    again = compared(folder, resume=True, baseline="transformer")
    after = {name: content for name, content in tiny.everything_in(folder).items() if "report" not in name}
    assert after == before
    assert again.report.models[0].scores == made.report.models[0].scores
    assert again.report.models[0].gains["bleu"].overall.value == pytest.approx(
        -made.report.models[1].gains["bleu"].overall.value
    )


def test_one_that_broke_off_trains_what_is_missing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    run_trial = module.run_trial

    def breaking(run: Path, name: str, *, pause_at: float | None, quiet: bool) -> None:
        if len(trained) == 1:
            raise TrainingError("it broke", why="a test", fix="none")
        trained.append(run.name)
        run_trial(run, name, pause_at=pause_at, quiet=quiet)

    monkeypatch.setattr(module, "run_trial", breaking)
    with pytest.raises(TrainingError):
        compared(tmp_path / "c", seeds=1)
    monkeypatch.setattr(module, "run_trial", run_trial)
    first = tiny.everything_in(tmp_path / "c" / trained[0])
    made = compared(tmp_path / "c", seeds=1, resume=True)
    assert tiny.everything_in(tmp_path / "c" / trained[0]) == first
    assert made.page.exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"models": ["seq2seq-gru", "mingru"]}, "models"),
        ({"seeds": 3}, "seeds"),
        ({"steps": 5}, "recipe.training.steps"),
        ({"minutes": 0.01}, "recipe.training.minutes"),
        ({"weights": 2 * WEIGHTS}, "weights"),
    ],
)
def test_it_goes_on_only_with_what_it_was_begun_with(
    made: Comparison, changed: dict[str, Any], named: str
) -> None:
    before = tiny.everything_in(made.page.parent)
    with pytest.raises(RunError, match="begun with something else") as caught:
        compared(made.page.parent, resume=True, **changed)
    assert named in caught.value.why
    assert tiny.everything_in(made.page.parent) == before


def test_what_is_there_is_not_overwritten(made: Comparison, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already holds a comparison") as caught:
        compared(made.page.parent)
    assert "--resume" in caught.value.fix
    (tmp_path / "thesis.tex").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunError, match="is not empty"):
            compared(tmp_path, resume=resume)
    assert tiny.everything_in(tmp_path) == {"thesis.tex": b"mine"}


def test_two_in_one_folder(made: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.disk.PATIENCE", 0.1)
    with (
        owned(made.page.parent, "compares"),
        pytest.raises(RunError, match=f"process {os.getpid()} compares here"),
    ):
        compared(made.page.parent, resume=True)


def test_what_a_kill_left_before_the_first_training_is_in_nobodys_way(tmp_path: Path) -> None:
    left = tmp_path / "c" / ".shared.toml.partial-77-1"
    left.mkdir(parents=True)
    for name in (".lock", "shared.toml"):
        (left / name).touch()
    (tmp_path / "c" / ".lock").touch()
    made = compared(tmp_path / "c", seeds=1, models=["transformer"])
    assert not [path.name for path in made.page.parent.iterdir() if path.name.startswith(".")]


def test_a_full_disk_is_told_with_what_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskError("cannot write it", why="No space left on device", fix="make room")

    with monkeypatch.context() as patched:
        patched.setattr(module, "run_trial", full)
        with pytest.raises(DiskError) as caught:
            compared(tmp_path / "c", seeds=1, models=["transformer"])
    assert caught.value.fix == "make room, then give the same command with --resume"
    assert compared(tmp_path / "c", seeds=1, models=["transformer"], resume=True).page.exists()


# What is refused before anything is trained


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"models": ["seq2seq-gru", "transfomer"]}, "did you mean 'transformer'"),
        ({"models": []}, "no model is named"),
        ({"models": ["mingru", "mingru"]}, "'mingru' is named twice"),
        ({"baseline": "mingru"}, "the baseline 'mingru' is not compared"),
        ({"seeds": 0}, "cannot train from 0 seeds"),
        ({"own_widths": True}, "--weights and --own-widths"),
        ({"minutes": 1.0, "steps": 2}, "keep one of"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, changed: dict[str, Any], what: str
) -> None:
    with pytest.raises(RecipeError, match=what):
        compared(tmp_path / "c", **changed)
    assert not list(tmp_path.iterdir())


def test_the_last_of_the_seeds_must_be_one_too(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot train from 2 seeds, the first being 18446744073709551615"):
        compare(tiny.recipe(training={"seed": 2**64 - 1}), tmp_path / "c", seeds=2, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_width_that_cannot_be_is_told_and_is_not_in_the_way_of_a_second_try(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no width gives"):
        compared(tmp_path / "c", weights=10)
    assert compared(tmp_path / "c", seeds=1, models=["transformer"]).page.exists()


def test_only_translation_is_compared(tmp_path: Path) -> None:
    recipe = tiny.recipe()
    summaries = recipe.model_copy(update={"data": recipe.data.model_copy(update={"task": "summarization"})})
    with pytest.raises(RecipeError, match="cannot compare models of summarization"):
        compare(summaries, tmp_path / "c", quiet=True)


# Measures


def test_every_sentence_has_one_length() -> None:
    sources = [" ".join(["word"] * (1 + i % 20)) for i in range(400)]
    found = lengths_of(sources)
    assert sorted(index for _, indices in found for index in indices) == list(range(400))
    for words, indices in found:
        assert all(len(sources[index].split()) in words for index in indices)


def test_lengths_that_few_sentences_have_are_left_out() -> None:
    assert [words.start for words, _ in lengths_of(["a b"] * 10 + ["a b c d e f"] * 9)] == [1]
    assert [words.start for words, _ in lengths_of(["我们喜欢用 Linux 系统"] * 10)] == [6]


def test_a_gain_on_long_sentences_is_told_from_one_on_all() -> None:
    chance = random.Random(1)
    references = [" ".join(chance.choices("abcdefgh", k=4 + i % 12)) for i in range(120)]
    long = [i for i, text in enumerate(references) if len(text.split()) >= 12]

    def damaged(seed: int, share: float) -> list[str]:
        chance = random.Random(seed)
        return [" ".join("x" if chance.random() < share else w for w in text.split()) for text in references]

    good, poor = damaged(1, 0.2), damaged(2, 0.6)
    fixed_vector = [poor[i] if i in long else good[i] for i in range(len(references))]
    outputs = {"attention": [good], "none": [fixed_vector]}
    gained = gain(
        SystemScores(outputs, references, metric="bleu", samples=200),
        "attention",
        "none",
        lengths_of(references),
    )
    assert gained.overall.value == pytest.approx(
        score(good, references).bleu - score(fixed_vector, references).bleu
    )
    assert gained.short is not None
    assert gained.long is not None
    assert gained.more_on_long is not None
    assert (gained.short.value, gained.short.high) == (0, 0)
    assert gained.long.low > 0
    assert gained.more_on_long.value == gained.long.value
    assert gained.more_on_long.is_sure


def test_seconds_to_a_quality_are_those_of_the_first_validation_that_showed_it_in_every_seed() -> None:
    def curve(*reached: tuple[float, float]) -> list[CurvePoint]:
        return [CurvePoint(i, seconds, 1.0, 1.0, chrf) for i, (seconds, chrf) in enumerate(reached)]

    one = curve((5.0, 9.0), (10.0, 12.0), (20.0, 31.0), (30.0, 29.0))
    other = curve((8.0, 15.0), (16.0, 25.0))
    assert seconds_to_quality([one, other]) == {"10": 9.0, "20": 18.0}
    assert seconds_to_quality([one]) == {"10": 10.0, "20": 20.0, "30": 20.0}

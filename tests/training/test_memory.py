"""Laws: weights and optimizer state are counted exactly; all else that is counted is there, too."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from atonce.data.batches import Batch, collate, plan_batches
from atonce.data.config import VocabularyConfig
from atonce.data.corpora.dates import generate
from atonce.data.pairs import Examples
from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.predictor import model_for
from atonce.errors import RecipeError
from atonce.models.architectures import ARCHITECTURES
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import Recipe
from atonce.training import memory
from atonce.training.loss import batch_loss
from atonce.training.memory import (
    Sizes,
    check_recipe_fits,
    check_training_fits,
    reading_bytes,
    scoring_bytes,
    training_bytes,
    with_batches,
    with_most,
)
from atonce.training.optimizers import WeightAverage, build_optimizers
from atonce.training.train import train
from peak import peak_growth
from zoo import every_part

CPU = torch.device("cpu")
IMAGES = {**tiny.GRU, "image": {"kind": "convolution", "channels": [4, 8]}}
LABELS = {**tiny.GRU, "image": {"kind": "patches"}, "decoder": {"kind": "classifier"}}
MODELS = {one.name: one.model.model_dump() for one in ARCHITECTURES} | {
    "untied": {**tiny.TRANSFORMER, "tied_embeddings": False},
    "learned positions": {**tiny.TRANSFORMER, "encoder": {"positions": "learned", "heads": 2}},
}


def small(kind: str, **options: object) -> dict[str, object]:
    return {"dim": 32, "encoder": {"kind": kind, "layers": 2}, "decoder": {"kind": kind, **options}}


SMALL = [
    *[small(kind, layers=2) for kind in ("transformer", "convolution", "mingru")],
    *[small(kind, attention="dot") for kind in ("gru", "lstm", "rnn")],
]


def bytes_of_weights(model: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def remembered_by(model: Seq2Seq, batch: Batch) -> tuple[torch.Tensor, int]:
    """The loss, and how many bytes its way back has to remember, weights not counted."""
    remembered: dict[int, int] = {}
    kept = []  # or another would be made in the same place
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            remembered[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = batch_loss(model, batch, 0.1).smoothed
    return loss, sum(remembered.values())


def after_a_step(recipe: Recipe, prepared: Prepared) -> dict[str, int]:
    """What a training holds after one step, by kind."""
    model = model_for(recipe.model, prepared.io_spec)
    optimizers = build_optimizers(model, recipe.training)
    average = WeightAverage(model, recipe.training.average)
    loss, _ = remembered_by(model, collate(prepared.train, np.arange(8)))
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    state = [tensor for optimizer in optimizers for of in optimizer.state.values() for tensor in of.values()]
    return {
        "weights": bytes_of_weights(model),
        "their gradients": sum(
            weight.grad.nbytes for weight in model.parameters() if weight.grad is not None
        ),
        "the optimizer's state": sum(tensor.nbytes for tensor in state if tensor.ndim),
        "the average of the weights": sum(tensor.nbytes for tensor in average.weights.values()),
    }


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("model", SMALL)
def test_what_is_counted_is_what_is_allocated(prepared_dates: Path, model: dict, optimizer: str) -> None:
    recipe = tiny.recipe(model=model, training={"optimizer": optimizer, "average": 0.9})
    prepared = open_prepared(prepared_dates)
    sizes = Sizes(prepared.tokenizer.size, gradients=True, state=True)
    held = after_a_step(recipe, prepared)
    for counting in (training_bytes, reading_bytes):
        counted = counting(recipe, sizes)
        assert {name: counted[name] for name in held} == held


def activations(recipe: Recipe, sizes: Sizes) -> int:
    return reading_bytes(recipe, sizes)["activations of a batch"]


def batch_of(rows: int, source: int, target: int) -> Batch:
    read, written = torch.ones(rows, source, dtype=torch.long), torch.ones(rows, target, dtype=torch.long)
    return Batch(read, read > 0, written, written, written > 0)


@every_part
@pytest.mark.parametrize("lengths", [(40, 2), (2, 20)])
def test_activations_are_counted_on_each_side(config: ModelConfig, lengths: tuple[int, int]) -> None:
    """Whichever is the longer one, also where no dropout is remembered."""
    sides = {
        name: side.model_copy(update={"dropout": 0.0, "layers": layers})
        for name, side, layers in (("encoder", config.encoder, 1), ("decoder", config.decoder, 4))
    }
    recipe = tiny.recipe(model=config.model_copy(update=sides).model_dump())
    _, remembered = remembered_by(build_model(recipe.model, 300), batch_of(8, *lengths))
    counted = activations(recipe, Sizes(300, read=8 * lengths[0], written=8 * lengths[1]))
    assert 0.02 * remembered < counted < remembered


def examples_of(sources: Sequence[int], targets: Sequence[int]) -> Examples:
    """Of these lengths, and nothing else."""
    ends = np.append(0, np.stack([sources, targets], axis=1).cumsum())
    return Examples(np.zeros(ends[-1], np.uint16), ends)


def test_a_batch_of_summaries_is_long_on_one_side() -> None:
    recipe = tiny.recipe(training={"batch_tokens": 1000})
    sizes = with_batches(recipe, Sizes(300), examples_of([250] * 20, [4] * 20), 1)
    assert (sizes.read, sizes.written) == (1000, 16)
    assert sizes.held == sum(one.nbytes for one in batch_of(4, 250, 4).tensors().values())
    shared = with_batches(recipe, Sizes(300), examples_of([250] * 20, [4] * 20), 3)
    assert (shared.read, shared.written) == (500, 8), "rows are shared by three processes"


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("together", [1, 3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_no_more_is_counted_than_the_batches_that_are_read_take(steps: int, together: int, seed: int) -> None:
    """Of all moments of a training in which a batch was read, the one that takes most."""
    draw = np.random.default_rng(seed)
    train = examples_of(np.append(draw.integers(1, 30, 60), 400), np.append(draw.integers(1, 30, 60), 3))
    training = {"batch_tokens": 100, "accumulate": together, "steps": steps, "seed": seed}
    recipe = tiny.recipe(training=training)

    shapes: list[tuple[int, int, int]] = []
    for epoch in count():
        if len(shapes) >= steps * together:
            break
        for batch in plan_batches(
            train.source_lengths, train.target_lengths, batch_tokens=100, seed=seed, epoch=epoch
        ):
            sides = (int(side[batch].max()) for side in (train.source_lengths, train.target_lengths))
            shapes.append((len(batch), *sides))
    moments = []
    for first in range(0, steps * together, together):
        of_update = shapes[first : first + together]
        held = sum(rows * (9 * source + 17 * target) for rows, source, target in of_update)
        moments += [
            Sizes(300, None, None, rows * source, rows * target, held, number > 0, first > 0)
            for number, (rows, source, target) in enumerate(of_update)
        ]
    real = [sum(reading_bytes(recipe, moment).values()) for moment in moments]
    counted = with_batches(recipe, Sizes(300), train, 1)
    assert 0.5 * max(real) < sum(reading_bytes(recipe, counted).values()) <= max(real)
    assert counted.held <= max(moment.held for moment in moments)
    assert sum(reading_bytes(recipe, with_most(recipe, Sizes(300), train)).values()) >= max(real)


STRINGS = {"kind": "digit-strings", "images": 100, "valid_size": 8, "test_size": 8}
CHARACTERS = {"kind": "characters", "size": 300}


@pytest.fixture(scope="module")
def prepared_strings(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    recipe, folder = tiny.recipe(data=STRINGS, vocabulary=CHARACTERS), tmp_path_factory.mktemp("strings")
    prepare(recipe.data, recipe.vocabulary, folder, quiet=True)
    return open_prepared(folder)


@pytest.mark.parametrize("kind", ["whole", "rows", "columns", "patches", "convolution"])
def test_an_image_is_as_many_positions_as_the_model_makes_of_it(
    kind: str, prepared_strings: Prepared
) -> None:
    recipe = tiny.recipe(
        data=STRINGS, vocabulary=CHARACTERS, training={"batch_tokens": 700},
        model={**tiny.TRANSFORMER, "image": {"kind": kind}},
    )  # fmt: skip
    train, tokenizer = prepared_strings.train, prepared_strings.tokenizer
    sizes = Sizes(tokenizer.size, image=prepared_strings.io_spec.source)
    found = with_batches(recipe, sizes, train, 1)
    batch = collate(train, np.arange(700 // 88))
    model = model_for(recipe.model, prepared_strings.io_spec)
    states = model.encode(batch.source, batch.source_mask).states
    assert found.read == states[..., 0].numel()
    assert found.held >= sum(one.nbytes for one in batch.tensors().values())
    _, remembered = remembered_by(model, batch)
    assert activations(recipe, replace(found, written=batch.target_in.numel())) < remembered
    most = with_most(recipe, sizes, train)
    assert most.read >= found.read
    assert most.held >= found.held


WIDE = {"kind": "transformer", "layers": 3, "heads": 2, "feed_forward": 256}
LEARNED = {
    "transformer": {"model": {"dim": 128, "encoder": WIDE, "decoder": WIDE}},
    "recurrent": {"model": {**tiny.GRU, "dim": 256}},
    "convolution": {"model": {**small("convolution", layers=3), "dim": 128}},
    "images": {
        "data": STRINGS, "vocabulary": CHARACTERS,
        "model": {"dim": 64, "image": {"kind": "patches", "size": 2}, "encoder": WIDE, "decoder": WIDE},
    },
    "summaries": {
        "data": {"kind": "tsv", "columns": ("1", "2"), "valid_size": 8, "test_size": 8},
        "model": {"dim": 64, "encoder": {**WIDE, "layers": 1}, "decoder": {**WIDE, "layers": 12}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNED)
def test_a_training_takes_what_was_counted(name: str, tmp_path: Path) -> None:
    sections = LEARNED[name]
    if name == "summaries":
        file = tmp_path / "texts.tsv"
        file.write_text("".join(f"{'one two three ' * 20}{i}\t{i % 7}\n" for i in range(100)))
        sections = {**sections, "data": {**sections["data"], "path": str(file)}}
    training = {"steps": 2, "batch_tokens": 1000, "validate_every": 2, "accumulate": 2}
    recipe = tiny.recipe(**sections, training=training)
    taken = peak_growth(lambda: train(recipe, tmp_path / "run", quiet=True))
    prepared = open_prepared(tmp_path / "run")
    image = prepared.io_spec.source if name == "images" else None
    sizes = with_batches(recipe, Sizes(prepared.tokenizer.size, image=image), prepared.train, 1)
    counted = max(sum(counting(recipe, sizes).values()) for counting in (training_bytes, reading_bytes))
    assert 0.05 * taken < counted < taken


@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_is_counted_exactly(name: str) -> None:
    recipe = tiny.recipe(model=MODELS[name])
    model = build_model(recipe.model, 500)
    assert training_bytes(recipe, Sizes(500))["weights"] == bytes_of_weights(model)
    assert training_bytes(recipe, Sizes(500))["weights"] == scoring_bytes(recipe, Sizes(500), CPU)["weights"]


def test_models_of_images_and_labels_are_counted_exactly() -> None:
    strings = {"kind": "digit-strings", "images": 100}
    for data, model, labels in ((strings, IMAGES, None), ({"kind": "digits"}, LABELS, 7)):
        recipe = tiny.recipe(data=data, model=model)
        built = build_model(recipe.model, 0 if labels else 300, image=(12, 44), labels=labels)
        sizes = Sizes(0 if labels else 300, labels=labels, image=(12, 44))
        assert training_bytes(recipe, sizes)["weights"] == bytes_of_weights(built)


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm", "convolution", "mingru"])
def test_deep_models_are_counted_by_shallow_ones(kind: str) -> None:
    model = {"dim": 16, "encoder": {"kind": kind, "layers": 9}, "decoder": {"kind": kind, "layers": 6}}
    recipe = tiny.recipe(model=model)
    assert training_bytes(recipe, Sizes(300))["weights"] == bytes_of_weights(build_model(recipe.model, 300))


def given(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    """So much memory is free."""
    monkeypatch.setattr("atonce.models.device.free_memory", lambda _: free)
    monkeypatch.setattr(memory, "free_memory", lambda _: free)


def test_a_training_is_begun_where_there_is_just_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny.recipe()
    needed = max(
        sum(parts.values())
        for parts in (training_bytes(recipe, Sizes(260)), scoring_bytes(recipe, Sizes(260), CPU))
    )
    given(monkeypatch, needed)
    check_recipe_fits(recipe, CPU)
    given(monkeypatch, needed - 1)
    with pytest.raises(RecipeError, match=r"of memory, and .* are free"):
        check_recipe_fits(recipe, CPU)
    given(monkeypatch, None)
    check_recipe_fits(recipe, CPU)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("model", "dim", 2**20, "for weights"),
        ("decoding", "beam", 10**6, "the scores of 1,000,000 beginnings"),
    ],
)
def test_too_much_is_refused_with_what_fits(
    section: str, key: str, value: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, 2**28)
    changed = {**tiny.TRANSFORMER, key: value} if section == "model" else {key: value}
    recipe = tiny.recipe(**{section: changed})
    with pytest.raises(RecipeError) as refused:
        train(recipe, tmp_path / "run", quiet=True)
    assert "at least" in refused.value.what
    assert "256.0 MiB are free" in refused.value.what
    assert said in refused.value.why
    assert not (tmp_path / "run").exists(), "nothing is prepared, nothing is left"
    smaller = refused.value.fix.split(f"{section}.{key} to ")[1].split(", or")[0].replace(",", "")
    assert int(smaller) < value
    values = recipe.model_dump()
    values[section][key] = int(smaller)
    check_recipe_fits(Recipe.parse(values, origin="as it was told"), CPU)


def test_what_only_the_data_tell_is_refused_and_leaves_nothing(
    prepared_dates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = open_prepared(prepared_dates)
    recipe = tiny.recipe(training={"batch_tokens": 10**8})
    sizes = Sizes(prepared.tokenizer.size)
    given(monkeypatch, sum(training_bytes(recipe, sizes).values()) + 2000)
    check_recipe_fits(recipe, CPU)
    with pytest.raises(RecipeError, match="activations of a batch") as refused:
        check_training_fits(recipe, prepared, CPU)
    assert "training.batch_tokens to " in refused.value.fix
    with pytest.raises(RecipeError, match="activations of a batch"):
        train(recipe, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_data_that_were_there_before_are_looked_at_too(
    prepared_dates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a comparison, or of a training that was killed before its first checkpoint."""
    recipe = tiny.recipe(training={"batch_tokens": 10**8, "steps": 1})
    sizes = Sizes(open_prepared(prepared_dates).tokenizer.size)
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    before = tiny.everything_in(run)
    with monkeypatch.context() as patch:
        given(patch, sum(training_bytes(recipe, sizes).values()) + 1000)
        with pytest.raises(RecipeError, match="activations of a batch"):
            train(recipe, run, resume=True, quiet=True)
        assert tiny.everything_in(run) == before
    train(recipe, run, resume=True, quiet=True)
    given(monkeypatch, sum(training_bytes(recipe, sizes).values()) + 1000)
    train(recipe, run, resume=True, quiet=True)


def test_a_batch_is_no_larger_than_the_data(prepared_dates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens a batch may have."""
    prepared = open_prepared(prepared_dates)
    recipe = tiny.recipe(training={"batch_tokens": 10**8})
    given(monkeypatch, 2**26)
    check_training_fits(recipe, prepared, CPU)


@pytest.mark.parametrize("key", ["images", "valid_size", "test_size"])
def test_pixels_are_counted_before_they_are_drawn(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"kind": "digit-strings", "images": 100, "longest": 1000, "valid_size": 8, "test_size": 8}
    given(monkeypatch, 2**33)
    with pytest.raises(RecipeError, match=r"36.9 GiB of memory, and 8.0 GiB are free") as refused:
        check_recipe_fits(tiny.recipe(data={**data, key: 300_000}, model=IMAGES), CPU)
    assert refused.value.why.startswith("36.9 GiB for the pixels of 300,000 ")
    assert refused.value.fix == f"lower data.{key} or data.longest"


KINDS = ("bpe", "unigram", "words", "characters")


@pytest.mark.parametrize("kind", KINDS)
def test_no_vocabulary_has_fewer_tokens_than_are_counted_at_first(kind: str) -> None:
    assert Tokenizer.train(["a"], VocabularyConfig(kind=kind)).size > memory.FEWEST_TOKENS > 250


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_small_corpora_do_not_fill_takes_no_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while tokens are learned nor later."""
    recipe = tiny.recipe(vocabulary={"kind": kind, "size": 10**7}, training={"steps": 1})
    lines = [text for pair in generate(500, seed=3) for text in pair]
    Tokenizer.train(lines, recipe.vocabulary)  # what is loaded the first time
    assert peak_growth(lambda: Tokenizer.train(lines, recipe.vocabulary)) < 2**25
    given(monkeypatch, 2**25)
    assert train(recipe, tmp_path / "run", quiet=True).path.exists()


@pytest.mark.parametrize("model", [tiny.TRANSFORMER, {**tiny.GRU, "tied_embeddings": False}])
def test_a_vocabulary_that_is_too_large_is_refused_once_it_is_known(
    model: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a model of it is made; nothing is left."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"w{i} a{i} b{i} c{i}\td{i} e{i} f{i}\n" for i in range(400)))
    data = {"kind": "tsv", "path": str(file), "columns": ("1", "2"), "valid_size": 8, "test_size": 8}
    vocabulary = {"kind": "words", "size": 10**7, "split_digits": False}
    recipe = tiny.recipe(data=data, model={**model, "dim": 256}, vocabulary=vocabulary)
    given(monkeypatch, sum(training_bytes(recipe, Sizes(1500)).values()) + 2**21)
    check_recipe_fits(recipe, CPU)
    with pytest.raises(RecipeError, match=r"at least .* of memory, and .* are free") as refused:
        train(recipe, tmp_path / "run", quiet=True)
    assert "for weights" in refused.value.why
    assert not (tmp_path / "run").exists()
    smaller = refused.value.fix.split("vocabulary.size to ")[1].split(", or")[0].replace(",", "")
    assert 300 < int(smaller) < 2000
    values = recipe.model_dump()
    values["vocabulary"]["size"] = int(smaller)
    train(Recipe.parse(values, origin="as it was told"), tmp_path / "run", quiet=True)
